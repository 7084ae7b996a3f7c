"""Telling clients at once what changed: EventSource (RFC 8620 §7.3).

Each process asks the database a few times a second for the states of the mailboxes that somebody listens to, in one
statement for all of them: intake and the standby pay nothing for it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
import msgspec
import structlog

from everpost.standby.model import ChangeKind
from everpost.standby.values import Account
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("standby")
POLL_S: Final = 0.3
SETTLE_S: Final = 0.05
"""How long a stream waits for more before it tells of a change."""
QUIET_S: Final = 55.0
"""A stream that says nothing for so long sends a comment, so that nobody in between takes it for dead."""
PING_S: Final = (5, 900)
MAX_STREAMS: Final = 20
"""Of one mailbox in one process."""
TYPES: Final = frozenset(
    (
        "Email",
        "EmailDelivery",
        "Mailbox",
        "Thread",
        "EmailSubmission",
        "Identity",
        "VacationResponse",
        "Filter",
        "SenderRule",
        "Settings",
        "AddressBook",
        "ContactCard",
    )
)

_ENTRY = ("Email", "Mailbox", "Thread")
_FOLDER = ("Mailbox",)
_TOUCHED: dict[ChangeKind, tuple[str, ...]] = {
    ChangeKind.RECEIVED: (*_ENTRY, "EmailDelivery"),
    ChangeKind.CREATED: _ENTRY,
    ChangeKind.KEYWORDS: ("Email", "Mailbox"),
    ChangeKind.MOVED: ("Email", "Mailbox"),
    ChangeKind.DESTROYED: _ENTRY,
    ChangeKind.FOLDER_CREATED: _FOLDER,
    ChangeKind.FOLDER_CHANGED: _FOLDER,
    ChangeKind.FOLDER_DESTROYED: _FOLDER,
    ChangeKind.SUBMITTED: ("EmailSubmission",),
}


def touched(kind: str, about: str | None) -> tuple[str, ...]:
    """The types whose states a row of the change log moves; `about` names one where the kind does not."""
    if about in TYPES:
        return (about,)
    return _TOUCHED.get(ChangeKind(kind), ())


@dataclass(slots=True, eq=False)
class Listener:
    """One open stream. `types` empty: all; `others`: mailboxes shared with the person, as JMAP names them."""

    account: Account
    account_id: str
    types: frozenset[str]
    others: Mapping[Account, str] = field(default_factory=dict)
    pending: dict[str, dict[str, str]] = field(default_factory=dict)
    modseq: int = 0
    session_state: str = ""
    """As the client knows it (RFC 8620 §2)."""
    doubted: bool = False
    """Whether the session may be another by now: who came in is asked about again."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def tell(self, account: Account, types: Iterable[str], modseq: int) -> None:
        """`modseq` is the one that the stream goes by in a mailbox of their own; others have no say in it."""
        account_id = self.account_id if account == self.account else self.others[account]
        for name in types:
            if not self.types or name in self.types:
                self.pending.setdefault(account_id, {})[name] = str(modseq)
        if account == self.account:
            self.modseq = modseq
        if self.pending:
            self.changed.set()

    def take(self) -> dict[str, dict[str, str]]:
        """What waits to be told; nothing waits afterwards."""
        pending, self.pending = self.pending, {}
        return pending

    def is_over(self) -> bool:
        return self.ended

    def doubt(self) -> None:
        """The directory, or a switch, has changed."""
        self.doubted = True
        self.changed.set()

    def end(self) -> None:
        self.ended = True
        self.changed.set()


