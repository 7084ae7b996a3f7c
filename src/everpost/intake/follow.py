"""The standby follows: while a primary is the master of its mailboxes, what people do there is done here too.

Flags, keywords, moves, deletions and new folders are taken over through the IMAP connector, and what the mailbox had
before, so that on the day of an outage the standby looks as people left their mailbox. Each change is marked as
followed: failback never replays it. One side is the master at any time: every transaction asks for the switches first.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import structlog

from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.continuity.history import FollowedSource, Look
from everpost.continuity.homes import waiting_mailboxes
from everpost.continuity.imap import FolderState
from everpost.continuity.trust import TrustState
from everpost.directory.primary import Primary, load_primaries
from everpost.intake.history import Copy, HistoryImport
from everpost.mail.address import Address
from everpost.standby.copies import RemoteCopy, Spot, Step, is_too_much, steps
from everpost.standby.history.model import HistoryFailure
from everpost.standby.values import Account, NoSuchThing, StandbyRefusal
from everpost.standby.work import Work
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("follow")
_STORE = load("store")
_STANDBY = load("standby")
ACTOR = "everpost"
ENTRIES_AT_ONCE = 200
"""In one transaction: people who use the mailbox meanwhile wait for it."""
ENROL_EVERY_S = 60.0
MAX_REASON = 300


class Followed(enum.StrEnum):
    """How a round ended."""

    FOLLOWING = "following"
    FAILED = "failed"  # the primary could not be read: the next round tries again
    PAUSED = "paused"  # much went at once: a person looks first


@dataclass(frozen=True, slots=True)
class Settings:
    """Seconds between two rounds of a mailbox; connections to each primary; messages a second on each of them."""

    interval_s: float = 600.0
    connections: int = 2
    rate: float = 50.0


class TooMuchGone(Exception):
    """More went than is taken away without a person's word."""


@dataclass(slots=True)
class _Differences:
    """What a look means: messages that went, messages with other keywords, and their entries."""

    gone: dict[Spot, int] = field(default_factory=dict)
    flagged: dict[Spot, tuple[int, frozenset[str]]] = field(default_factory=dict)

    def entries(self) -> list[int]:
        return sorted({*self.gone.values(), *(entry for entry, _ in self.flagged.values())})


