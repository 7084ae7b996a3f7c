"""A private clamd of ClamAV with signatures of our own: none can be downloaded, and none is needed."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path
from types import TracebackType

from peers.process import Group, Workdir, require, wait_until

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-" + b"ANTIVIRUS-TEST-FILE!" + b"$H+H*"
"""The test file of the makers of scanners, put together here so that no scanner stumbles over this file."""
EICAR_NAME = "Test.Eicar"
SAMPLES = Path("/usr/share/clamav-testfiles")
SAMPLE_NAME = "Test.ClamSample"

_CONFIG = """
LocalSocket {dir}/clamd.sock
PidFile {dir}/clamd.pid
DatabaseDirectory {dir}/signatures
TemporaryDirectory {dir}/tmp
StreamMaxLength {stream}
AlertExceedsMax yes
AlertEncrypted yes
MaxThreads 4
SelfCheck 0
Foreground yes
"""


class Clamd:
    """`address` is its Unix socket. It knows EICAR (`EICAR_NAME`) as its makers want it found: at the beginning of a
    file of at most 128 octets, and the program of Debian's clamav-testfiles by its digest (`SAMPLE_NAME`).
    """

    def __init__(self, stream: int = 4 * 1024 * 1024) -> None:
        require("clamd")
        self._workdir = Workdir("clamd")
        self._stream = stream
        self._group: Group | None = None
        self.directory = self._workdir.path
        self.address = str(self.directory / "clamd.sock")

    def start(self) -> None:
        """Comes back once it answers."""
        for name in ("signatures", "tmp"):
            (self.directory / name).mkdir(exist_ok=True)
        signatures = self.directory / "signatures"
        (signatures / "test.ndb").write_text(f"{EICAR_NAME}:0:0:{EICAR.hex()}\n")
        sample = SAMPLES / "clam.exe"
        if sample.exists():
            data = sample.read_bytes()
            digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
            (signatures / "test.hdb").write_text(f"{digest}:{len(data)}:{SAMPLE_NAME}\n")
        config = self.directory / "clamd.conf"
        config.write_text(_CONFIG.format(dir=self.directory, stream=self._stream))
        socket = Path(self.address)
        socket.unlink(missing_ok=True)
        self._group = Group(["clamd", "--config-file", str(config)], self.directory / "log")
        wait_until(lambda: socket.exists() or not self._running().alive(), 20, f"clamd's socket: {self.log_tail()}")

    def pause(self) -> None:
        """It hangs: connections are taken by the kernel and never answered."""
        self._running().send(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send(signal.SIGCONT)

    def kill(self) -> None:
        if self._group:
            self._group.kill()
            self._group = None

    def log_tail(self) -> str:
        return self._group.log_tail() if self._group else ""

    def _running(self) -> Group:
        assert self._group is not None
        return self._group

    def __enter__(self) -> Clamd:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        self.kill()
        self._workdir.remove()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
