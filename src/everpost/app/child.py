"""A process that the supervisor started: what it is told, how it says it is ready, and how it ends.

It is told on standard input, which stays open as long as the supervisor lives; a child that reads its end stops.
It answers on standard output with one line: `ready`, or why it could not start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
import uvloop

from everpost.app.config import Config, ConfigError, load_config
from everpost.app.logs import configure_logs
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE, Database

log = structlog.get_logger()
READY = b"ready\n"


class Orders(msgspec.Struct, frozen=True):
    """What the supervisor tells a child. `config` is empty where the environment alone configures."""

    process: str
    config: str
    dsn: str


class Part(Protocol):
    """What runs in a child."""

    async def start(self) -> None:
        """Raises `ConfigError` and `OSError`."""

    async def stop(self) -> None:
        """Finish what is under way."""


MakePart = Callable[[Config, Database, KeyRing], Awaitable[Part]]


def run_child(make: MakePart, *, connections: int) -> None:
    """The whole life of a child process."""
    uvloop.run(_live(make, connections))


async def _live(make: MakePart, connections: int) -> None:
    reader = await _standard_input()
    orders = msgspec.json.decode(await reader.readline(), type=Orders)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)  # the supervisor's business
    try:
        config = load_config(Path(orders.config) if orders.config else None)
        configure_logs(config.log, orders.process)
        database = await Database.connect(orders.dsn, connections=connections)
        part = await make(config, database, KeyRing(database, config.load_master_key()))
        await part.start()
    except (ConfigError, OSError, *UNAVAILABLE) as error:
        sys.stdout.buffer.write(f"{error or type(error).__name__}\n".encode())
        sys.stdout.flush()
        raise SystemExit(1) from None
    with contextlib.suppress(BrokenPipeError):  # the supervisor is gone already: its end is read below
        os.write(sys.stdout.fileno(), READY)
    log.info("process.ready", pid=os.getpid())
    orphaned = asyncio.create_task(_until_end(reader, ended))
    await ended.wait()
    log.info("process.stopping")
    await part.stop()
    orphaned.cancel()
    await database.close()
    log.info("process.stopped")


async def _standard_input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _until_end(reader: asyncio.StreamReader, ended: asyncio.Event) -> None:
    while await reader.read(4096):
        pass
    log.warning("process.orphaned")
    ended.set()
