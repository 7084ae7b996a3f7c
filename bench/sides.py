"""The two that are compared: each takes SMTP, keeps a copy in a mailbox and relays the message to the sink."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from bench.world import DOMAIN, World
from peers.certificates import Authority, Certificate
from peers.dovecot import Dovecot
from peers.postfix import Postfix
from peers.rspamd import Rspamd


class Side(Protocol):
    """One of the two, running. `roots` are the processes above all others of it."""

    name: str
    smtp_port: int

    @property
    def roots(self) -> list[int]: ...

    def stored(self) -> int:
        """Messages that stand in mailboxes."""

    def counted(self) -> int:
        """The same, counted one by one, however long it takes."""

    def waiting(self) -> int:
        """Messages still to be delivered, anywhere in the queue."""

    def close(self) -> None:
        """End it; nothing stays."""


_DOVECOT = """
mail_plugins =
auth_cache_ttl = 1 hour
"""


class PostfixDovecot:
    """Postfix 3.7 and Dovecot 2.3 as Debian ships them, with everything left out that costs without being needed.

    "Both" is `always_bcc`: the message is one queue file with two recipients, the person's (Dovecot's LMTP) and one
    that goes to the sink. That costs least: no table is looked up for it, the content is written and synced once, and
    each of the two is one delivery over a reused connection. A virtual alias to two addresses would look up two more
    keys for each recipient; a content filter or a second queue would write the content again.
    """

    name = "Postfix + Dovecot"

    def __init__(self, world: World, sink_port: int, name_server: str = "") -> None:
        """With a name server (address:port), rspamd looks at each message before it is queued."""
        self._world = world
        self._dovecot = Dovecot(extra=_DOVECOT)
        self._filter: Rspamd | None = None
        try:
            parameters = {}
            if name_server:
                self.name = "Postfix + rspamd + Dovecot"
                self._filter = Rspamd(name_server)
                parameters = {"smtpd_milters": f"inet:127.0.0.1:{self._filter.port}"}
            self._start(world, sink_port, parameters)
        except BaseException:
            self.close()
            raise

    def _start(self, world: World, sink_port: int, parameters: dict[str, str]) -> None:
        self._dovecot.add_users(world.mailboxes)
        _certificate(self._dovecot.directory)
        self._dovecot.start()
        self._postfix = Postfix(
            f"mx.{DOMAIN}",
            {
                "virtual_mailbox_domains": DOMAIN,
                "virtual_mailbox_maps": "hash:$config_directory/recipients",
                "virtual_alias_maps": "hash:$config_directory/aliases",
                "virtual_transport": f"lmtp:unix:{self._dovecot.lmtp_socket}",
                "always_bcc": "copy@relay.example.net",
                "default_transport": f"smtp:[127.0.0.1]:{sink_port}",
                "smtpd_relay_restrictions": "permit_mynetworks, reject",
                **parameters,
            },
        )
        self._postfix.write_map("recipients", dict.fromkeys(world.mailboxes, "here"))
        self._postfix.write_map("aliases", world.aliases)
        self._postfix.start()
        self.smtp_port = self._postfix.port

    @property
    def roots(self) -> list[int]:
        roots = [self._postfix.group.pid, self._dovecot.group.pid]
        return roots + ([self._filter.pid] if self._filter else [])

    def stored(self) -> int:
        mail = self._dovecot.directory / "mail"
        return sum(_files(mail / box / "maildir" / place) for box in self._world.mailboxes for place in ("new", "cur"))

    def counted(self) -> int:
        return self.stored()

    def waiting(self) -> int:
        spool = self._postfix.directory / "spool"
        return sum(
            len(files)
            for queue in ("maildrop", "incoming", "active", "deferred")
            for _, _, files in os.walk(spool / queue)
        )

    def close(self) -> None:
        if hasattr(self, "_postfix"):
            self._postfix.close()
        self._dovecot.close()
        if self._filter:
            self._filter.close()


def _files(folder: Path) -> int:
    try:
        return sum(1 for _ in os.scandir(folder))
    except FileNotFoundError:
        return 0


def _certificate(folder: Path) -> None:
    """Dovecot does not start without one, though nobody uses it here."""
    chain, key = Authority(folder, f"mx.{DOMAIN}").issue(Certificate.VALID)
    (folder / "tls.pem").write_bytes(chain.read_bytes())
    (folder / "tls.key").write_bytes(key.read_bytes())
