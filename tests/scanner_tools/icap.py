"""A small ICAP server (RFC 3507) that finds EICAR, and can be told to behave like this or that engine."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field

from peers.clamd import EICAR

FOUND_FIELDS = "X-Infection-Found: Type=0; Resolution=2; Threat=Eicar;\r\n"


@dataclass
class IcapServer:
    """`preview` is what OPTIONS asks for; `knows_204` whether it uses 204; `found` are the fields of an answer to
    EICAR; `status` answers everything with this; `early` answers before it has read the body; `bodies` is what came.
    """

    preview: int | None = 1024
    knows_204: bool = True
    found: str = FOUND_FIELDS
    status: int = 0
    early: bool = False
    slow_s: float = 0.0
    raw: bytes = b""
    tls: ssl.SSLContext | None = None
    bodies: list[bytes] = field(default_factory=list)
    continued: int = 0

    async def __aenter__(self) -> IcapServer:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def url(self) -> str:
        return f"icap{'s' if self.tls else ''}://127.0.0.1:{self.port}/scan"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if head.startswith("OPTIONS"):
            wanted = "" if self.preview is None else f"Preview: {self.preview}\r\n"
            writer.write(
                f'ICAP/1.0 200 OK\r\nMethods: RESPMOD\r\nService: Small\r\nISTag: "1"\r\n{wanted}\r\n'.encode()
            )
            return
        assert head.startswith(f"RESPMOD {self.url} ICAP/1.0\r\n"), head
        if self.early:
            writer.write(f"ICAP/1.0 200 OK\r\n{FOUND_FIELDS}Encapsulated: null-body=0\r\n\r\n".encode())
            return
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        offset = int(fields["Encapsulated"].rpartition("res-body=")[2])
        http = await reader.readexactly(offset)
        body = await self._body(reader, writer, "Preview" in fields)
        self.bodies.append(body)
        await asyncio.sleep(self.slow_s)
        writer.write(self.raw or self._verdict(http, body))

    async def _body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, preview: bool) -> bytes:
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            data = await reader.readexactly(size + 2)
            body += data[:-2]
            if size:
                continue
            if not preview or b"ieof" in line:
                return body
            preview = False
            self.continued += 1
            writer.write(b"ICAP/1.0 100 Continue\r\n\r\n")

    def _verdict(self, http: bytes, body: bytes) -> bytes:
        if self.status:
            return f"ICAP/1.0 {self.status} So\r\n\r\n".encode()
        if EICAR in body:
            page = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
            return (
                f"ICAP/1.0 200 OK\r\n{self.found}Encapsulated: res-hdr=0, null-body={len(page)}\r\n\r\n".encode() + page
            )
        if self.knows_204:
            return b"ICAP/1.0 204 No modifications\r\n\r\n"
        response = http[http.index(b"HTTP/1.1 200") :]
        return (
            f"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body={len(response)}\r\n\r\n".encode()
            + response + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        )  # fmt: skip
