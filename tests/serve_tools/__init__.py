"""An installation around the real `everpost serve`: a primary, the internet, some people, and eyes from outside."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from everpost.app.config import load_config
from everpost.app.database import open_database
from everpost.app.demo.installation import Installation, StandIn
from everpost.app.demo.jmap import Mailbox
from everpost.continuity.activation import Continuity
from everpost.continuity.routes import Scope, ScopeKind
from everpost.continuity.snapshot import RouteSnapshot
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.primary import ImapConnector, PrimarySecrets, PrimarySettings, ProbeSettings, SmtpConnector
from everpost.identity.login import Identity

DOMAIN = "example.org"
OUTSIDER = "office@partner.example.com"
PASSWORD = "standby-test"
PEOPLE = tuple(f"{name}@{DOMAIN}" for name in ("anna", "ben", "clara", "david"))
FAST = ProbeSettings(interval_s=0.5, failures=3, successes=2, timeout_s=2.0)


@dataclass
class House:
    """What stands in a test's folder. `dsn` reaches the database, for waiting; counting is done from outside."""

    installation: Installation
    primary: StandIn
    internet: StandIn
    organisation_id: int = 0
    primary_id: int = 0
    people: Sequence[str] = PEOPLE
    dsn: str = ""
    boxes: dict[str, Mailbox] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        return Scope(self.organisation_id, ScopeKind.PRIMARY, self.primary_id)

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[Any]:
        async with open_database(load_config(self.installation.config_path)) as database:
            yield database

    @contextlib.asynccontextmanager
    async def continuity(self) -> AsyncIterator[Continuity]:
        async with self.database() as database:
            yield Continuity(database, RouteSnapshot(database))

    async def value(self, query: str, *arguments: object) -> Any:
        """One value, over a connection of its own."""
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            return await connection.fetchval(query, *arguments)
        finally:
            await connection.close()

    async def rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            return [tuple(row) for row in await connection.fetch(query, *arguments)]
        finally:
            await connection.close()

    async def until(self, query: str, wanted: object, timeout_s: float = 90, *arguments: object) -> None:
        """Until a query gives a value; the database may be away meanwhile."""
        found: object = None

        async def is_so() -> bool:
            nonlocal found
            try:
                found = await self.value(query, *arguments)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                found = error
            return bool(found == wanted)

        try:
            await eventually(is_so, timeout_s)
        except TimeoutError:
            seen = f"{query}: {found!r}, not {wanted!r}, after {timeout_s} s"
            raise AssertionError(f"{seen}\n{await self.open_deliveries()}\n{self.says()}") from None

    async def open_deliveries(self) -> str:
        """For the message of a test that failed."""
        rows = await self.rows(
            "SELECT kind, status, hold_reason, attempts, next_attempt_at - now(), leased_by, in_doubt, last_reply"
            " FROM delivery WHERE status <> 'delivered' LIMIT 20"
        )
        rows += await self.rows("SELECT run, pid, now() - seen_at FROM worker")
        return "\n".join(str(row) for row in rows)

    async def until_trust(self, state: str, timeout_s: float = 60) -> None:
        query = "SELECT trust_state FROM primary_server WHERE id = $1"
        await self.until(query, state, timeout_s, self.primary_id)

    def mailbox(self, address: str) -> Mailbox:
        return Mailbox(self.installation.url, address, PASSWORD)

    async def standby(self, address: str) -> list[bytes]:
        """Every message of a person's standby mailbox, as it is downloaded."""
        box = self.mailbox(address)
        try:
            assert await box.open(), f"the standby is closed to {address}"
            ids: list[str] = []
            while page := await box.emails(None, 250, len(ids)):
                ids += page
            blobs = [
                row["blobId"] for at in range(0, len(ids), 250) for row in await box.get(ids[at : at + 250], "blobId")
            ]
            room = asyncio.Semaphore(4)

            async def read(blob: str) -> bytes:
                async with room:
                    return await box.download(blob)

            return list(await asyncio.gather(*(read(blob) for blob in blobs)))
        finally:
            await box.close()

    async def on_primary(self, address: str) -> list[Stored]:
        return await asyncio.to_thread(read_imap, self.primary.imap_port, f"{address}*gateway")

    async def on_internet(self) -> list[Stored]:
        return await asyncio.to_thread(read_imap, self.internet.imap_port, OUTSIDER)

    def says(self) -> str:
        log = self.installation.folder / "log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A message on a mail server."""

    folder: str
    flags: frozenset[str]
    raw: bytes


