"""A private Unbound that knows only the records it is given: everything else does not exist, at once."""

from __future__ import annotations

from collections.abc import Iterable

from peers.process import Group, Workdir, free_port, require, wait_until

_CONF = """
server:
    interface: 127.0.0.1@{port}
    access-control: 127.0.0.0/8 allow
    do-daemonize: no
    use-syslog: no
    logfile: ""
    verbosity: 0
    username: ""
    chroot: ""
    directory: "{dir}"
    pidfile: "{dir}/pid"
    module-config: "iterator"
    local-zone: "." static
{records}
remote-control:
    control-enable: no
"""


class Unbound:
    """Answers by UDP and TCP on `port`. `records` are (name, type, value) as a zone file has them."""

    def __init__(self, records: Iterable[tuple[str, str, str]]) -> None:
        require("unbound")
        self._workdir = Workdir("unbound")
        self.port = free_port()
        lines = [f"    local-data: '{name}. 3600 IN {kind} {value}'" for name, kind, value in records]
        folder = self._workdir.path
        configuration = folder / "unbound.conf"
        configuration.write_text(_CONF.format(port=self.port, dir=folder, records="\n".join(lines)))
        self._group = Group(["/usr/sbin/unbound", "-d", "-p", "-c", str(configuration)], folder / "log")
        self._group.wait_listening(self.port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._group.pid

    def close(self) -> None:
        self._group.terminate()
        wait_until(lambda: not self._group.alive(), 5, "end of unbound")
        self._workdir.remove()
