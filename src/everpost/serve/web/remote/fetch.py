"""Fetching one picture from a stranger: only from public machines, only pictures, and never much or for long.

The name is resolved once for every hop, the addresses are judged, and the connection goes to a judged address: what the
name means a moment later does not matter. Nothing of the reader goes along.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx

from everpost.serve.web.remote.hosts import Address, is_public, resolve
from everpost.serve.web.remote.pictures import Picture, recognise

MAX_OCTETS: Final = 8 * 1024 * 1024
TOTAL_S: Final = 15.0
MAX_REDIRECTS: Final = 3
_PORTS: Final = {"http": 80, "https": 443}
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_HEADERS: Final = {
    "User-Agent": "Mozilla/5.0 (compatible; EverpostProxy)",
    "Accept": "image/avif,image/webp,image/png,image/jpeg,image/gif",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class NotFetched(Exception):
    """There is nothing to show; `reason` says why: address, private, redirects, unreachable, refused, type, large,
    slow, tracker."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be reached, and how."""

    resolve: Callable[[str, int], Awaitable[list[Address]]] = resolve
    may_reach: Callable[[Address], bool] = is_public
    ports: frozenset[int] = frozenset(_PORTS.values())
    max_octets: int = MAX_OCTETS
    total_s: float = TOTAL_S


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a hop goes: `connect` is an address that was judged."""

    url: SplitResult
    host: str
    port: int
    connect: Address

    @property
    def connect_url(self) -> str:
        number = f"[{self.connect}]" if self.connect.version == 6 else str(self.connect)
        path = self.url.path or "/"
        return f"{self.url.scheme}://{number}:{self.port}{path}" + (f"?{self.url.query}" if self.url.query else "")

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.url.scheme] else f"{host}:{self.port}"


class Fetcher:
    """Fetches pictures. One per process."""

    def __init__(self, reach: Reach | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.reach = reach or Reach()
        self._tls = tls or ssl.create_default_context()

    async def fetch(self, url: str) -> tuple[Picture, bytes]:
        """Raises `NotFetched`."""
        try:
            async with asyncio.timeout(self.reach.total_s):
                return await self._follow(url)
        except TimeoutError:
            raise NotFetched("slow") from None

    async def _follow(self, url: str) -> tuple[Picture, bytes]:
        for _ in range(MAX_REDIRECTS + 1):
            target = await self._judged(url)
            async with self._ask(target) as response:
                if response.status_code in _REDIRECTS:
                    url = _next(url, response.headers.get("location", ""))
                    continue
                if response.status_code != 200:
                    raise NotFetched("refused")
                return await self._read(response)
        raise NotFetched("redirects")

    async def _judged(self, url: str) -> _Target:
        """Every address of the name has to be public: who mixes in others means harm."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            raise NotFetched("address") from None
        if parts.scheme not in _PORTS or not host or parts.username is not None or port not in self.reach.ports:
            raise NotFetched("address")
        if not url.isascii() or not url.isprintable():
            raise NotFetched("address")
        found = await self.reach.resolve(host, port)
        if not found:
            raise NotFetched("unreachable")
        if not all(map(self.reach.may_reach, found)):
            raise NotFetched("private")
        return _Target(parts, host, port, found[0])

    @contextlib.asynccontextmanager
    async def _ask(self, target: _Target) -> AsyncIterator[httpx.Response]:
        headers = _HEADERS | {"Host": target.host_header}
        # The certificate is that of the name, not of the number the connection goes to.
        extensions = {} if _is_number(target.host) else {"sni_hostname": target.host}
        try:
            request = httpx.Request("GET", target.connect_url, headers=headers, extensions=extensions)
            async with httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, http2=False) as transport:
                response = await transport.handle_async_request(request)
                try:
                    yield response
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError):
            raise NotFetched("unreachable") from None

    async def _read(self, response: httpx.Response) -> tuple[Picture, bytes]:
        declared = response.headers.get("content-length", "")
        if declared.isascii() and declared.isdigit() and int(declared[:20]) > self.reach.max_octets:
            raise NotFetched("large")
        data = bytearray()
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > self.reach.max_octets:
                raise NotFetched("large")
        picture = recognise(bytes(data[: 64 * 1024]))
        if picture is None:
            raise NotFetched("type")
        if picture.is_tracker:
            raise NotFetched("tracker")
        return picture, bytes(data)


def _next(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise NotFetched("address") from None


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