def read_imap(port: int, login: str) -> list[Stored]:
    """Every message of every folder of a login."""
    found = []
    with imaplib.IMAP4("127.0.0.1", port, timeout=60) as client:
        client.login(login, PASSWORD)
        for line in client.list()[1]:
            assert isinstance(line, bytes)
            folder = line.decode().rpartition(' "/" ')[2]
            client.select(folder, readonly=True)
            if not client.search(None, "ALL")[1][0]:
                continue
            for row in client.fetch("1:*", "(FLAGS BODY.PEEK[])")[1]:
                if isinstance(row, tuple):
                    flags = frozenset(flag.decode() for flag in imaplib.ParseFlags(row[0]))
                    found.append(Stored(folder.strip('"'), flags, row[1]))
    return found


@contextlib.asynccontextmanager
async def house(
    *,
    workers: int = 2,
    probe: ProbeSettings = FAST,
    automatic_activation: bool = True,
    automatic_failback: bool = False,
    extra_mx: str = "",
    people: Sequence[str] = PEOPLE,
    settings: PrimarySettings | Callable[[StandIn], PrimarySettings] | None = None,
    imap_password: str = PASSWORD,
) -> AsyncIterator[House]:
    """Everything started, with `people` in it, whose standby is always open. Queue pauses are short.

    With `settings` the primary is reached by another way than the stand-in's ports, or is another.
    """
    for name in [name for name in os.environ if name.startswith("EVERPOST_TEST_")]:
        del os.environ[name]  # the tests' own, read when they were imported; `everpost` takes them for misspelt options
    with tempfile.TemporaryDirectory(prefix="everpost-house-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account that runs PostgreSQL has to pass through
        (folder / "tmp").mkdir()
        primary = StandIn(folder / "primary", DOMAIN, {**dict.fromkeys(people, PASSWORD), "gateway": PASSWORD})
        internet = StandIn(folder / "internet", OUTSIDER.rpartition("@")[2], {OUTSIDER: PASSWORD})
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).setenv(
                "TMPDIR", str(folder / "tmp")
            )  # kill -9 leaves some
            for server in (primary, internet):
                stack.push_async_callback(server.stop)
                await server.start()
            installation = Installation(folder / "everpost", relay_port=internet.smtp_port, workers=workers)
            installation.write_configuration()
            text = installation.config_path.read_text()
            text = text.replace("[queue]", "[queue]\nbackoff_first_s = 1\nbackoff_longest_s = 2")
            text = text.replace("[smtp.mx]", f"[smtp.mx]\n{extra_mx}")
            installation.config_path.write_text(text)
            config = load_config(installation.config_path)
            config.load_master_key(create=True)
            stack.push_async_callback(installation.stop)
            await installation.start()
            made = House(installation, primary, internet, people=people)
            made.dsn = f"postgresql://everpost@/everpost?host={config.database_folder.resolve() / 'socket'}"
            own = PrimarySettings(
                SmtpConnector("127.0.0.1", primary.smtp_port, "none"),
                ImapConnector("127.0.0.1", primary.imap_port, "none"),
                probe, automatic_activation, automatic_failback,
            )  # fmt: skip
            settings = settings(primary) if callable(settings) else settings
            await _furnish(made, settings or own, PrimarySecrets(imap_password=imap_password))
            yield made


async def _furnish(made: House, settings: PrimarySettings, secrets: PrimarySecrets) -> None:
    async with made.database() as database:
        master = load_config(made.installation.config_path).load_master_key()
        admin, identity = DirectoryAdmin(database, master), Identity(database)
        organisation = await admin.create_organisation("acme")
        made.organisation_id = organisation.id
        made.primary_id = await admin.create_primary(organisation.id, "main", settings, secrets)
        await admin.create_domain(organisation.id, DOMAIN, primary_id=made.primary_id)
        for person in made.people:
            mailbox_id = await admin.create_mailbox(organisation.id, person)
            await identity.set_password(organisation.id, mailbox_id, PASSWORD)
        await Continuity(database, RouteSnapshot(database)).set_access(made.scope, "test", opened=True)


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 30) -> None:
    """Raises `TimeoutError`."""
    deadline = time.monotonic() + timeout_s
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.05)


def children(pid: int) -> dict[str, int]:
    """Process → pid, of the supervisor's own."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if command:  # else dead, and not mourned yet
                name = "postgres" if "postgres" in command else command.split()[-1].rpartition(".")[2]
                found[f"{name}-{sum(key.startswith(name) for key in found)}"] = int(child)
    return found


def kill(pid: int) -> None:
    """At once, without a word."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found |= {int(child)} | descendants(int(child))
    return found