class Push:
    """All streams of one process. `close` ends them; without listeners nothing runs.

    `mark()` is another whenever what sessions say of people may be another.
    """

    def __init__(self, database: Database, mark: Callable[[], object] = lambda: None) -> None:
        self._database = database
        self._mark = mark
        self._listeners: dict[Account, set[Listener]] = defaultdict(set)
        self._seen: dict[Account, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """End every stream, now and later. The worker calls it before it waits for open responses."""
        self._closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.end()
        if self._task is not None:
            self._task.cancel()

    @property
    def streams(self) -> int:
        """How many are open."""
        return sum(map(self.streams_of, self._listeners))

    def streams_of(self, account: Account) -> int:
        return sum(listener.account == account for listener in self._listeners.get(account, ()))

    @contextlib.asynccontextmanager
    async def listen(self, listener: Listener, since: int | None) -> AsyncIterator[None]:
        """Changes after `since` are told to the listener, where that is a state (from Last-Event-ID)."""
        account = listener.account
        current = await self.state(account)
        if since is not None and 0 <= since < current:
            async with self._database.connection() as connection:
                rows = await self._kinds(connection, {account: (since, current)})
            listener.tell(account, rows.get(account, set()), current)
        listener.modseq = current
        states = {account: current} | {other: await self.state(other) for other in listener.others}
        for mailbox, state in states.items():
            self._seen[mailbox] = min(self._seen.get(mailbox, state), state)
            self._listeners[mailbox].add(listener)
        listener.doubt()  # the session may have changed since it was admitted
        if self._closed:
            listener.end()
        elif self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll_for_ever())
        try:
            yield
        finally:
            for mailbox in states:
                self._listeners[mailbox].discard(listener)
                if not self._listeners[mailbox]:
                    del self._listeners[mailbox]
                    self._seen.pop(mailbox, None)

    async def state(self, account: Account) -> int:
        """The number of a mailbox's last change."""
        async with self._database.connection() as connection:
            found = await connection.fetchval(_SQL["modseq"], account.organisation_id, account.mailbox_id)
        return int(found or 0)

    async def _poll_for_ever(self) -> None:
        mark: object = None  # a first look at everybody costs little, and misses nothing
        while self._listeners:
            mark, before = self._mark(), mark
            if mark != before:
                for listener in frozenset().union(*self._listeners.values()):
                    listener.doubt()
            try:
                await self._poll()
            except (*UNAVAILABLE, asyncpg.PostgresError) as error:
                log.warning("push.unavailable", error=str(error) or type(error).__name__)
                await asyncio.sleep(1)
            except Exception:
                log.exception("push.failed")  # the streams stay open, and are told with the next look
                await asyncio.sleep(1)
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        """One look at all mailboxes that somebody listens to."""
        watched = list(self._listeners)
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["modseqs"], [a.organisation_id for a in watched], [a.mailbox_id for a in watched]
            )
            moved = {}
            for row in rows:
                account = Account(row["organisation_id"], row["id"])
                seen = self._seen.get(account)
                if seen is not None and row["modseq"] > seen:
                    moved[account] = (seen, row["modseq"])
            if not moved:
                return
            kinds = await self._kinds(connection, moved)
        for account, (_, modseq) in moved.items():
            if account in self._seen:
                self._seen[account] = modseq
            for listener in self._listeners.get(account, ()):
                listener.tell(account, kinds.get(account, ()), modseq)

    async def _kinds(
        self, connection: Any, moved: dict[Account, tuple[int, int]]
    ) -> dict[Account, set[str]]:  # fmt: skip
        """The types that changed between two states of each mailbox."""
        rows = await connection.fetch(
            _SQL["kinds_since"],
            [account.organisation_id for account in moved],
            [account.mailbox_id for account in moved],
            [since for since, _ in moved.values()],
            [until for _, until in moved.values()],
        )
        found: dict[Account, set[str]] = defaultdict(set)
        for row in rows:
            account = Account(row["organisation_id"], row["mailbox_id"])
            found[account].update(touched(row["kind"], row["about"]))
        return found


def state_event(listener: Listener) -> bytes:
    """What waits to be told, as one event; nothing waits afterwards."""
    change = {"@type": "StateChange", "changed": listener.take()}
    return b"id: %d\nevent: state\ndata: %b\n\n" % (listener.modseq, msgspec.json.encode(change))


def ping_event(interval: int) -> bytes:
    """RFC 8620 §7.3."""
    return b"event: ping\ndata: %b\n\n" % msgspec.json.encode({"interval": interval})


def session_event(state: str) -> bytes:
    """An event of ours: the session object is to be fetched again (RFC 8620 §2)."""
    return b"event: session\ndata: %b\n\n" % msgspec.json.encode({"sessionState": state})


async def stream(
    push: Push, listener: Listener, *, since: int | None, ping_s: int, close_after_state: bool,
    session: Callable[[], Awaitable[str | None]],
) -> AsyncIterator[bytes]:  # fmt: skip
    """The events of one stream, until it ends. `session()` tells the session's state now; None: nobody may listen.

    Where the session has changed, that is the last event: what a client is told of is decided when it comes in.
    """
    quiet = float(ping_s) if ping_s else QUIET_S
    async with push.listen(listener, since):
        yield b": hello\n\n"
        while not listener.is_over():
            is_quiet = await _is_quiet(listener, quiet)
            if listener.is_over():
                return
            if is_quiet or listener.doubted:
                listener.doubted = False
                state = await session()
                if state is not None and state != listener.session_state:
                    yield session_event(state)
                if state != listener.session_state:
                    return
            if is_quiet:
                yield ping_event(ping_s) if ping_s else b":\n\n"
                continue
            await asyncio.sleep(SETTLE_S)
            listener.changed.clear()
            if not listener.pending:
                continue
            yield state_event(listener)
            if close_after_state:
                return


async def _is_quiet(listener: Listener, seconds: float) -> bool:
    try:
        await asyncio.wait_for(listener.changed.wait(), seconds)
    except TimeoutError:
        return True
    return False


def clamp_ping(text: str) -> int:
    """The interval in seconds that a client gets; 0 for none. Raises `ValueError`."""
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    if wanted is None:
        raise ValueError(text)
    return min(max(wanted, PING_S[0]), PING_S[1]) if wanted else 0
