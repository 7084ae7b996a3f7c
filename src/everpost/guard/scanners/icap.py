"""A client of ICAP (RFC 3507), which most malware engines speak: the object is put before the service as the answer of
a web server (RESPMOD), with a preview where the service wants one, and 204 means that nothing speaks against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from everpost.guard.scanners.model import Detection, Nature, NotScanned, TooLarge, Unavailable

PORTS: Final = {"icap": 1344, "icaps": 11344}
CHUNK: Final = 64 * 1024
CONNECT_S: Final = 2.0
ANSWER_S: Final = 3.0  # for OPTIONS, which needs no scanning
_MAX_HEAD: Final = 64 * 1024
_MAX_PREVIEW: Final = 1024 * 1024
_OPTIONS_S: Final = 3600.0  # how long the service's wishes are taken as known
_REQUEST: Final = b"GET http://everpost.invalid/message HTTP/1.1\r\nHost: everpost.invalid\r\n\r\n"
_RESPONSE: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
_NOTHING: Final = frozenset(("", "0", "none", "no", "clean", "no threats"))

Fields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Head:
    """Status and fields (names in lower case) of an answer."""

    status: int
    fields: Fields


class Icap:
    """`url` names the service: icap://host:port/service, or icaps:// for TLS from the start. Raises `ValueError`."""

    def __init__(self, url: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError("write it as icap://host:port/service")
        self._url = url
        self._host, self._port = parts.hostname, parts.port or PORTS[parts.scheme]
        self._authority = parts.netloc.rpartition("@")[2]
        self._context = (context or ssl.create_default_context()) if parts.scheme == "icaps" else None
        self._preview: int | None = None
        self._known_until = 0.0

    async def check(self) -> str:
        """What the service calls itself. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(ANSWER_S):
                fields = await self._options()
        except TimeoutError:
            raise Unavailable(f"no answer to OPTIONS within {ANSWER_S:g} s") from None
        return " ".join(fields[name] for name in ("service", "istag") if name in fields)[:200] or self._url

    async def scan(self, chunks: Iterable[bytes], size: int) -> tuple[Detection, ...]:
        """Put an object before the service. Raises `Unavailable`, `TooLarge`, `NotScanned`."""
        if time.monotonic() >= self._known_until:
            await self._options()
        async with self._connected() as (reader, writer):
            sender = _Sender(writer, chunks, min(self._preview or 0, size) if self._preview is not None else None, size)
            writer.write(self._respmod(size, sender.preview))
            head = await _answered(reader, sender.begin())
            if head.status == 100:
                head = await _answered(reader, sender.go_on())
            return await self._understood(head, reader, sender)

    # ------------------------------------------------------------------ requests

    async def _options(self) -> Fields:
        """What the service wants (§4.10), remembered for as long as it says. Raises `Unavailable`."""
        async with self._connected() as (reader, writer):
            writer.write(f"OPTIONS {self._url} ICAP/1.0\r\nHost: {self._authority}\r\n\r\n".encode())
            head = await _read_head(reader)
        if head.status != 200:
            raise Unavailable(f"answers {head.status} to OPTIONS")
        if "RESPMOD" not in head.fields.get("methods", "RESPMOD").upper():
            raise Unavailable(f"offers {head.fields['methods'][:50]}, not RESPMOD")
        preview = _number(head.fields.get("preview"))
        self._preview = None if preview is None else min(preview, _MAX_PREVIEW)
        lifetime = _number(head.fields.get("options-ttl"))
        self._known_until = time.monotonic() + min(_OPTIONS_S, lifetime or _OPTIONS_S)
        return head.fields

    def _respmod(self, size: int, preview: int | None) -> bytes:
        response = _RESPONSE % size
        first = len(_REQUEST)
        lines = [
            f"RESPMOD {self._url} ICAP/1.0", f"Host: {self._authority}", "User-Agent: Everpost", "Allow: 204",
            "Connection: close", *([] if preview is None else [f"Preview: {preview}"]),
            f"Encapsulated: req-hdr=0, res-hdr={first}, res-body={first + len(response)}",
        ]  # fmt: skip
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + _REQUEST + response

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            async with asyncio.timeout(CONNECT_S):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._context, limit=_MAX_HEAD
                )
        except TimeoutError:
            raise Unavailable(f"{self._authority}: no connection within {CONNECT_S:g} s") from None
        except OSError as error:
            raise Unavailable(f"{self._authority}: {error.strerror or error}") from error
        try:
            yield reader, writer
        except OSError as error:
            raise Unavailable(f"{self._authority}: {error.strerror or error}") from error
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise Unavailable(f"{self._authority}: not ICAP, or cut short: {error}"[:200]) from error
        finally:
            writer.transport.abort()

    # ------------------------------------------------------------------ answers

    async def _understood(self, head: _Head, reader: asyncio.StreamReader, sender: _Sender) -> tuple[Detection, ...]:
        found = _named(head.fields)
        if found is not None or head.status == 204:
            return () if found is None else (found,)
        if head.status == 413:
            raise TooLarge("larger than the service takes")
        if head.status >= 500:
            raise NotScanned(f"answers {head.status}")
        if head.status not in (200, 201):
            raise Unavailable(f"answers {head.status} to RESPMOD")
        if await _same(head.fields.get("encapsulated", ""), reader, sender):
            return ()
        return (Detection("blocked or changed, without saying why", Nature.SUSPECT),)


def _named(fields: Fields) -> Detection | None:
    """What the fields say that engines use for it; the RFC has none."""
    threat = fields.get("x-infection-found", "")
    if threat.lower() not in _NOTHING:
        values = dict(item.strip().partition("=")[::2] for item in threat.split(";") if "=" in item)
        nature = Nature.MALWARE if values.get("Type", "0") == "0" else Nature.SUSPECT
        return Detection((values.get("Threat") or fields.get("x-virus-id") or threat)[:200], nature)
    for name in ("x-virus-id", "x-blocked-reason"):
        if fields.get(name, "").lower() not in _NOTHING:
            return Detection(fields[name][:200])
    violations = fields.get("x-violations-found", "").split("\n")
    if violations[0].strip() not in _NOTHING:
        return Detection((violations[2] if len(violations) > 2 else violations[0]).strip()[:200])
    return None


async def _same(encapsulated: str, reader: asyncio.StreamReader, sender: _Sender) -> bool:
    """Whether a service that knows no 204 gave back what it was sent."""
    offsets = dict(item.strip().partition("=")[::2] for item in encapsulated.split(","))
    if "res-body" not in offsets:
        return False
    http = await reader.readexactly(min(int(offsets["res-body"]), _MAX_HEAD))
    status = http[int(offsets.get("res-hdr", 0)) :].split(b" ", 2)[1:2]
    if status != [b"200"]:
        return False
    digest, left = hashlib.sha256(), sender.size
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        left -= size
        if left < 0:
            return False
        digest.update(await reader.readexactly(size))
        await reader.readexactly(2)
    return left == 0 and digest.digest() == sender.digest.digest()


async def _answered(reader: asyncio.StreamReader, sending: asyncio.Future[None]) -> _Head:
    """The head of the answer, which may come before all is sent: then the rest is not."""
    reading = asyncio.ensure_future(_read_head(reader))
    try:
        await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            await sending  # what is to be sent could not be read
        return await reading
    finally:
        for task in (reading, sending):
            task.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _read_head(reader: asyncio.StreamReader) -> _Head:
    text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = text.replace("\r\n ", "\n").replace("\r\n\t", "\n").split("\r\n")  # folded lines stay lines
    words = first.split(" ", 2)
    if not words[0].startswith("ICAP/") or len(words) < 2 or _number(words[1]) is None:
        raise Unavailable(f"answers {first[:60]!r}")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return _Head(int(words[1]), {name.strip().lower(): value.strip() for name, _, value in pairs})


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


class _Sender:
    """Sends the body in chunks (RFC 3507 §4.5): all of it, or a preview and then the rest."""

    def __init__(self, writer: asyncio.StreamWriter, chunks: Iterable[bytes], preview: int | None, size: int) -> None:
        self.preview = preview
        self.size = size
        self.digest = hashlib.sha256()
        self._writer = writer
        self._pieces = _pieces(chunks, preview or 0)

    def begin(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._rest() if self.preview is None else self._send_preview(self.preview))

    def go_on(self) -> asyncio.Task[None]:
        """After 100 Continue."""
        return asyncio.create_task(self._rest())

    async def _send_preview(self, octets: int) -> None:
        with contextlib.suppress(ConnectionError):  # the answer, or that there is none, says why
            if octets:
                self._write(next(self._pieces, b""))
            self._writer.write(b"0; ieof\r\n\r\n" if octets >= self.size else b"0\r\n\r\n")
            await self._writer.drain()

    async def _rest(self) -> None:
        with contextlib.suppress(ConnectionError):
            for piece in self._pieces:
                self._write(piece)
                await self._writer.drain()
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()

    def _write(self, piece: bytes) -> None:
        if piece:
            self.digest.update(piece)
            self._writer.write(b"%x\r\n" % len(piece) + piece + b"\r\n")


def _pieces(chunks: Iterable[bytes], first: int) -> Iterator[bytes]:
    """The octets in pieces: one of exactly `first` octets where that is not 0, then others of at most `CHUNK`."""
    held = b""
    for chunk in chunks:
        held += chunk
        if first and len(held) < first:
            continue
        if first:
            yield held[:first]
            held, first = held[first:], 0
        for start in range(0, len(held), CHUNK):
            yield held[start : start + CHUNK]
        held = b""
    if held:
        yield held