class Round:
    """One mailbox, once. `run` it."""

    def __init__(
        self, database: Database, keys: KeyRing, account: Account, source: FollowedSource, spool_folder: Path,
        *, accepts_loss: bool = False,
    ) -> None:  # fmt: skip
        self._database = database
        self._keys = keys
        self._account = account
        self._key = (account.organisation_id, account.mailbox_id)
        self._source = source
        self._spool = spool_folder
        self._accepts_loss = accepts_loss

    async def run(self) -> None:
        """Raises `HistoryFailure`, `TooMuchGone`, `StandbyRefusal`, and what `UNAVAILABLE` lists: nothing is half done,
        the next round goes on from there.
        """
        try:
            known = await self._known()
            look = await asyncio.to_thread(self._source.look, known)
            await self._forget_other_validity(known, look)
            if look.unread:
                job = HistoryImport(
                    self._database, self._keys, self._account, self._source, actor=ACTOR, subject="",
                    spool_folder=self._spool, follower=self,
                )  # fmt: skip
                await job.run()
        finally:
            await asyncio.to_thread(self._source.close)
        vanished = [place for place in known if place not in look.states]
        await self._apply(await self._differences(look, vanished))
        await self._remember(look, known, vanished)

    # ------------------------------------------------------------------ for the import

    async def check_master(self, connection: Connection) -> None:
        """The switches stay as they are until this transaction ends. Raises `HistoryFailure`."""
        await connection.execute(_STORE["share_generations"])
        row = await connection.fetchrow(_SQL["master"], *self._key)
        if row is None or row["trust_state"] != TrustState.TRUSTED:
            raise HistoryFailure("the primary is not trusted now")
        if await waiting_mailboxes(connection, self._account.organisation_id, [self._account.mailbox_id]):
            raise HistoryFailure("the standby is the master now")

    async def note(self, connection: Connection, place: str, folder_id: int, copies: list[Copy]) -> None:
        rows = list(zip(*((each.uid, each.entry_id, _text(each.keywords)) for each in copies), strict=True))
        if rows:
            await connection.execute(_SQL["insert_copies"], *self._key, place, folder_id, *map(list, rows))

    # ------------------------------------------------------------------ what is different

    async def _known(self) -> dict[str, FolderState]:
        """The folders as the last round saw them; nobody is dialled where the primary is not the master."""
        async with self._database.transaction() as connection:
            await self.check_master(connection)
            rows = await connection.fetch(_SQL["folders"], *self._key)
        return {
            row["place"]: FolderState(row["validity"], row["uid_next"], row["messages"], row["modseq"]) for row in rows
        }

    async def _forget_other_validity(self, known: dict[str, FolderState], look: Look) -> None:
        """A folder that was made anew has other UIDs: its messages are read again, and met by their content."""
        for place, state in look.states.items():
            if place in known and known[place].validity != state.validity:
                async with self._database.connection() as connection:
                    await connection.execute(_SQL["forget_place"], *self._key, place)

    async def _differences(self, look: Look, vanished: list[str]) -> _Differences:
        found = _Differences()
        places: dict[str, list[int]] = {**look.uids, **{place: [] for place in vanished}}
        async with self._database.connection() as connection:
            for place, uids in places.items():
                for row in await connection.fetch(_SQL["gone"], *self._key, place, uids):
                    found.gone[place, row["uid"]] = row["message_id"]
            for place, flags in look.keywords.items():
                texts = [_text(keywords) for keywords in flags.values()]
                for row in await connection.fetch(_SQL["flagged"], *self._key, place, list(flags), texts):
                    found.flagged[place, row["uid"]] = row["message_id"], flags[row["uid"]]
        return found

    async def _steps(self, connection: Connection, entries: list[int], differences: _Differences) -> list[Step]:
        rows = await connection.fetch(_SQL["copies"], *self._key, entries)
        copies = [RemoteCopy((row["place"], row["uid"]), row["message_id"], row["folder_id"]) for row in rows]
        return steps(copies, differences.gone, {spot: words for spot, (_, words) in differences.flagged.items()})

    # ------------------------------------------------------------------ taking it over

    async def _apply(self, differences: _Differences) -> None:
        entries = differences.entries()
        if not entries:
            return
        async with self._database.connection() as connection:
            going = sum(step.is_gone for step in await self._steps(connection, entries, differences))
            total = await connection.fetchval(_SQL["number"], *self._key)
        if not self._accepts_loss and is_too_much(going, total):
            raise TooMuchGone(f"{going:,} of {total:,} messages are gone from the primary")
        for start in range(0, len(entries), ENTRIES_AT_ONCE):
            await self._take_over(entries[start : start + ENTRIES_AT_ONCE], differences)

    async def _take_over(self, entries: list[int], differences: _Differences) -> None:
        async with self._database.transaction() as connection:
            await self.check_master(connection)
            modseq = await connection.fetchval(_STANDBY["lock_mailbox"], *self._key)
            if modseq is None:
                raise NoSuchThing("there is no such mailbox")
            work = Work(connection, self._account, self._keys, ACTOR, modseq, followed=True)
            await work.load(entries)
            for step in await self._steps(connection, entries, differences):
                with contextlib.suppress(NoSuchThing):  # somebody has destroyed it here
                    await _take(work, step)
            await work.flush()
            await self._note_differences(connection, set(entries), differences)

    async def _note_differences(self, connection: Connection, entries: set[int], differences: _Differences) -> None:
        gone = [spot for spot, entry_id in differences.gone.items() if entry_id in entries]
        await connection.execute(
            _SQL["delete_copies"], *self._key, [place for place, _ in gone], [uid for _, uid in gone]
        )
        flagged = [
            (*spot, _text(words)) for spot, (entry_id, words) in differences.flagged.items() if entry_id in entries
        ]
        if flagged:
            columns = [list(column) for column in zip(*flagged, strict=True)]
            await connection.execute(_SQL["set_keywords"], *self._key, *columns)

    async def _remember(self, look: Look, known: dict[str, FolderState], vanished: list[str]) -> None:
        async with self._database.transaction() as connection:
            await self.check_master(connection)
            for place, state in look.states.items():
                if state != known.get(place):
                    await connection.execute(
                        _SQL["set_folder"],
                        *self._key, place, state.validity, state.uid_next, state.messages, state.modseq,
                    )  # fmt: skip
            if vanished:
                await connection.execute(_SQL["forget_folders"], *self._key, vanished)


