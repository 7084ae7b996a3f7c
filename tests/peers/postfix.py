"""A private Postfix. It can dial only where told: non-local mail fails unless a relay is set."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from peers.process import (
    Group,
    PeerFailed,
    Workdir,
    free_port,
    group_members,
    process_name,
    require,
    run,
    wait_until,
)

_MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/spool
data_directory = {dir}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {dir}/maillog
maillog_file_prefixes = {dir}
myhostname = {hostname}
myorigin = $myhostname
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
biff = no
alias_maps =
alias_database =
local_recipient_maps =
local_transport = error:5.1.1 no local mail
default_transport = error:5.4.4 no smarthost configured
relay_transport = smtp
smtp_host_lookup = native
disable_dns_lookups = yes
smtp_tls_security_level = may
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
recipient_delimiter = +
smtpd_client_connection_rate_limit = 0
smtpd_client_connection_count_limit = 0
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


_QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"
_POSTFIX_OWNED = ("data", *(f"spool/{name}" for name in _QUEUES.split()))


class Postfix:
    """One instance; `parameters` go into main.cf after the defaults above, `services` into master.cf."""

    def __init__(
        self,
        hostname: str = "primary.example.org",
        parameters: Mapping[str, str] | None = None,
        services: Sequence[str] = (),
    ) -> None:
        require("postfix", "postconf", "postmap", "/usr/lib/postfix/sbin/master")
        self._workdir = Workdir("postfix")
        self.directory = self._workdir.path
        self.port = free_port()
        self.log = self.directory / "maillog"
        self._hostname = hostname
        self._parameters = dict(parameters or {})
        self._services = list(services)
        self._group: Group | None = None

    @property
    def config_directory(self) -> Path:
        return self.directory / "etc"

    @property
    def group(self) -> Group:
        assert self._group is not None, "not started"
        return self._group

    def set(self, **parameters: str) -> None:
        """Change main.cf and, when running, reload: holds for connections made afterwards."""
        self._parameters |= parameters
        if self._group:
            self._write_main()
            seen, before = self._reloads(), self._workers()
            self._group.tell(signal.SIGHUP)  # `postfix reload` does the same, and takes 2 s
            wait_until(lambda: self._reloads() > seen, 5.0, "reload of Postfix")
            with contextlib.suppress(PeerFailed):  # idle ones go at once, busy ones after their client
                wait_until(lambda: not before & self._workers(), 0.3, "end of the old processes")

    def write_map(self, name: str, entries: Mapping[str, str]) -> str:
        """A hash table in the configuration directory; returns what a parameter says to use it."""
        self.config_directory.mkdir(exist_ok=True)
        path = self.config_directory / name
        path.write_text("".join(f"{key} {value}\n" for key, value in entries.items()))
        if not (self.config_directory / "main.cf").exists():
            self._write_main()  # without one `postmap` reads /etc/postfix, which need not be configured
        run("postmap", "-c", str(self.config_directory), f"hash:{path}")
        return f"hash:{path}"

    def start(self) -> None:
        etc = self.config_directory
        etc.mkdir(exist_ok=True)
        for name in ("dynamicmaps.cf", "postfix-files", "dynamicmaps.cf.d", "postfix-files.d"):
            _copy(Path("/etc/postfix") / name, etc / name)
        self._write_main()
        services = _MASTER.format(port=self.port) + "".join(f"{line}\n" for line in self._services)
        (etc / "master.cf").write_text(services)
        self._make_queue()
        (self.directory / "spool" / "pid" / "master.pid").unlink(missing_ok=True)
        output = self.directory / "output"
        self._group = Group(["/usr/lib/postfix/sbin/master", "-c", str(etc), "-d"], output)
        self._group.wait_listening(self.port)

    def flush(self) -> None:
        """Try everything that is deferred now."""
        run("postqueue", "-c", str(self.config_directory), "-f")

    def queue(self) -> list[str]:
        """Queued messages, one JSON object each."""
        return run("postqueue", "-c", str(self.config_directory), "-j").splitlines()

    def stop(self) -> None:
        """Graceful end; the queue stays for the next `start`."""
        if self._group:
            self._group.terminate()
            self._group = None

    def kill(self) -> None:
        """kill -9 of every process."""
        if self._group:
            self._group.kill()
            self._group = None

    def close(self) -> None:
        """End for good: nothing stays."""
        self.kill()
        self._workdir.remove()

    def hang(self) -> None:
        self.group.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.group.send(signal.SIGCONT)

    def _make_queue(self) -> None:
        """What `postfix check` would make in 2 s."""
        for name in _POSTFIX_OWNED:
            path = self.directory / name
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.chown(path, "postfix", "root")
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            path = self.directory / "spool" / name
            path.mkdir(exist_ok=True)
            shutil.chown(path, "postfix", "postdrop")
            path.chmod(mode)
        (self.directory / "spool" / "pid").mkdir(exist_ok=True)

    def _workers(self) -> set[int]:
        return {pid for pid in group_members(self.group.pid) if process_name(pid) in ("smtpd", "qmgr")}

    def _reloads(self) -> int:
        return self.log.read_bytes().count(b": reload -- version") if self.log.exists() else 0

    def _write_main(self) -> None:
        text = _MAIN.format(dir=self.directory, hostname=self._hostname)
        text += "".join(f"{key} = {value}\n" for key, value in self._parameters.items())
        fresh = self.config_directory / "main.cf.new"
        fresh.write_text(text)
        old = time.time() - 60  # Postfix waits until a file under its hands has been left alone for 2 s
        os.utime(fresh, (old, old))
        fresh.rename(self.config_directory / "main.cf")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy(source, target)
