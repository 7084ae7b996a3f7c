"""The primary's side of a mailbox during failback: where messages of ours stand in it, and which folder is which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from everpost.continuity.failback.model import Subject
from everpost.continuity.failback.plan import Place, path_of
from everpost.continuity.imap import Copy, ImapRefusal, ImapSession, RemoteFolder
from everpost.mail.digest import content_digest
from everpost.standby.model import Role
from everpost.store.ids import encode_id

_USUAL_NAMES = {
    "sent": ("Sent", "Sent Items", "Sent Messages"),
    "drafts": ("Drafts",),
    "trash": ("Trash", "Deleted Items", "Deleted Messages"),
    "junk": ("Junk", "Spam", "Junk E-mail"),
    "archive": ("Archive", "Archives"),
}
READ_AT_ONCE = 100
READ_OCTETS = 4 * 1024 * 1024
MAX_SEARCHES = 200
"""How many messages that the index does not have are searched for one by one, each time."""


def flags_of(keywords: Iterable[str]) -> frozenset[str]:
    """JMAP keywords as IMAP flags (RFC 8621 §4.1.1)."""
    return frozenset(_FLAGS.get(keyword, keyword) for keyword in keywords)


_FLAGS = {
    "$seen": "\\Seen",
    "$draft": "\\Draft",
    "$flagged": "\\Flagged",
    "$answered": "\\Answered",
    "$forwarded": "$Forwarded",
}


class RemoteMailbox:
    """One mailbox of the primary, indexed. Read anew with `load` for each round, so that nothing is assumed."""

    def __init__(self, session: ImapSession) -> None:
        self.session = session
        self._places: dict[int, Place] = {}
        self._roles: dict[int, str | None] = {}
        self._remote: list[RemoteFolder] = []
        self._by_message_id: dict[str, list[Copy]] = defaultdict(list)
        self._by_trace: dict[str, list[Copy]] = defaultdict(list)
        self._digests: dict[tuple[str, int], bytes | None] = {}
        self._searches = 0
        self._known: set[tuple[str, int]] = set()

    def learn(self, folders: Mapping[int, tuple[Place, str | None]]) -> None:
        """The standby's folders as they are now."""
        self._places = {folder_id: place for folder_id, (place, _) in folders.items()}
        self._roles = {folder_id: role for folder_id, (_, role) in folders.items()}

    async def load(self, oldest: datetime) -> None:
        """Learn the folders and all messages that may be as old as `oldest`."""
        box = self.session.mailbox
        self._remote = await self.session.run(box.folders)
        self._by_message_id.clear()
        self._by_trace.clear()
        self._digests.clear()
        self._known.clear()
        self._searches = 0
        since = (oldest - timedelta(days=2)).date()
        self._add(await self.session.run(box.index, since, self.folder_names))

    async def look_again(self) -> None:
        """Take in what has arrived since."""
        since = (datetime.now(UTC) - timedelta(days=2)).date()
        self._add(await self.session.run(self.session.mailbox.index, since, self.folder_names))

    def _add(self, copies: Iterable[Copy]) -> None:
        for copy in copies:
            if (copy.folder, copy.uid) in self._known:
                continue
            self._known.add((copy.folder, copy.uid))
            if copy.message_id:
                self._by_message_id[copy.message_id].append(copy)
            for trace_id in copy.trace_ids:
                self._by_trace[trace_id].append(copy)

    @property
    def folder_names(self) -> list[str]:
        return [folder.name for folder in self._remote]

    # ------------------------------------------------------------------ messages

    def delivered(self, subject: Subject) -> list[Copy]:
        """Copies that carry our Received field for exactly this message."""
        return list(self._by_trace.get(encode_id(subject.id), ()))

    async def same_content(self, subject: Subject) -> list[Copy]:
        """Copies with the subject's content that did not come by our delivery: appended, or there before."""
        if subject.message_id:
            candidates = list(self._by_message_id.get(subject.message_id, ()))
            if not candidates:
                candidates = await self._search("Message-ID", subject.message_id)
                candidates = [copy for copy in candidates if copy.message_id == subject.message_id]
        elif self._may_search():
            box = self.session.mailbox
            candidates = await self.session.run(box.find_size, subject.size, self.folder_names)
        else:
            candidates = []
        return [copy for copy in candidates if not copy.trace_ids and await self.digest(copy) == subject.content_digest]

    async def standing(self, subject: Subject) -> list[Copy]:
        """Where a message that people touched stands: our delivery of it, else the same content."""
        found = self.delivered(subject) or await self._search_trace(subject)
        return found or await self.same_content(subject) or await self._relayed(subject)

    async def _relayed(self, subject: Subject) -> list[Copy]:
        """The same content that came by another of our deliveries, such as a list's copy."""
        if not subject.message_id:
            return []
        candidates = self._by_message_id.get(subject.message_id, ())
        return [copy for copy in candidates if await self.digest(copy) == subject.content_digest]

    async def _search_trace(self, subject: Subject) -> list[Copy]:
        """For what the index missed because of its date."""
        if subject.message_id and self._by_message_id.get(subject.message_id):
            return []
        trace_id = encode_id(subject.id)
        return [copy for copy in await self._search("Received", trace_id) if trace_id in copy.trace_ids]

    def _may_search(self) -> bool:
        self._searches += 1
        return self._searches <= MAX_SEARCHES

    async def _search(self, field: str, value: str) -> list[Copy]:
        if not self._may_search():
            return []
        try:
            return await self.session.run(self.session.mailbox.find, field, value, self.folder_names)
        except ImapRefusal:
            return []

    async def digest(self, copy: Copy) -> bytes | None:
        """The content digest of a copy; None where it went away meanwhile."""
        key = (copy.folder, copy.uid)
        if key not in self._digests:
            contents = await self.session.run(self.session.mailbox.read, copy.folder, [copy.uid])
            raw = contents.get(copy.uid)
            self._digests[key] = content_digest(raw) if raw is not None else None
        return self._digests[key]

    async def learn_digests(self, copies: Iterable[Copy]) -> None:
        """Read many copies at once, so that `digest` need not ask for each by itself."""
        by_folder: dict[str, list[Copy]] = {}
        for copy in copies:
            if (copy.folder, copy.uid) not in self._digests:
                by_folder.setdefault(copy.folder, []).append(copy)
        for folder, wanted in by_folder.items():
            for batch in _batches(wanted):
                contents = await self.session.run(self.session.mailbox.read, folder, [copy.uid for copy in batch])
                for copy in batch:
                    raw = contents.get(copy.uid)
                    self._digests[copy.folder, copy.uid] = content_digest(raw) if raw is not None else None

    def forget(self, copy: Copy) -> None:
        """The copy was moved or removed by us."""
        for index, key in ((self._by_message_id, copy.message_id), *((self._by_trace, t) for t in copy.trace_ids)):
            if key and copy in index.get(key, ()):
                index[key].remove(copy)

    # ------------------------------------------------------------------ folders

    def folder(self, folder_id: int) -> str | None:
        """The primary's name for a standby folder; None where the standby does not know it any more."""
        role = self._roles.get(folder_id)
        if role is not None:
            return self._system_folder(Role(role))
        path = path_of(folder_id, self._places)
        return self.name_of(path) if path is not None else None

    def _system_folder(self, role: Role) -> str:
        if role is Role.INBOX:
            return "INBOX"
        for folder in self._remote:
            if folder.role == role.value:
                return folder.name
        names = {folder.name.lower(): folder.name for folder in self._remote}
        for usual in _USUAL_NAMES[role.value]:
            wanted = self.name_of((usual,))
            if wanted.lower() in names:
                return names[wanted.lower()]
        return self.name_of((role.folder_name,))

    def name_of(self, path: tuple[str, ...]) -> str:
        """A path in the primary's way of writing. What separates folders there cannot be part of a name."""
        box = self.session.mailbox
        return box.prefix + box.separator.join(name.replace(box.separator, "_") for name in path)

    def has(self, name: str) -> bool:
        return any(folder.name == name for folder in self._remote)

    async def ensure(self, name: str) -> bool:
        """Make a folder where there is none; whether it had to be made."""
        if self.has(name):
            return False
        await self.session.run(self.session.mailbox.create_folder, name)
        self._remote.append(RemoteFolder(name, None))
        return True

    async def rename(self, old: str, new: str) -> None:
        """Rename a folder with all below it."""
        await self.session.run(self.session.mailbox.rename_folder, old, new)
        below = old + self.session.mailbox.separator
        self._remote = [
            RemoteFolder(new + folder.name[len(old) :], folder.role)
            if folder.name == old or folder.name.startswith(below)
            else folder
            for folder in self._remote
        ]

    async def remove(self, name: str) -> bool:
        """Remove a folder; False where something is in it."""
        box = self.session.mailbox
        if not await self.session.run(box.is_empty, name):
            return False
        await self.session.run(box.delete_folder, name)
        self._remote = [folder for folder in self._remote if folder.name != name]
        return True


def _batches(copies: Sequence[Copy]) -> Iterator[list[Copy]]:
    """Some at a time, by number and size: their contents stand in memory together."""
    batch: list[Copy] = []
    octets = 0
    for copy in copies:
        if batch and (len(batch) >= READ_AT_ONCE or octets + copy.size > READ_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(copy)
        octets += copy.size
    if batch:
        yield batch
