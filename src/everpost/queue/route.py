"""From a lane to the servers to dial: a primary's connector, a person's rebinding, a relay, or MX records."""

from __future__ import annotations

import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dns.asyncresolver
import dns.exception
import dns.resolver

from everpost.mail.reply import Reply
from everpost.queue.smtp_client import TlsMode

SMTP_PORT = 25
MAX_HOSTS = 10
NULL_MX = Reply(556, "The domain does not accept mail", (1, 10))  # RFC 7505 §4
NO_DOMAIN = Reply(550, "The domain does not exist", (1, 2))
POINTS_TO_US = Reply(554, "The best mail exchanger of the domain is this server", (4, 6))


@dataclass(frozen=True, slots=True)
class Host:
    """One server to dial."""

    name: str
    port: int = SMTP_PORT
    tls: TlsMode = TlsMode.OPPORTUNISTIC
    credentials: tuple[str, str] | None = field(default=None, repr=False)
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False, compare=False)  # None: as `tls` says


class Undeliverable(Exception):
    """There is nowhere to dial, and no later try will change that."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class RouteUnknown(Exception):
    """There is nowhere to dial just now: try again later."""


@dataclass(slots=True)
class Router:
    """Knows where each lane leads. `primaries` and `bindings` are replaced as a whole when they change."""

    hostname: str
    primaries: Mapping[str, Host] = field(default_factory=dict)
    bindings: Mapping[tuple[int, str], Host] = field(default_factory=dict)
    suspensions: Mapping[tuple[int, str], datetime | None] = field(default_factory=dict)  # '': all; until when
    relay: Host | None = None
    internet_tls: TlsMode = TlsMode.OPPORTUNISTIC
    resolver: dns.asyncresolver.Resolver | None = None

    def suspended(self, organisation_id: int, lane: str) -> bool:
        """Whether a person has stopped a lane, or all lanes of its organisation."""
        for name in (lane, ""):
            if (organisation_id, name) in self.suspensions:
                until = self.suspensions[organisation_id, name]
                if until is None or until > datetime.now(UTC):
                    return True
        return False

    def home(self, organisation_id: int, lane: str) -> Host | None:
        """The one server a lane leads to, as things are set up now; None where MX records say."""
        bound = self.bindings.get((organisation_id, lane))
        if bound is not None:
            return bound
        return self.primaries.get(lane) if lane.startswith("primary:") else self.relay

    async def hosts(self, organisation_id: int, lane: str) -> list[Host]:
        """The servers to try in order. Raises `Undeliverable` and `RouteUnknown`."""
        home = self.home(organisation_id, lane)
        if home is not None:
            return [home]
        kind, _, name = lane.partition(":")
        if kind == "primary":
            raise RouteUnknown(f"no connector for {lane}")
        return await self._exchangers(name)

    async def _exchangers(self, domain: str) -> list[Host]:
        """MX records by preference, equal ones in random order; else the domain itself (RFC 5321 §5.1)."""
        if domain.startswith("["):
            return [self._internet_host(domain.strip("[]").removeprefix("IPv6:"))]
        try:
            answer = await (self.resolver or dns.asyncresolver.get_default_resolver()).resolve(domain, "MX")
        except dns.resolver.NXDOMAIN:
            raise Undeliverable(NO_DOMAIN) from None
        except dns.resolver.NoAnswer:
            return [self._internet_host(domain)]
        except dns.exception.DNSException as error:
            raise RouteUnknown(f"no answer for MX {domain}: {error}") from error
        records = [(record.preference, str(record.exchange).rstrip(".").lower()) for record in answer]
        return self._order(records)

    def _order(self, records: list[tuple[int, str]]) -> list[Host]:
        if records and all(not name for _, name in records):
            raise Undeliverable(NULL_MX)
        own = [preference for preference, name in records if name == self.hostname.lower()]
        usable = [record for record in records if record[1] and (not own or record[0] < min(own))]
        if not usable:
            raise Undeliverable(POINTS_TO_US)
        random.shuffle(usable)
        return [self._internet_host(name) for _, name in sorted(usable, key=lambda record: record[0])[:MAX_HOSTS]]

    def _internet_host(self, name: str) -> Host:
        return Host(name, tls=self.internet_tls)
