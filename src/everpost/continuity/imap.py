"""One mailbox of a primary over IMAP (RFC 9051, and what RFC 3501 servers offer): looking and carefully writing.

`ImapMailbox` blocks and belongs to one thread at a time; `ImapSession` runs it beside the event loop. Nothing is ever
expunged but the one message asked for, and only where the server can do that (UIDPLUS, RFC 4315).
"""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ParamSpec, TypeVar

import imapclient
from imapclient.exceptions import CapabilityError, IMAPClientError, LoginError

from everpost.continuity.tls import connector_context
from everpost.directory.primary import ImapConnector
from everpost.mail import trace
from everpost.mail.header import as_message_ids, parse_header

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE = 500
_FIELDS = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID RECEIVED)]"
_FIELDS_KEY = b"BODY[HEADER.FIELDS (MESSAGE-ID RECEIVED)]"
_UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
_ROLES = {
    b"\\sent": "sent", b"\\drafts": "drafts", b"\\trash": "trash", b"\\junk": "junk", b"\\archive": "archive",
}  # fmt: skip
_VIEWS = frozenset((b"\\noselect", b"\\nonexistent", b"\\all", b"\\flagged", b"\\important"))


class ImapFailure(Exception):
    """The server could not be reached or broke off: nothing is known of what was asked last."""


class ImapRefusal(Exception):
    """The server said no: the command had no effect."""


class ImapLoginRefused(ImapRefusal):
    """The server does not let us into this mailbox."""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of the primary that holds messages. `role` as RFC 6154 and RFC 8621 name it."""

    name: str
    role: str | None


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as it stands on the primary, without its content. `trace_ids` are our queue ids in its Received."""

    folder: str
    uid: int
    flags: frozenset[str]
    message_id: str | None
    trace_ids: frozenset[str]
    size: int


@dataclass(frozen=True, slots=True)
class FolderState:
    """A folder at a moment: another state, and something has changed in it.

    `modseq` is HIGHESTMODSEQ (RFC 7162), 0 where the server has none: then changed flags do not show in the state.
    """

    validity: str
    uid_next: int
    messages: int
    modseq: int


