"""An installation in a temporary folder: configuration, `everpost serve`, and stand-ins for other servers."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

READY_S = 120.0


class DidNotStart(Exception):
    """A process of the demo did not start; the message ends with what it said."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Child:
    """A process of ours, with its output in a file."""

    command: list[str]
    log: Path
    environment: Mapping[str, str] | None = None
    process: asyncio.subprocess.Process | None = None

    async def start(self, *, stdout: int | None = None) -> asyncio.subprocess.Process:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command, stdin=asyncio.subprocess.DEVNULL, stdout=log if stdout is None else stdout, stderr=log,
                env=self.environment, start_new_session=True,
            )  # fmt: skip
        return self.process

    async def kill(self) -> None:
        """At once, without a word."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def stop(self, timeout_s: float = 60) -> int | None:
        """SIGTERM; returns the exit status."""
        if self.process is None or self.process.returncode is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), timeout_s)
        except TimeoutError:
            await self.kill()
            return self.process.returncode

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""


@dataclass
class StandIn:
    """A small real mail server (`everpost.app.demo.standin`) that keeps its mail in a folder."""

    folder: Path
    domain: str
    users: Mapping[str, str]
    smtp_port: int = field(default_factory=free_port)
    imap_port: int = field(default_factory=free_port)
    child: Child | None = None

    async def start(self) -> None:
        """Raises `DidNotStart`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        users_file = self.folder / "users"
        users_file.write_text("".join(f"{user}:{password}\n" for user, password in self.users.items()))
        self.child = Child(
            [
                sys.executable, "-m", "everpost.app.demo.standin", "--dir", str(self.folder / "mail"),
                "--smtp-port", str(self.smtp_port), "--imap-port", str(self.imap_port),
                "--domain", self.domain, "--users-file", str(users_file),
            ],
            self.folder / "log",
        )  # fmt: skip
        process = await self.child.start(stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        if (await process.stdout.readline()).strip() != b"ready":
            raise DidNotStart(f"the stand-in server: {self.child.last_words()}")

    async def kill(self) -> None:
        assert self.child is not None
        await self.child.kill()

    async def stop(self) -> None:
        if self.child is not None:
            await self.child.stop()


@dataclass
class Installation:
    """`everpost serve` in a folder, on ports of the loopback address. `extra` is added to the configuration.

    Without a `name_server` that the guard can ask (address and port) it is off: nothing here may wait for the DNS.
    """

    folder: Path
    relay_port: int = 0
    workers: int = 0
    extra: str = ""
    name_server: str = ""
    hostname: str = "mx.everpost.example"
    mx_port: int = field(default_factory=free_port)
    smarthost_port: int = field(default_factory=free_port)
    web_port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    child: Child | None = None

    @property
    def config_path(self) -> Path:
        return self.folder / "everpost.toml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def write_configuration(self) -> None:
        """Everything on loopback; mail for the internet goes to `relay_port` where one is given."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711)  # the account that runs the embedded database has to pass through
        guarded = "true" if self.name_server else "false"
        asked = f'resolver = ["{self.name_server}"]' if self.name_server else ""
        relay = f'relay = "127.0.0.1:{self.relay_port}"\nrelay_tls = "none"' if self.relay_port else ""
        self.config_path.write_text(
            f"""hostname = "{self.hostname}"
data_dir = "{self.folder / "data"}"
workers = {self.workers}
[smtp.mx]
listen = ["127.0.0.1:{self.mx_port}"]
[smtp.smarthost]
listen = ["127.0.0.1:{self.smarthost_port}"]
[smtp.submission]
listen = []
listen_tls = []
[web]
listen = ["127.0.0.1:{self.web_port}"]
public_url = "{self.url}"
[metrics]
listen = ["127.0.0.1:{self.metrics_port}"]
[guard]
enabled = {guarded}
[queue]
{asked}
{relay}
[log]
format = "json"
{self.extra}"""
        )
        (self.folder / "data").mkdir(mode=0o711, exist_ok=True)

    async def start(self) -> None:
        """Start serving; returns when all its processes are ready. Raises `DidNotStart`."""
        command = [sys.executable, "-m", "everpost", "--config", str(self.config_path), "serve"]
        self.child = Child(command, self.folder / "log")
        said = self.child.log.stat().st_size if self.child.log.exists() else 0
        process = await self.child.start()
        deadline = time.monotonic() + READY_S
        async with httpx.AsyncClient(timeout=2) as client:
            while process.returncode is None and time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    # One worker answers before the others have started.
                    if (await client.get(f"{self.url}/readyz")).status_code == 200 and self._all_started(said):
                        return
                await asyncio.sleep(0.05)
        await self.stop()
        raise DidNotStart(f"everpost serve: {self.child.last_words()}")

    def _all_started(self, offset: int) -> bool:
        """Whether the supervisor has said so, in what was logged from `offset` on."""
        assert self.child is not None
        with self.child.log.open("rb") as log:
            log.seek(offset)
            return b'"serve.ready"' in log.read()

    async def stop(self) -> int | None:
        return await self.child.stop() if self.child is not None else None
