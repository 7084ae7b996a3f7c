"""The parts that every process is put together from."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import dns.asyncresolver
import structlog
from dns.nameserver import Do53Nameserver

from everpost.app.config import Config, parse_endpoint, parse_server
from everpost.continuity.activation import Continuity
from everpost.continuity.failback.run import FailbackRunner, RunnerSettings
from everpost.continuity.snapshot import RouteSnapshot
from everpost.continuity.tls import connector_context
from everpost.directory.dkim import SigningKeys
from everpost.directory.primary import Primary, load_primaries
from everpost.directory.resolve import Directory
from everpost.intake.accept import Intake, Outlet
from everpost.intake.commit import Writer
from everpost.intake.links import DigestLinks
from everpost.intake.signing import Signer
from everpost.queue.model import CHANNEL, ReadyMessage, primary_lane
from everpost.queue.route import Host, Router
from everpost.queue.smtp_client import TlsMode
from everpost.standby.service import Standby
from everpost.store.blobs import BlobReader, KeyRing
from everpost.store.database import UNAVAILABLE, Database
from everpost.store.sql import load

log = structlog.get_logger()
_QUEUE = load("queue")
_STORE = load("store")


@dataclass(frozen=True, slots=True)
class Ground:
    """What reads and changes the database, in any process."""

    config: Config
    database: Database
    keys: KeyRing
    blobs: BlobReader
    routes: RouteSnapshot
    directory: Directory
    standby: Standby
    continuity: Continuity
    signing_keys: SigningKeys

    def forget_directory(self) -> None:
        """The directory has changed."""
        self.directory.forget()
        self.signing_keys.forget()


def make_ground(config: Config, database: Database, keys: KeyRing) -> Ground:
    """Put it together; nothing is read yet."""
    blobs, routes = BlobReader(database, keys), RouteSnapshot(database)
    return Ground(
        config, database, keys, blobs, routes, Directory(database),
        Standby(database, keys, blobs, config.spool_folder),
        Continuity(database, routes, portal_url=config.base_url), SigningKeys(database, keys),
    )  # fmt: skip


def make_intake(ground: Ground, outlet: Outlet, run: int) -> Intake:
    """The intake of a process; `run` names its life where it attempts deliveries itself."""
    lifetime = timedelta(seconds=ground.config.queue.internet_lifetime_s)
    writer = Writer(ground.config.hostname, ground.database.ids, ground.keys, run, internet_lifetime=lifetime)
    signer = Signer(ground.signing_keys, ground.blobs, ground.config.hostname)
    return Intake(ground.database, writer, ground.routes, outlet, signer)


def make_links(config: Config) -> DigestLinks:
    """Signs the links of digests, and reads them."""
    return DigestLinks(config.load_master_key().derived("quarantine links"), config.base_url)


def make_failback_runner(ground: Ground) -> FailbackRunner:
    """Runs failbacks in this process."""
    settings = RunnerSettings(ground.config.hostname)
    return FailbackRunner(
        settings, ground.database, ground.keys, ground.blobs, ground.routes, ground.continuity.keeper
    )  # fmt: skip


class NotifyingOutlet:
    """The outlet of a process that attempts no deliveries: it tells the workers that there are some."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tasks: set[asyncio.Task[None]] = set()

    def room(self) -> int:
        return 0

    def take(self, message: ReadyMessage) -> None:
        raise AssertionError("nothing is leased where there is no room")

    def wake(self) -> None:
        task = asyncio.get_running_loop().create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        with contextlib.suppress(*UNAVAILABLE):  # the workers look by themselves every second
            async with self._database.connection() as connection:
                await connection.execute(_STORE["notify"], CHANNEL, "")


@dataclass(frozen=True, slots=True)
class Mailroom(Ground):
    """The ground with an intake, for a process that attempts no deliveries itself."""

    intake: Intake


@contextlib.asynccontextmanager
async def mailroom(config: Config, database: Database, keys: KeyRing) -> AsyncIterator[Mailroom]:
    """An intake that runs inside the block."""
    ground = make_ground(config, database, keys)
    await ground.routes.load()
    intake = make_intake(ground, NotifyingOutlet(database), 0)
    intake.start()
    try:
        yield Mailroom(
            config, database, keys, ground.blobs, ground.routes, ground.directory, ground.standby, ground.continuity,
            ground.signing_keys, intake,
        )  # fmt: skip
    finally:
        await intake.stop()


# ------------------------------------------------------------------ where mail goes


def make_router(config: Config) -> Router:
    """Knows relay and resolver; the rest comes with `refresh_primaries` and `refresh_lanes`. Raises `ConfigError`."""
    queue = config.queue
    router = Router(config.hostname, internet_tls=TlsMode(queue.internet_tls))
    router.resolver = make_resolver(config) or router.resolver
    if queue.relay:
        endpoint = parse_endpoint(queue.relay)
        router.relay = Host(endpoint.host, endpoint.port, TlsMode(queue.relay_tls), queue.relay_credentials())
    return router


def make_resolver(config: Config) -> dns.asyncresolver.Resolver | None:
    """The DNS servers that are configured; None where the system's are to be asked."""
    if not config.queue.resolver:
        return None
    resolver = dns.asyncresolver.Resolver(configure=False)
    servers = [parse_server(text, 53) for text in config.queue.resolver]
    resolver.nameservers = [Do53Nameserver(server.host, server.port) for server in servers]
    return resolver


async def refresh_primaries(router: Router, ground: Ground) -> None:
    """Read the connectors again."""
    primaries = await load_primaries(ground.database, ground.keys)
    router.primaries = {primary_lane(primary.id): host for primary in primaries if (host := host_of(primary))}


async def refresh_lanes(router: Router, ground: Ground) -> None:
    """Read bindings and suspensions again."""
    async with ground.database.connection() as connection:
        bindings = await connection.fetch(_QUEUE["lane_bindings"])
        suspensions = await connection.fetch(_QUEUE["all_suspensions"])
    router.bindings = {
        (row["organisation_id"], row["lane"]): Host(row["host"], row["port"]) for row in bindings
    }  # fmt: skip
    router.suspensions = {(row["organisation_id"], row["lane"]): row["expires_at"] for row in suspensions}


def host_of(primary: Primary) -> Host | None:
    """Where a primary takes mail; None, and a log, where its certificates cannot be read: its mail waits."""
    connector, secrets = primary.settings.smtp, primary.secrets
    mode = TlsMode(connector.tls)
    verify = connector.verify and mode in (TlsMode.REQUIRED, TlsMode.IMPLICIT)
    try:
        context = None if mode is TlsMode.NONE else connector_context(verify=verify, ca_file=connector.ca_file)
    except OSError as error:
        log.error("router.connector_unusable", primary=primary.name, ca_file=connector.ca_file, error=str(error))
        return None
    credentials = (secrets.smtp_username, secrets.smtp_password) if secrets.smtp_username else None
    return Host(connector.host, connector.port, mode, credentials, context)
