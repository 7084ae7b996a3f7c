"""A mailbox elsewhere, read over IMAP: by folders, in the order of UIDs, at a bounded rate.

`ImapSource` gives its history; `FollowedSource` also what changed since it was looked at last.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from everpost.continuity.imap import FolderState, ImapFailure, ImapMailbox, ImapRefusal, RemoteFolder
from everpost.directory.primary import ImapConnector
from everpost.standby.history.model import (
    KEYWORDS_OF_FLAGS,
    MAX_MESSAGE_OCTETS,
    Found,
    HistoryFailure,
    HistoryFolder,
    LeftOut,
    Mark,
    Reading,
    Unreadable,
    inbox_last,
    sensible_date,
    usual_role,
)
from everpost.standby.model import Role

DESCRIBED_AT_ONCE = 200
READ_AT_ONCE = 50
READ_OCTETS = 4 * 1024 * 1024
_DELETED = "\\deleted"


class ImapSource:
    """Everything a login sees, views over other folders apart. `rate`: messages a second at most, 0 for no limit."""

    is_whole = True
    is_rebuilt = False

    def __init__(
        self,
        connector: ImapConnector,
        login: str,
        password: str,
        *,
        hostname: str,
        rate: float = 0,
        timeout_s: float = 60,
    ) -> None:
        self._connector = connector
        self._login = login
        self._password = password
        self._hostname = hostname
        self._rate = rate
        self._timeout_s = timeout_s
        self._box: ImapMailbox | None = None
        self._states: dict[str, FolderState] = {}
        self._name = f"imap:{connector.host}:{connector.port}:{login}"

    @property
    def name(self) -> str:
        return self._name

    def folders(self) -> list[HistoryFolder]:
        try:
            box = self._open()
            found = []
            remote = box.folders()
            special = {folder.role for folder in remote}
            for folder in sorted(remote, key=lambda each: each.name):
                path = self._path(box, folder.name)
                role = _role(folder, path, special)
                state = box.state(folder.name)
                self._states[folder.name] = state
                found.append(HistoryFolder(folder.name, path, role, state.messages, state.validity))
        except (ImapFailure, ImapRefusal) as error:
            raise HistoryFailure(f"{self._connector.host}: {error}") from error
        return inbox_last(found)

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        try:
            box = self._open()
            uids = box.uids(folder.place, mark.position)
            for start in range(0, len(uids), DESCRIBED_AT_ONCE):
                yield from self._some(box, folder.place, uids[start : start + DESCRIBED_AT_ONCE])
        except ImapFailure as error:
            raise HistoryFailure(f"{self._connector.host}: {error}: run it again to go on from there") from error
        except ImapRefusal as error:
            yield Unreadable(f"folder {folder.place}", str(error), 0)

    def close(self) -> None:
        if self._box is not None:
            self._box.close()
            self._box = None

    def _open(self) -> ImapMailbox:
        if self._box is None:
            self._box = ImapMailbox.open(
                self._connector, self._login, self._password, hostname=self._hostname, timeout_s=self._timeout_s
            )
        return self._box

    def _path(self, box: ImapMailbox, name: str) -> tuple[str, ...]:
        if name.upper() == "INBOX":
            return (Role.INBOX.folder_name,)
        name = name.removeprefix(box.prefix)
        return tuple(part for part in name.split(box.separator) if part) or (name,)

    def _some(self, box: ImapMailbox, folder: str, uids: Sequence[int]) -> Iterator[Reading]:
        described = box.describe(folder, uids)
        batch: list[int] = []
        octets = 0
        for uid in uids:
            if uid not in described:
                continue  # gone meanwhile
            size = described[uid][2]
            if batch and (len(batch) >= READ_AT_ONCE or octets + size > READ_OCTETS):
                yield from self._read(box, folder, batch, described)
                batch, octets = [], 0
            batch.append(uid)
            octets += size
        yield from self._read(box, folder, batch, described)

    def _read(
        self, box: ImapMailbox, folder: str, uids: list[int], described: dict[int, tuple[frozenset[str], datetime, int]]
    ) -> Iterator[Reading]:
        begun = time.monotonic()
        deleted = {uid for uid in uids if _DELETED in {flag.lower() for flag in described[uid][0]}}
        wanted = [uid for uid in uids if uid not in deleted and described[uid][2] <= MAX_MESSAGE_OCTETS]
        contents = self._contents(box, folder, wanted)
        for uid in uids:
            flags, at, _ = described[uid]
            label = f"{folder}, UID {uid}"
            content = contents.pop(uid, None)
            if uid in deleted:
                yield LeftOut(uid)
            elif uid not in wanted:
                yield Unreadable(label, f"longer than {MAX_MESSAGE_OCTETS // 1024**2} MiB")
            elif isinstance(content, str) or not content:
                yield Unreadable(label, content or "the server does not give it")
            else:
                yield Found(label, content, sensible_date(at), _keywords(flags), uid)
        if self._rate and (wait := begun + len(uids) / self._rate - time.monotonic()) > 0:
            time.sleep(wait)

    def _contents(self, box: ImapMailbox, folder: str, uids: list[int]) -> dict[int, bytes | str]:
        """Where the server refuses them together, one by one; the refusal instead of the content."""
        if not uids:
            return {}
        try:
            return dict(box.read(folder, uids))
        except ImapRefusal as error:
            if len(uids) == 1:
                return {uids[0]: str(error)}
            found: dict[int, bytes | str] = {}
            for uid in uids:
                found |= self._contents(box, folder, [uid])
            return found


@dataclass(slots=True)
class Look:
    """What a look at a mailbox found. `uids` and `flags` of the folders that changed, `unread` folders to be read.

    The states are those from before everything else: what happens meanwhile is seen by the next look.
    """

    folders: list[HistoryFolder]
    states: dict[str, FolderState]
    uids: dict[str, list[int]] = field(default_factory=dict)
    keywords: dict[str, dict[int, frozenset[str]]] = field(default_factory=dict)
    unread: set[str] = field(default_factory=set)


class FollowedSource(ImapSource):
    """A mailbox that is looked at again and again; as a source of history it gives what is new in changed folders."""

    _look: Look | None = None

    @property
    def name(self) -> str:
        """Another than that of an import: what an import has read is read once more, to know where it stands."""
        return self._name.replace("imap:", "follow:", 1)

    def look(self, known: Mapping[str, FolderState]) -> Look:
        """What changed since the folders were `known`. Raises `HistoryFailure`.

        A message that is moved while we look must not seem to be gone: folders are listed before what stands in them,
        and whatever is another folder afterwards is read too.
        """
        folders = super().folders()
        look = Look(folders, dict(self._states))
        try:
            box = self._open()
            for folder in folders:
                place, state = folder.place, look.states[folder.place]
                before = known.get(place)
                if state == before and state.modseq:
                    continue
                same = before is not None and before.validity == state.validity
                look.uids[place] = box.uids(place, 0)
                changed = look.uids[place]
                if before is not None and same and before.modseq:
                    changed = box.changed_since(place, before.modseq)
                look.keywords[place] = {uid: _keywords(each) for uid, each in box.flags(place, changed).items()}
            look.unread = {each.place for each in folders if box.state(each.place) != known.get(each.place)}
        except (ImapFailure, ImapRefusal) as error:
            raise HistoryFailure(f"{self._connector.host}: {error}") from error
        self._look = look
        return look

    def folders(self) -> list[HistoryFolder]:
        assert self._look is not None, "not looked at"
        return self._look.folders

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        assert self._look is not None, "not looked at"
        return super().read(folder, mark) if folder.place in self._look.unread else iter(())


def _role(folder: RemoteFolder, path: tuple[str, ...], special: set[str | None]) -> Role | None:
    """As the server says (RFC 6154); where it says nothing of a role, the usual name tells."""
    if folder.role:
        return Role(folder.role)
    role = usual_role(path)
    return None if role is None or role.value in special else role


def _keywords(flags: frozenset[str]) -> frozenset[str]:
    """IMAP flags as JMAP keywords (RFC 8621 §4.1.1). Other flags of the system are nothing that JMAP knows."""
    found = set()
    for flag in flags:
        lowered = flag.lower()
        if lowered in KEYWORDS_OF_FLAGS:
            found.add(KEYWORDS_OF_FLAGS[lowered])
        elif not lowered.startswith("\\"):
            found.add(lowered)
    return frozenset(found)
