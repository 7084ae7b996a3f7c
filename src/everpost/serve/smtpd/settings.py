"""What the SMTP face is told by the configuration."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from everpost.wire.smtp.events import Role, ServerLimits


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listening socket. `tls_context` is asked at each handshake, so that new certificates count at once."""

    role: Role
    host: str
    port: int
    implicit_tls: bool = False
    tls_context: Callable[[], ssl.SSLContext | None] = lambda: None
    proxy_from: tuple[IPv4Network | IPv6Network, ...] = ()
    limits: ServerLimits = field(default_factory=ServerLimits)
    connections: int = 2500  # in this process
    connections_per_client: int = 100
    idle_s: float = 300.0  # RFC 5321 §4.5.3.2.7
    session_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class SmtpdSettings:
    """What all listeners share. `spool_folder` takes the sealed chunks of large messages while they arrive."""

    hostname: str
    spool_folder: Path
    max_hops: int = 100  # RFC 5321 §6.3
    max_own_hops: int = 5
