"""A worker process: SMTP listeners, web, intake and queue, all on the same ports as its siblings."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from datetime import timedelta

import uvicorn

from everpost.app import metrics
from everpost.app.assembly import (
    Ground,
    make_ground,
    make_intake,
    make_links,
    make_router,
    refresh_lanes,
    refresh_primaries,
)
from everpost.app.child import run_child
from everpost.app.config import Config, Listener, parse_endpoint
from everpost.app.console import make_api
from everpost.app.guarding import make_guarding
from everpost.app.refresh import Refresher, Repeater
from everpost.app.tls import server_context
from everpost.continuity import snapshot
from everpost.continuity.monitor import Suspicions
from everpost.continuity.presence import ImapPresence
from everpost.continuity.trust import TrustState
from everpost.directory import changes
from everpost.directory.relays import RelayTable
from everpost.guard.learn.models import CHANNEL as MODELS_CHANNEL
from everpost.guard.learn.models import Models
from everpost.guard.policy.store import Policies
from everpost.identity.login import Identity
from everpost.identity.sessions import Sessions
from everpost.identity.throttle import Throttle
from everpost.intake.senders import CHANNEL as SENDERS_CHANNEL
from everpost.intake.senders import SenderLists
from everpost.queue.leases import Leases
from everpost.queue.model import CHANNEL as QUEUE_CHANNEL
from everpost.queue.outcome import Terms
from everpost.queue.schedule import Backoff
from everpost.queue.worker import QueueWorker, WorkerSettings
from everpost.serve.smtpd.policy import Gatekeeper
from everpost.serve.smtpd.receive import Receiver
from everpost.serve.smtpd.server import SmtpListener, bind
from everpost.serve.smtpd.settings import ListenerSettings, SmtpdSettings
from everpost.serve.web.app import create_app
from everpost.serve.web.jmap.push import Push
from everpost.serve.web.remote.addresses import Signer
from everpost.serve.web.remote.fetch import Fetcher
from everpost.serve.web.services import Remote, WebServices
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.sql import load
from everpost.wire.jmap.core import MAX_SIZE_REQUEST
from everpost.wire.smtp.events import Role, ServerLimits

_STORE = load("store")
HEARTBEAT_S = 2.0
CONNECTIONS = 10
WEB_DRAIN_S = 10


class Worker:
    """One worker's parts, put together from the configuration."""

    def __init__(self, config: Config, database: Database, keys: KeyRing, run: int) -> None:
        self._config = config
        self._database = database
        self._run = run
        self._ground = ground = make_ground(config, database, keys)
        self._router = make_router(config)
        self._identity = Identity(database)
        self._relays = RelayTable(database)
        self._models = Models(database)
        self._senders = SenderLists(database)
        self._queue = self._make_queue(ground, keys)
        self._intake = make_intake(ground, self._queue, run)
        self._policies = Policies(database)
        self._guarding = make_guarding(config, database, self._ground.directory, self._models)
        self._screen = self._guarding.screen(self._ground.directory, self._policies, self._intake, self._senders)
        self._listeners = list(self._make_listeners())
        self._api = make_api(ground, self._intake)
        self._web = self._make_web()
        self._heart = Repeater("heartbeat", self._beat, HEARTBEAT_S)
        self._switches = Refresher("switches", self._see_switches)
        self._people = Refresher("directory", self._see_directory, pause_s=0.2)
        self._lanes = Refresher("lanes", self._see_lanes, pause_s=1.0)
        self._learned = Refresher("classifier", self._models.refresh, pause_s=0.5)
        self._tasks: list[asyncio.Task[None]] = []

    # ------------------------------------------------------------------ putting it together

    def _make_queue(self, ground: Ground, keys: KeyRing) -> QueueWorker:
        config, routes = self._config.queue, ground.routes
        first, longest = timedelta(seconds=config.backoff_first_s), timedelta(seconds=config.backoff_longest_s)
        told_after = timedelta(seconds=config.delay_notice_s) if config.delay_notice_s else None
        settings = WorkerSettings(
            self._config.hostname, config.concurrency, connections_per_lane=config.per_destination,
            terms=Terms(Backoff(first, longest=longest), told_after),
        )  # fmt: skip
        return QueueWorker(
            settings, Leases(self._database, self._run), ground.blobs, self._router,
            may_attempt=lambda organisation_id, primary_id: routes.table.may_attempt(organisation_id, primary_id),
            may_bounce=lambda organisation_id, primary_id: (
                routes.table.state(organisation_id, primary_id) is TrustState.TRUSTED
            ),
            presence=ImapPresence(self._database, keys, self._config.hostname),
            failed=Suspicions(self._database).suspect_now,
        )  # fmt: skip

    def _make_listeners(self) -> Iterator[SmtpListener]:
        smtp = self._config.smtp
        settings = SmtpdSettings(self._config.hostname, self._config.spool_folder)
        gate = Gatekeeper(self._ground.directory, self._ground.routes, self._identity, self._relays)
        receiver = Receiver(
            settings, self._intake, self._ground.directory, metrics.ACCEPT_SECONDS.observe, self._screen
        )
        wanted: list[tuple[Role, Listener, tuple[str, ...], bool]] = [
            (Role.MX, smtp.mx, smtp.mx.listen, False),
            (Role.SMARTHOST, smtp.smarthost, smtp.smarthost.listen, False),
            (Role.SUBMISSION, smtp.submission, smtp.submission.listen, False),
            (Role.SUBMISSION, smtp.submission, smtp.submission.listen_tls, True),
        ]
        for role, section, endpoints, implicit in wanted:
            context = server_context(self._config, section)
            for text in endpoints if context is not None or not implicit else ():
                endpoint = parse_endpoint(text)
                listener = ListenerSettings(
                    role, endpoint.host, endpoint.port, implicit, lambda context=context: context,  # type: ignore[misc]
                    tuple(ipaddress.ip_network(network) for network in section.proxy_from),
                    ServerLimits(
                        message_octets=section.message_octets, recipients=section.recipients, errors=section.errors
                    ),
                    section.connections, section.connections_per_client, section.idle_s, section.session_s,
                )  # fmt: skip
                yield SmtpListener(listener, self._config.hostname, gate, receiver)

    def _make_web(self) -> _WebServer:
        ground = self._ground
        services = WebServices(
            self._database, ground.standby, ground.directory, ground.routes, self._intake, self._identity,
            self._config.spool_folder, Sessions(self._database), Throttle(), self._make_remote(),
            self._guarding.clicks, make_links(self._config), self._screen,
        )  # fmt: skip
        web = self._config.web
        pair = self._config.certificate(web) if web.tls else None
        app = create_app(services, self._api)
        self._push: Push = app.state.push
        settings = uvicorn.Config(
            app, loop="none", lifespan="off", access_log=False, log_config=None,
            server_header=False, ssl_certfile=pair[0] if pair else None, ssl_keyfile=pair[1] if pair else None,
            timeout_graceful_shutdown=WEB_DRAIN_S, backlog=1024, ws="websockets-sansio",
            ws_max_size=MAX_SIZE_REQUEST, ws_per_message_deflate=False,
        )  # fmt: skip
        return _WebServer(settings)

    def _make_remote(self) -> Remote | None:
        if not self._config.web.remote_pictures:
            return None
        return Remote(Signer(self._config.load_master_key().derived("remote pictures")), Fetcher())

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Raises `OSError` where an address is taken, and what `store.database.UNAVAILABLE` lists."""
        self._config.spool_folder.mkdir(parents=True, exist_ok=True)
        self._intake.on_commit = metrics.ACCEPTED.inc
        await self._see_directory()
        await self._see_lanes()
        await self._see_switches()
        self._intake.start()
        self._queue.start()
        for listener in self._listeners:
            await listener.start()
        sockets = [bind(*_pair(text)) for text in self._config.web.listen]
        channels: dict[str, Callable[[str], None]] = {
            snapshot.CHANNEL: self._heard_of_switch,
            changes.CHANNEL: self._people.kick,
            QUEUE_CHANNEL: self._heard_of_work,
            MODELS_CHANNEL: self._learned.kick,
            SENDERS_CHANNEL: self._senders.heard,
        }
        runs = [
            self._heart.run(), self._switches.run(), self._people.run(), self._lanes.run(),
            self._learned.run(),
            self._database.listen(channels), self._measure(), self._guarding.keep_lists(),
        ]  # fmt: skip
        if sockets:
            runs.append(self._web.serve(sockets))
        self._tasks = [asyncio.create_task(run) for run in runs]

    async def stop(self) -> None:
        """Take nothing new, finish what is under way, give the rest back."""
        self._push.close()
        self._web.should_exit = True
        await self._api.close()
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        await self._intake.stop()
        await self._queue.stop()
        if self._config.web.listen:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._web.ended.wait(), WEB_DRAIN_S + 1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._database.connection() as connection:
            await connection.execute(_STORE["worker_gone"], self._run)

    # ------------------------------------------------------------------ seeing what changed

    async def _see_switches(self) -> None:
        await self._ground.routes.load()
        await self._beat()

    async def _beat(self) -> None:
        """Say that this worker lives, and which switches it acts upon."""
        generation = self._ground.routes.table.generation
        async with self._database.connection() as connection:
            await connection.execute(_STORE["worker_seen"], self._run, socket.gethostname(), os.getpid(), generation)

    async def _see_directory(self) -> None:
        self._ground.forget_directory()
        self._policies.forget()
        self._identity.forget()
        await self._relays.load()
        await refresh_primaries(self._router, self._ground)

    async def _see_lanes(self) -> None:
        await refresh_lanes(self._router, self._ground)

    def _heard_of_switch(self, payload: str) -> None:
        self._switches.kick(payload)
        self._api.heard_of_change()

    def _heard_of_work(self, _payload: str) -> None:
        self._lanes.kick()
        self._queue.wake()

    async def _measure(self) -> None:
        """Figures that are states of this process."""
        while True:
            metrics.OUTSTANDING.set(self._queue.outstanding)
            for role in Role:
                own = [listener.connections for listener in self._listeners if listener.role is role]
                metrics.CONNECTIONS.labels(role.value).set(sum(own))
            for status, count in self._queue.take_counts().items():
                metrics.ATTEMPTS.labels(status.value).inc(count)
            await asyncio.sleep(1)


class _WebServer(uvicorn.Server):
    """uvicorn inside a process that handles its own signals."""

    def __init__(self, settings: uvicorn.Config) -> None:
        super().__init__(settings)
        self.ended = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.ended.set()


def _pair(text: str) -> tuple[str, int]:
    endpoint = parse_endpoint(text)
    return endpoint.host, endpoint.port


async def make_worker(config: Config, database: Database, keys: KeyRing) -> Worker:
    """A worker under a number of its own, which no other life of a worker has. Raises `ConfigError`."""
    async with database.connection() as connection:
        run = int(await connection.fetchval(_STORE["next_worker_run"]))
    return Worker(config, database, keys, run)


if __name__ == "__main__":
    run_child(make_worker, connections=CONNECTIONS)