def _guarded(method: Callable[P, T]) -> Callable[P, T]:
    """Turns what imapclient, imaplib and the socket raise into the two failures of this module."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except LoginError as error:
            raise ImapLoginRefused(_text(error)) from error
        except imaplib.IMAP4.abort as error:
            raise ImapFailure(_text(error)) from error
        except (IMAPClientError, imaplib.IMAP4.error, CapabilityError) as error:
            raise ImapRefusal(_text(error)) from error
        except (OSError, ssl.SSLError, EOFError) as error:
            raise ImapFailure(_text(error) or type(error).__name__) from error

    return call


def _text(error: Exception) -> str:
    return _UNSAFE.sub(" ", str(error))[:500]


class ImapMailbox:
    """A logged-in connection to one mailbox. Every method raises `ImapFailure` and `ImapRefusal`."""

    def __init__(self, client: imapclient.IMAPClient, hostname: str) -> None:
        self._client = client
        self._hostname = hostname
        self._selected: tuple[str, bool] | None = None
        self._permanent: dict[str, frozenset[bytes]] = {}
        self.separator = "/"
        self.prefix = ""

    @classmethod
    @_guarded
    def open(
        cls, connector: ImapConnector, login: str, password: str, *, hostname: str, timeout_s: float = 30.0
    ) -> ImapMailbox:
        """Connect and log in. `hostname` is our own name in Received fields. Raises `ImapLoginRefused` too."""
        for text in (login, password):
            if _UNSAFE.search(text):
                raise ImapLoginRefused("login or password has a control character")
        implicit = connector.tls == "implicit"
        context = None
        if connector.tls != "none":
            context = connector_context(verify=connector.verify, ca_file=connector.ca_file)
        client = imapclient.IMAPClient(
            connector.host,
            connector.port,
            ssl=implicit,
            ssl_context=context if implicit else None,
            timeout=imapclient.SocketTimeout(min(timeout_s, 10.0), timeout_s),
        )
        try:
            client.normalise_times = False
            if connector.tls == "required":
                client.starttls(context)
            client.login(login, password)
            mailbox = cls(client, hostname)
            mailbox._learn_namespace()
        except BaseException:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.shutdown()
            raise
        return mailbox

    def close(self) -> None:
        """Log out, or just hang up where that fails. Raises nothing."""
        with contextlib.suppress(OSError, imaplib.IMAP4.error, IMAPClientError):
            self._client.logout()

    def _learn_namespace(self) -> None:
        if self._client.has_capability("NAMESPACE"):
            personal = self._client.namespace().personal
            if personal:
                self.prefix, separator = personal[0]
                self.separator = separator or "/"

    # ------------------------------------------------------------------ looking

    @_guarded
    def folders(self) -> list[RemoteFolder]:
        """Folders that can be opened; views over others (RFC 6154 \\All, \\Flagged) are left out."""
        found = []
        for flags, _, name in self._client.list_folders():
            lowered = {bytes(flag).lower() for flag in flags}
            if lowered & _VIEWS or (name != "INBOX" and name.upper() == "INBOX"):
                continue
            role = "inbox" if name.upper() == "INBOX" else None
            found.append(RemoteFolder(name, role or next((_ROLES[f] for f in lowered if f in _ROLES), None)))
        return found

    @_guarded
    def index(self, since: date | None, folders: Iterable[str]) -> list[Copy]:
        """Every message of these folders that came on or after `since`. Reads two header fields of each."""
        copies: list[Copy] = []
        for folder in folders:
            self._select(folder, readonly=True)
            criteria: list[Any] = ["NOT", "DELETED"] if since is None else ["NOT", "DELETED", "SINCE", since]
            uids = self._client.search(criteria)
            for start in range(0, len(uids), _AT_ONCE):
                copies += self._copies(folder, uids[start : start + _AT_ONCE])
        return copies

    @_guarded
    def find(self, field: str, value: str, folders: Iterable[str]) -> list[Copy]:
        """Messages whose header field contains `value` (RFC 9051 §6.4.4 SEARCH HEADER)."""
        if _UNSAFE.search(value) or not value:
            return []
        criteria: list[Any] = ["NOT", "DELETED", "HEADER", field, value]
        return self._search(criteria, "UTF-8" if not value.isascii() else None, folders)

    @_guarded
    def find_size(self, size: int, folders: Iterable[str]) -> list[Copy]:
        """Messages of about that many octets: for those without a Message-ID."""
        slack = 4  # empty lines that mailbox stores add or take away at the end
        criteria = ["NOT", "DELETED", "LARGER", max(size - slack - 1, 0), "SMALLER", size + slack + 1]
        return self._search(criteria, None, folders)

    def _search(self, criteria: list[Any], charset: str | None, folders: Iterable[str]) -> list[Copy]:
        copies: list[Copy] = []
        for folder in folders:
            self._select(folder, readonly=True)
            uids = self._client.search(criteria, charset)[:_AT_ONCE]
            if uids:
                copies += self._copies(folder, uids)
        return copies

    def _copies(self, folder: str, uids: Sequence[int]) -> Iterator[Copy]:
        rows = self._client.fetch(uids, ["FLAGS", "RFC822.SIZE", _FIELDS])
        for uid, row in rows.items():
            header = parse_header(row.get(_FIELDS_KEY) or b"")
            field = header.first("message-id")
            ids = as_message_ids(field.raw) if field else ()
            traces = trace.queue_ids(header, self._hostname)
            yield Copy(folder, uid, _flags(row), ids[0] if ids else None, frozenset(traces), row[b"RFC822.SIZE"])

    @_guarded
    def read(self, folder: str, uids: Sequence[int]) -> dict[int, bytes]:
        """Whole messages, those that are still there."""
        self._select(folder, readonly=True)
        rows = self._client.fetch(uids, ["BODY.PEEK[]"])
        return {uid: row[b"BODY[]"] for uid, row in rows.items() if row.get(b"BODY[]") is not None}

    @_guarded
    def state(self, folder: str) -> FolderState:
        """As STATUS tells it, without opening the folder."""
        asked = ["UIDVALIDITY", "UIDNEXT", "MESSAGES"]
        if self._client.has_capability("CONDSTORE"):
            asked.append("HIGHESTMODSEQ")
        status = self._client.folder_status(folder, asked)
        modseq = int(status.get(b"HIGHESTMODSEQ", 0))
        return FolderState(str(status[b"UIDVALIDITY"]), int(status[b"UIDNEXT"]), int(status[b"MESSAGES"]), modseq)

    @_guarded
    def changed_since(self, folder: str, modseq: int) -> list[int]:
        """UIDs of messages that are new or have other flags since that modification sequence (RFC 7162)."""
        self._select(folder, readonly=True)
        return list(self._client.search(["MODSEQ", modseq + 1]))

    @_guarded
    def flags(self, folder: str, uids: Sequence[int]) -> dict[int, frozenset[str]]:
        """Flags of those that are still there."""
        self._select(folder, readonly=True)
        found: dict[int, frozenset[str]] = {}
        for start in range(0, len(uids), _AT_ONCE):
            rows = self._client.fetch(uids[start : start + _AT_ONCE], ["FLAGS"])
            found |= {uid: _flags(row) for uid, row in rows.items() if b"FLAGS" in row}
        return found

    @_guarded
    def uids(self, folder: str, above: int) -> list[int]:
        """The UIDs above a number, in ascending order, also of what is marked as deleted."""
        self._select(folder, readonly=True)
        found = self._client.search(["UID", f"{above + 1}:*"])
        return sorted(uid for uid in found if uid > above)  # `*` is the last one, even below

    @_guarded
    def describe(self, folder: str, uids: Sequence[int]) -> dict[int, tuple[frozenset[str], datetime, int]]:
        """Flags, INTERNALDATE and size of those that are still there."""
        self._select(folder, readonly=True)
        rows = self._client.fetch(uids, ["FLAGS", "INTERNALDATE", "RFC822.SIZE"])
        return {
            uid: (_flags(row), row[b"INTERNALDATE"], row[b"RFC822.SIZE"])
            for uid, row in rows.items()
            if b"INTERNALDATE" in row and b"RFC822.SIZE" in row
        }

    @_guarded
    def is_empty(self, folder: str) -> bool:
        """No message in it and no folder below it."""
        below = self._client.list_folders(folder + self.separator)
        return not below and self._client.folder_status(folder, ["MESSAGES"])[b"MESSAGES"] == 0

    # ------------------------------------------------------------------ writing

    @_guarded
    def append(self, folder: str, content: bytes, flags: Iterable[str], at: datetime) -> str:
        """Put a message into a folder with its flags and date; returns what the server said."""
        kept, _ = self._supported(folder, flags)
        answer = self._client.append(folder, content, sorted(kept), at)
        return answer.decode("utf-8", "replace")[:200] if isinstance(answer, bytes) else str(answer)[:200]

    @_guarded
    def store_flags(self, folder: str, uid: int, add: Iterable[str], remove: Iterable[str]) -> frozenset[str]:
        """Set and clear flags; returns those the folder cannot keep."""
        kept, unsupported = self._supported(folder, add)
        cleared = frozenset(remove)
        self._select(folder, readonly=False)
        if kept:
            self._client.add_flags([uid], sorted(kept), silent=True)
        if cleared:
            self._client.remove_flags([uid], sorted(cleared), silent=True)
        return unsupported

    @_guarded
    def move(self, folder: str, uid: int, target: str) -> None:
        """MOVE (RFC 6851), or COPY and the careful end of the original."""
        self._select(folder, readonly=False)
        if self._client.has_capability("MOVE"):
            self._client.move([uid], target)
        else:
            self._client.copy([uid], target)
            self._remove(uid)

    @_guarded
    def delete(self, folder: str, uid: int) -> bool:
        """Remove one message; False where the server can only mark it as deleted (no UIDPLUS)."""
        self._select(folder, readonly=False)
        return self._remove(uid)

    def _remove(self, uid: int) -> bool:
        self._client.delete_messages([uid], silent=True)
        if not self._client.has_capability("UIDPLUS"):
            return False  # a plain EXPUNGE would take away what others have marked
        self._client.uid_expunge([uid])
        return True

    @property
    def moves_atomically(self) -> bool:
        return bool(self._client.has_capability("MOVE"))

    @_guarded
    def create_folder(self, name: str) -> None:
        """Make a folder and subscribe to it, so that people see it."""
        self._client.create_folder(name)
        with contextlib.suppress(IMAPClientError, imaplib.IMAP4.error):
            self._client.subscribe_folder(name)

    @_guarded
    def rename_folder(self, old: str, new: str) -> None:
        self._forget_selection()
        self._client.rename_folder(old, new)
        with contextlib.suppress(IMAPClientError, imaplib.IMAP4.error):
            self._client.unsubscribe_folder(old)
            self._client.subscribe_folder(new)

    @_guarded
    def delete_folder(self, name: str) -> None:
        self._forget_selection()
        self._client.delete_folder(name)
        with contextlib.suppress(IMAPClientError, imaplib.IMAP4.error):
            self._client.unsubscribe_folder(name)

    # ------------------------------------------------------------------ state of the connection

    def _select(self, folder: str, *, readonly: bool) -> None:
        """A read-write selection serves for looking too; what came since then is seen after NOOP."""
        if self._selected is not None and self._selected[0] == folder and (readonly or not self._selected[1]):
            self._client.noop()
            return
        self._selected = None
        answer = self._client.select_folder(folder, readonly=readonly)
        self._selected = (folder, readonly)
        if not readonly:
            self._permanent[folder] = frozenset(bytes(flag).lower() for flag in answer.get(b"PERMANENTFLAGS", ()))

    def _forget_selection(self) -> None:
        if self._selected is not None:
            self._selected = None
            if self._client.has_capability("UNSELECT"):
                self._client.unselect_folder()

    def _supported(self, folder: str, flags: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
        """Flags that the folder keeps, and those it does not (RFC 9051 §7.1 PERMANENTFLAGS)."""
        if folder not in self._permanent:
            self._select(folder, readonly=False)
        permanent = self._permanent.get(folder, frozenset())
        wanted = frozenset(flags)
        if b"\\*" in permanent:
            return wanted, frozenset()
        kept = frozenset(flag for flag in wanted if flag.lower().encode("ascii", "replace") in permanent)
        return kept, wanted - kept


def _flags(row: dict[bytes, Any]) -> frozenset[str]:
    return frozenset(flag.decode("ascii", "replace") for flag in row.get(b"FLAGS", ())) - {"\\Recent"}


class ImapSession:
    """An `ImapMailbox` for asyncio: `await session.run(session.mailbox.append, …)`, one call at a time."""

    def __init__(self, mailbox: ImapMailbox) -> None:
        self.mailbox = mailbox
        self._lock = asyncio.Lock()

    @classmethod
    async def open(
        cls, connector: ImapConnector, login: str, password: str, *, hostname: str, timeout_s: float = 30.0
    ) -> ImapSession:
        """As `ImapMailbox.open`."""
        opened = await asyncio.to_thread(
            ImapMailbox.open, connector, login, password, hostname=hostname, timeout_s=timeout_s
        )
        return cls(opened)

    async def run(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the mailbox's methods in a thread."""
        async with self._lock:
            return await asyncio.to_thread(method, *args, **kwargs)

    async def close(self) -> None:
        """Log out without waiting for long."""
        with contextlib.suppress(TimeoutError, RuntimeError, socket.error):
            async with asyncio.timeout(5):
                await asyncio.to_thread(self.mailbox.close)
