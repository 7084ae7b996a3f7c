"""A private Dovecot 2.3: IMAP with and without TLS, LMTP on a Unix socket, users in a file, one master user."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from pathlib import Path

from peers.process import Group, PeerMissing, Workdir, free_port, require, run

MASTER_USER, MASTER_PASSWORD = "gateway", "gateway-secret"
USER_PASSWORD = "user-secret"

_CONFIG = """
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
login_trusted_networks = 127.0.0.0/8
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_master_user_separator = *
auth_cache_size = 1M
auth_cache_ttl = 0
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
mail_location = {storage}:~/{storage}
mail_max_userip_connections = 200
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
mail_plugins = quota
ssl = yes
ssl_cert = <{dir}/tls.pem
ssl_key = <{dir}/tls.key
ssl_dh = </usr/share/dovecot/dh.pem
passdb {{
  driver = passwd-file
  args = {dir}/masters
  master = yes
}}
passdb {{
  driver = passwd-file
  args = {dir}/users/%u
}}
userdb {{
  driver = passwd-file
  args = {dir}/users/%u
}}
plugin {{
  quota = count:User quota
  quota_vsizes = yes
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Drafts {{
    auto = create
    special_use = \\Drafts
  }}
  mailbox Sent {{
    auto = create
    special_use = \\Sent
  }}
  mailbox Trash {{
    auto = create
    special_use = \\Trash
  }}
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
  mailbox Archive {{
    auto = create
    special_use = \\Archive
  }}
}}
service imap-login {{
  service_count = 0
  client_limit = 1000
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = {imaps_port}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 1024
}}
service lmtp {{
  unix_listener {dir}/lmtp {{
    mode = 0666
  }}
}}
{extra}
"""


class Dovecot:
    """Start with `start`; the TLS files are `tls.pem` and `tls.key` in `directory`, put there before.

    `storage` is `maildir` or `sdbox`. Everything about durability is as Debian ships it.
    """

    def __init__(self, storage: str = "maildir", extra: str = "") -> None:
        require("dovecot", "doveadm", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp")
        version = run("dovecot", "--version").split()[0]
        if not version.startswith("2.3."):
            raise PeerMissing(f"the tests' configuration is for Dovecot 2.3, here is {version}")
        self._workdir = Workdir("dovecot")
        self.directory = self._workdir.path
        self.imap_port, self.imaps_port = free_port(), free_port()
        self.log = self.directory / "dovecot.log"
        self._storage = storage
        self._extra = extra
        self._users: list[str] = []
        self._group: Group | None = None

    @property
    def lmtp_socket(self) -> Path:
        return self.directory / "lmtp"

    @property
    def users(self) -> list[str]:
        return list(self._users)

    def add_users(self, addresses: Iterable[str], quota: str | None = None) -> None:
        """New mailboxes, effective at once. `quota` as Dovecot writes it, such as `10k`: storage of each."""
        for address in addresses:
            rule = f" userdb_quota_rule=*:storage={quota}" if quota else ""
            home = self.directory / "mail" / address
            # One file each: Dovecot looks only once a second whether a file it knows has changed.
            self._write(f"users/{address}", f"{address}:{{PLAIN}}{USER_PASSWORD}:8:8::{home}::{rule.strip()}\n")
            self._users.append(address)

    def start(self) -> None:
        mail = self.directory / "mail"
        mail.mkdir(exist_ok=True)
        run("chown", "mail:mail", str(mail))
        self._write("masters", f"{MASTER_USER}:{{PLAIN}}{MASTER_PASSWORD}\n")
        config = _CONFIG.format(
            dir=self.directory,
            storage=self._storage,
            imap_port=self.imap_port,
            imaps_port=self.imaps_port,
            extra=self._extra,
        )
        path = self.directory / "dovecot.conf"
        path.write_text(config)
        (self.directory / "run" / "master.pid").unlink(missing_ok=True)
        self._group = Group(["/usr/sbin/dovecot", "-F", "-c", str(path)], self.log)
        self._group.wait_listening(self.imap_port, self.imaps_port)

    def reload(self) -> None:
        """Read configuration and certificates again."""
        if self._group:
            self._group.tell(signal.SIGHUP)

    @property
    def group(self) -> Group:
        assert self._group is not None, "not started"
        return self._group

    def stop(self) -> None:
        """Graceful end; mail stays for the next `start`."""
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

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
