"""The net effect of a change log, as actions on the primary."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everpost.continuity.failback.model import (
    Action,
    Append,
    Delete,
    Flags,
    FolderCreate,
    FolderDelete,
    FolderRename,
    Move,
    Subject,
)
from everpost.continuity.failback.plan import LogEntry, Place, Standing, make_plan
from everpost.standby.model import ChangeKind, Role

K = ChangeKind
INBOX, SENT, DRAFTS, TRASH = (role.folder_id for role in (Role.INBOX, Role.SENT, Role.DRAFTS, Role.TRASH))
AT = datetime(2024, 5, 1, tzinfo=UTC)


@dataclass
class Box:
    """A mailbox that writes its change log as the standby does."""

    log: list[LogEntry] = field(default_factory=list)
    folders: dict[int, Place] = field(
        default_factory=lambda: {role.folder_id: Place(role.value, None) for role in Role}
    )
    entries: dict[int, tuple[tuple[int, ...], frozenset[str]]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    origin: str = "local"

    def here(self, number: int, *folders: int, keywords: tuple[str, ...] = ()) -> None:
        self.entries[number] = (folders, frozenset(keywords))
        self.seen.add(number)

    def create(self, number: int, folder: int, *keywords: str) -> None:
        self.here(number, folder, keywords=keywords)
        self.log.append(LogEntry(K.CREATED, number, folder, self._detail((), (folder,), (), keywords)))

    def keywords(self, number: int, *keywords: str) -> None:
        folders, before = self.entries[number]
        self.entries[number] = (folders, frozenset(keywords))
        self.log.append(LogEntry(K.KEYWORDS, number, None, self._detail(folders, folders, before, keywords)))

    def move(self, number: int, *folders: int) -> None:
        before, keywords = self.entries[number]
        self.entries[number] = (folders, keywords)
        self.log.append(LogEntry(K.MOVED, number, None, self._detail(before, folders, keywords, keywords)))

    def destroy(self, number: int) -> None:
        before, keywords = self.entries.pop(number)
        self.log.append(LogEntry(K.DESTROYED, number, None, self._detail(before, (), keywords, keywords)))

    def folder(self, number: int, name: str, parent: int | None = None) -> None:
        old = self.folders.get(number)
        self.folders[number] = Place(name, parent)
        detail: dict[str, Any] = {"after": {"name": name, "parent": parent}}
        if old is not None:
            detail["before"] = {"name": old.name, "parent": old.parent_id}
        self.log.append(LogEntry(K.FOLDER_CHANGED if old else K.FOLDER_CREATED, None, number, detail))

    def drop_folder(self, number: int) -> None:
        old = self.folders.pop(number)
        before = {"name": old.name, "parent": old.parent_id}
        self.log.append(LogEntry(K.FOLDER_DESTROYED, None, number, {"before": before}))

    @staticmethod
    def _detail(before: Any, after: Any, keywords_before: Any, keywords_after: Any) -> dict[str, Any]:
        return {
            "folders": {"before": list(before), "after": list(after)},
            "keywords": {"before": sorted(keywords_before), "after": sorted(keywords_after)},
        }

    def plan(self, appended: tuple[int, ...] = ()) -> list[Action]:
        standing = {
            number: Standing(
                subject(number), self.entries.get(number, ((), frozenset()))[0],
                self.entries.get(number, ((), frozenset()))[1], AT, self.origin,
            )
            for number in self.seen
        }  # fmt: skip
        return make_plan(self.log, standing, self.folders, appended).actions


def subject(number: int) -> Subject:
    return Subject(number, f"{number}@example.com", b"digest", 100, number, AT)


def test_nothing_done_asks_for_nothing() -> None:
    assert Box().plan() == []


def test_read_and_moved_and_destroyed() -> None:
    box = Box()
    for number in (1, 2, 3):
        box.here(number, INBOX)
    box.keywords(1, "$seen")
    box.move(2, TRASH)
    box.destroy(3)
    assert box.plan() == [
        Flags(subject(1), frozenset({"$seen"}), frozenset()),
        Move(subject(2), (INBOX,), TRASH),
        Delete(subject(3), (INBOX,)),
    ]


def test_only_the_net_effect_counts() -> None:
    box = Box()
    box.here(1, INBOX, keywords=("$flagged",))
    box.keywords(1, "$flagged", "$seen")
    box.keywords(1, "$flagged")
    box.move(1, TRASH)
    box.move(1, INBOX)
    assert box.plan() == []
    box.keywords(1, "$seen")
    assert box.plan() == [Flags(subject(1), frozenset({"$seen"}), frozenset({"$flagged"}))]


def test_keywords_and_folders_changed_in_one_step() -> None:
    """The log then has a row for each; the first already names the folders after the step."""
    box = Box()
    box.here(1, INBOX)
    box.entries[1] = ((TRASH,), frozenset({"$seen"}))
    box.log.append(LogEntry(K.KEYWORDS, 1, None, box._detail((TRASH,), (TRASH,), (), ("$seen",))))
    box.log.append(LogEntry(K.MOVED, 1, None, box._detail((INBOX,), (TRASH,), (), ("$seen",))))
    assert box.plan() == [Flags(subject(1), frozenset({"$seen"}), frozenset()), Move(subject(1), (INBOX,), TRASH)]


def test_a_draft_that_was_sent_is_one_append_to_sent() -> None:
    box = Box()
    box.create(5, DRAFTS, "$draft")
    box.keywords(5, "$seen")
    box.move(5, SENT)
    assert box.plan() == [Append(subject(5), SENT, frozenset({"$seen"}), AT)]


def test_what_came_and_went_leaves_no_trace_unless_it_got_through_before() -> None:
    box = Box()
    box.create(5, DRAFTS, "$draft")
    box.destroy(5)
    assert box.plan() == []
    assert box.plan(appended=(5,)) == [Delete(subject(5), (DRAFTS,))]


def test_sent_with_a_mail_program() -> None:
    box = Box(origin="sent")
    box.here(7, SENT, keywords=("$seen",))
    box.log.append(LogEntry(K.RECEIVED, 7, SENT, {}))
    assert box.plan() == [Append(subject(7), SENT, frozenset({"$seen"}), AT)]


def test_imported_messages_are_not_put_back() -> None:
    box = Box(origin="import")
    box.create(8, INBOX)
    assert box.plan() == []


def test_in_several_folders_the_first_counts_and_the_others_are_told() -> None:
    box = Box()
    box.here(1, INBOX)
    box.folder(100, "Projects")
    box.move(1, SENT, 100)
    [create, move] = box.plan()
    assert create == FolderCreate(100, ("Projects",))
    assert move == Move(subject(1), (INBOX,), SENT, (100,))
    box.move(1, INBOX, 100)  # it still stands where it was
    assert box.plan() == [create]


def test_folders_made_renamed_moved_and_removed() -> None:
    box = Box()
    box.folder(100, "Projects")
    box.folder(101, "Old", 100)
    box.folder(102, "Gone")
    before, box.log = dict(box.folders), []
    box.folder(100, "Work")
    box.folder(101, "Older", 100)
    box.drop_folder(102)
    box.folder(103, "New", 100)
    assert before[100].name == "Projects"
    assert box.plan() == [
        FolderRename(100, ("Projects",), ("Work",)),
        FolderRename(101, ("Work", "Old"), ("Work", "Older")),  # it went along with its parent
        FolderCreate(103, ("Work", "New")),
        FolderDelete(102, ("Gone",)),
    ]


def test_a_folder_that_came_and_went_or_was_renamed_back() -> None:
    box = Box()
    box.folder(100, "Projects")
    box.log = []
    box.folder(100, "Work")
    box.folder(100, "Projects")
    box.folder(101, "Short")
    box.drop_folder(101)
    assert box.plan() == []
