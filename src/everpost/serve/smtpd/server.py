"""Listening sockets of the SMTP face. Several processes may listen on the same port (SO_REUSEPORT)."""

from __future__ import annotations

import asyncio
import socket

from everpost.serve.smtpd.policy import Gatekeeper
from everpost.serve.smtpd.receive import Receiver
from everpost.serve.smtpd.session import Census, SmtpSession
from everpost.serve.smtpd.settings import ListenerSettings
from everpost.wire.smtp.events import Role

DRAIN_S = 20.0


class SmtpListener:
    """One listener: start it, stop it."""

    def __init__(self, settings: ListenerSettings, hostname: str, gate: Gatekeeper, receiver: Receiver) -> None:
        self._settings = settings
        self._hostname = hostname
        self._gate = gate
        self._receiver = receiver
        self._census = Census(settings)
        self._server: asyncio.Server | None = None

    @property
    def role(self) -> Role:
        return self._settings.role

    @property
    def connections(self) -> int:
        return len(self._census.sessions)

    @property
    def port(self) -> int:
        """The port it really listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises `OSError` where the address is taken or may not be used."""
        settings = self._settings
        self._server = await asyncio.get_running_loop().create_server(
            self._session,
            sock=bind(settings.host, settings.port),
            backlog=1024,
            ssl=settings.tls_context() if settings.implicit_tls else None,
        )

    async def stop(self) -> None:
        """Take no new connection, let messages under way finish, close the rest."""
        assert self._server is not None
        self._server.close()
        deadline = asyncio.get_running_loop().time() + DRAIN_S
        while self._census.sessions and asyncio.get_running_loop().time() < deadline:
            for session in list(self._census.sessions):
                session.shut_down()
            await asyncio.sleep(0.05)

    def _session(self) -> SmtpSession:
        return SmtpSession(self._settings, self._hostname, self._gate, self._receiver, self._census)


def bind(host: str, port: int) -> socket.socket:
    """A socket that several processes may have for the same address. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
