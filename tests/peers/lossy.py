"""A TCP proxy in front of an SMTP server that is a bad network: replies get lost, nothing answers, all is late."""

from __future__ import annotations

import asyncio
import contextlib
import enum

_CHUNK = 65_536


class Mode(enum.Enum):
    """What happens to connections. BLACK_HOLE accepts and never answers; REFUSE closes the port."""

    PASS = "pass"
    BLACK_HOLE = "black hole"
    REFUSE = "refuse"


class LossyProxy:
    """Use as an async context manager. `mode`, `latency` (seconds each way) and `lose_after_data` may change any time.

    `lose_after_data(n)`: the server's reply to the end of the n-th message from now (1 = the next) is read and
    thrown away, and the connection closed: the server has the message, the client does not know.
    """

    def __init__(self, target_port: int, port: int = 0, target_host: str = "127.0.0.1") -> None:
        self._target = (target_host, target_port)
        self._port = port
        self.mode = Mode.PASS
        self.latency = 0.0
        self.lost_replies: list[bytes] = []
        self.connections = 0
        self._countdown = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return self._port

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def set_mode(self, mode: Mode) -> None:
        """Change the mode; connections of before are cut unless it is PASS."""
        self.mode = mode
        if mode is Mode.REFUSE and self._server:
            self._server.close()
            self._server = None
        elif mode is not Mode.REFUSE and self._server is None:
            await self.start()
        if mode is not Mode.PASS:
            await self.cut()

    def lose_after_data(self, nth: int = 1) -> None:
        self._countdown = nth

    async def cut(self) -> None:
        """Close every connection there is."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        await self.cut()

    async def __aenter__(self) -> LossyProxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            if self.mode is Mode.BLACK_HOLE:
                await asyncio.Event().wait()
            await self._relay(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        watch = _Watch()
        up = asyncio.create_task(self._upward(reader, far_writer, watch))
        down = asyncio.create_task(self._downward(far_reader, writer, watch))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            far_writer.close()

    async def _upward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: _Watch) -> None:
        while data := await reader.read(_CHUNK):
            await self._late()
            watch.client_said(data)
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
        await asyncio.sleep(1)  # the server may still have something to say

    async def _downward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: _Watch) -> None:
        while data := await reader.read(_CHUNK):
            await self._late()
            if watch.server_said(data) and self._countdown:
                self._countdown -= 1
                if not self._countdown:
                    self.lost_replies.append(data)
                    return
            writer.write(data)
            await writer.drain()

    async def _late(self) -> None:
        if self.latency:
            await asyncio.sleep(self.latency)


class _Watch:
    """Knows when the server's next words answer an end of data. For plain SMTP with DATA, or BDAT LAST."""

    def __init__(self) -> None:
        self._in_data = False
        self._ended = False
        self._tail = b""

    def client_said(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-_CHUNK:]
        if (
            (self._in_data and self._tail.endswith(b"\r\n.\r\n"))
            or (self._in_data and b"\r\n.\r\n" in self._tail)
            or (b" LAST\r\n" in data.upper() and b"BDAT" in data.upper())
        ):
            self._ended = True

    def server_said(self, data: bytes) -> bool:
        """Whether this is the reply to an end of data."""
        if data.startswith(b"354") or b"\r\n354" in data:
            self._in_data, self._tail = True, b"\r\n"
            return False
        if self._ended:
            self._in_data = self._ended = False
            return True
        return False