async def _take(work: Work, step: Step) -> None:
    if step.is_gone:
        await work.destroy(step.entry_id)
        return
    held = await work.entry(step.entry_id)
    await work.update(step.entry_id, keywords=step.keywords, folder_ids=step.folders(held.folder_ids))


def _text(keywords: frozenset[str]) -> str:
    return " ".join(sorted(keywords))


class Following:
    """Rounds of all mailboxes whose primary has an IMAP connector. One process at a time runs it."""

    def __init__(
        self, database: Database, keys: KeyRing, hostname: str, spool_folder: Path, settings: Settings,
        ended: Callable[[Followed], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._database = database
        self._keys = keys
        self._hostname = hostname
        self._spool = spool_folder
        self._settings = settings
        self._ended = ended
        self._enrolled = -ENROL_EVERY_S

    async def run_once(self) -> None:
        """Every mailbox whose turn it is. Raises what `UNAVAILABLE` lists."""
        primaries = [
            each
            for each in await load_primaries(self._database, self._keys)
            if each.settings.imap is not None and each.trust_state == TrustState.TRUSTED
        ]
        await self._enrol(primaries)
        await asyncio.gather(*(self._primary(each) for each in primaries))

    async def _enrol(self, primaries: list[Primary]) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._enrolled < ENROL_EVERY_S:
            return
        async with self._database.connection() as connection:
            for each in primaries:
                await connection.execute(_SQL["enrol"], each.organisation_id, each.id, self._settings.interval_s)
        self._enrolled = now

    async def _primary(self, primary: Primary) -> None:
        """As many at a time as there may be connections, until none is due or the primary does not answer."""
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(
                    _SQL["due"], primary.organisation_id, primary.id, self._settings.connections
                )
            ends = await asyncio.gather(*(self._mailbox(primary, row) for row in rows))
            if not rows or Followed.FAILED in ends:
                return

    async def _mailbox(self, primary: Primary, row: Any) -> Followed:
        connector = primary.settings.imap
        assert connector is not None
        login = connector.login(Address.parse(row["address"]))
        source = FollowedSource(
            connector, login, primary.secrets.imap_password, hostname=self._hostname, rate=self._settings.rate
        )
        account = Account(primary.organisation_id, row["mailbox_id"])
        round_ = Round(
            self._database, self._keys, account, source, self._spool, accepts_loss=row["accepts_loss"]
        )  # fmt: skip
        try:
            await round_.run()
        except TooMuchGone as error:
            await self._pause(account, row["address"], str(error))
            return self._end(Followed.PAUSED)
        except (HistoryFailure, StandbyRefusal, asyncpg.PostgresError, ValueError, *UNAVAILABLE) as error:
            reason = (str(error) or type(error).__name__)[:MAX_REASON]
            log.warning("follow.failed", mailbox=row["address"], error=reason)
            await self._done(account, Followed.FAILED, reason)
            return self._end(Followed.FAILED)
        await self._done(account, Followed.FOLLOWING, "")
        return self._end(Followed.FOLLOWING)

    def _end(self, how: Followed) -> Followed:
        self._ended(how)
        return how

    async def _done(self, account: Account, state: Followed, reason: str) -> None:
        async with self._database.connection() as connection:
            await connection.execute(
                _SQL["done"], account.organisation_id, account.mailbox_id, state, reason, self._settings.interval_s
            )

    async def _pause(self, account: Account, address: str, reason: str) -> None:
        """Nothing is taken away here until somebody has looked there."""
        log.warning("follow.paused", mailbox=address, reason=reason)
        async with self._database.transaction() as connection:
            key = (account.organisation_id, account.mailbox_id)
            await connection.execute(_SQL["done"], *key, Followed.PAUSED, reason, self._settings.interval_s)
            await raise_alert(
                connection, await self._database.ids.new(), account.organisation_id, AlertKind.FOLLOWING_PAUSED,
                f"{address}: {reason}",
                f"{reason}.\n\nThe standby mailbox keeps them and follows no further. Where they were deleted on"
                f" purpose, run: everpost mailbox follow {address} --resume",
            )  # fmt: skip
