"""A private rspamd as Debian ships it, behind Postfix as a milter: its proxy scans by itself, one hop less."""

from __future__ import annotations

import shutil
from pathlib import Path

from peers.process import Group, Workdir, free_port, require

_FILES = {
    # Nobody is let off for being on this machine: all of the traffic is.
    "options.inc": 'local_addrs = ["192.0.2.0/24"];\ndns {{ nameserver = ["{resolver}"]; }}\n',
    "logging.inc": 'type = "file";\nlevel = "warning";\nfilename = "{dir}/rspamd.log";\n',
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
    "worker-fuzzy.inc": "enabled = false;\n",
    "worker-proxy.inc": (
        'bind_socket = "127.0.0.1:{port}";\nmilter = yes;\ncount = {processes};\n'
        'upstream "local" {{ default = yes; self_scan = yes; }}\n'
    ),
    # Its verdict is added to the header; nothing is refused, so that all of the load arrives.
    "actions.conf": "reject = null;\ngreylist = null;\nadd_header = 6;\n",
}


class Rspamd:
    """Speaks milter on `port`. `resolver` is a name server as address:port."""

    def __init__(self, resolver: str, processes: int = 2) -> None:
        require("rspamd")
        self._workdir = Workdir("rspamd")
        folder = self._workdir.path
        self.port = free_port()
        self._write(folder, resolver, processes)
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, "_rspamd", "_rspamd")
        variables = [f"--var={name}={folder}" for name in ("DBDIR", "RUNDIR", "LOGDIR", "LOCAL_CONFDIR")]
        argv = ["/usr/bin/rspamd", "-f", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf"]
        self._group = Group([*argv, *variables], folder / "log")
        self._group.wait_listening(self.port, timeout=30)

    def _write(self, folder: Path, resolver: str, processes: int) -> None:
        local = folder / "local.d"
        local.mkdir()
        for name, text in _FILES.items():
            (local / name).write_text(text.format(dir=folder, port=self.port, resolver=resolver, processes=processes))

    @property
    def pid(self) -> int:
        return self._group.pid

    def close(self) -> None:
        self._group.terminate()
        self._workdir.remove()
