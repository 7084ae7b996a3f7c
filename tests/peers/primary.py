"""A primary as an organisation has one: Postfix receives, Dovecot keeps; and it can fail in every way."""

from __future__ import annotations

import shutil
import signal
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType

import imapclient

from peers.certificates import Authority, Certificate
from peers.dovecot import MASTER_PASSWORD, MASTER_USER, USER_PASSWORD, Dovecot
from peers.policy import PolicyServer, Rule
from peers.postfix import Postfix

__all__ = ["MASTER_PASSWORD", "MASTER_USER", "USER_PASSWORD", "Certificate", "Primary", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as it stands in a mailbox of the primary. `flags` as IMAP names them, without \\Recent."""

    folder: str
    uid: int
    flags: frozenset[str]
    internaldate: datetime
    raw: bytes


class Primary:
    """Receives SMTP at `smtp_port` for `domains`, refuses unknown recipients, offers IMAP.

    A person logs in as `user@domain` with `USER_PASSWORD`, the gateway for them as `user@domain*gateway` with
    `MASTER_PASSWORD`. Ports stay the same over restarts. Use it as a context manager, or call `close`.
    """

    def __init__(
        self,
        domains: Iterable[str] = ("example.org",),
        users: Iterable[str] = (),
        storage: str = "maildir",
        hostname: str = "primary.example.org",
    ) -> None:
        self.hostname = hostname
        self.dovecot = Dovecot(storage)
        self.policy = PolicyServer()
        check = f"check_policy_service {self.policy.address}"
        self.postfix = Postfix(
            hostname,
            {
                "virtual_mailbox_domains": ", ".join(domains),
                "virtual_mailbox_maps": "hash:$config_directory/recipients",
                "virtual_transport": f"lmtp:unix:{self.dovecot.lmtp_socket}",
                "smtpd_delay_reject": "no",
                "smtpd_client_restrictions": check,
                "smtpd_sender_restrictions": check,
                "smtpd_recipient_restrictions": f"{check}, reject_unlisted_recipient, permit",
                "smtpd_relay_restrictions": "permit_mynetworks, reject",
                "smtpd_data_restrictions": check,
                "smtpd_end_of_data_restrictions": check,
                "smtpd_tls_security_level": "may",
                "smtpd_tls_chain_files": f"{self.dovecot.directory}/tls.key, {self.dovecot.directory}/tls.pem",
                "minimal_backoff_time": "2s",
                "maximal_backoff_time": "4s",
                "queue_run_delay": "2s",
            },
        )
        self._authority = Authority(self.dovecot.directory, hostname)
        self._place(Certificate.VALID)
        self.dovecot.add_users(users)
        self._write_recipients()

    @property
    def smtp_port(self) -> int:
        return self.postfix.port

    @property
    def imap_port(self) -> int:
        return self.dovecot.imap_port

    @property
    def imaps_port(self) -> int:
        return self.dovecot.imaps_port

    @property
    def ca_file(self) -> Path:
        """Whom to trust to accept the certificates that are valid."""
        return self._authority.ca_file

    def add_user(self, address: str, quota: str | None = None) -> None:
        """A new mailbox, effective at once; `quota` such as `20k` fills up (then 4xx/5xx by LMTP, after the 250)."""
        self.dovecot.add_users([address], quota)
        self._write_recipients()

    def start(self) -> None:
        self.dovecot.start()
        self.postfix.start()

    def stop(self) -> None:
        """Graceful end of both; mail and queue stay for the next `start`."""
        self.postfix.stop()
        self.dovecot.stop()

    def kill(self) -> None:
        """kill -9 of all its processes."""
        self.postfix.kill()
        self.dovecot.kill()

    def hang(self) -> None:
        """Every process stops where it is (SIGSTOP): connections are made by the kernel, nothing answers."""
        self.postfix.group.send(signal.SIGSTOP)
        self.dovecot.group.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.dovecot.group.send(signal.SIGCONT)
        self.postfix.group.send(signal.SIGCONT)

    def slow(self, seconds: float, state: str = "RCPT") -> None:
        """Answer that much later at a protocol state (CONNECT, MAIL, RCPT, DATA, END-OF-MESSAGE); 0 ends it."""
        self.policy.slow(seconds, state)

    def refuse(self, code: int, text: str, state: str = "RCPT", *, recipient: str | None = None) -> None:
        """Refuse at that state, such as `refuse(451, "4.3.0 not now")`; takes effect on the next command."""
        self.policy.refuse(Rule(state, f"{code} {text}", recipient=recipient))

    def welcome(self) -> None:
        """End of `refuse`, `full` and `slow`."""
        self.policy.refuse()
        self.policy.slow(0, "RCPT")

    def full(self) -> None:
        """No space left: what Postfix says under `queue_minfree`, 452 4.3.1 to MAIL."""
        self.refuse(452, "4.3.1 Insufficient system storage", "MAIL")

    def set_certificate(self, kind: Certificate) -> None:
        """Change the certificate of SMTP and IMAP, for connections made afterwards."""
        self._place(kind)
        self.dovecot.reload()
        self.postfix.set()

    def relay_through(self, host: str, port: int) -> None:
        """Send everything that is not local to a smarthost."""
        self.postfix.set(relayhost=f"[{host}]:{port}", default_transport="smtp")

    @contextmanager
    def imap(self, user: str, *, tls: bool = False, master: bool = True) -> Iterator[imapclient.IMAPClient]:
        """A logged-in connection, as the gateway for that user or as the user."""
        port = self.imaps_port if tls else self.imap_port
        context = ssl.create_default_context(cafile=str(self.ca_file)) if tls else None
        host = "localhost" if tls else "127.0.0.1"
        with imapclient.IMAPClient(host, port, ssl=tls, ssl_context=context, timeout=10) as client:
            login = f"{user}*{MASTER_USER}" if master else user
            client.login(login, MASTER_PASSWORD if master else USER_PASSWORD)
            yield client

    def messages(self, user: str) -> list[Stored]:
        """All that stands in a mailbox, read through IMAP, in order of folder and UID."""
        found: list[Stored] = []
        with self.imap(user) as client:
            for _, _, name in sorted(client.list_folders(), key=lambda row: str(row[2])):
                if client.select_folder(name, readonly=True)[b"EXISTS"]:
                    found += _read_folder(client, str(name))
        return found

    def close(self) -> None:
        """End for good: no process, no file stays."""
        self.postfix.close()
        self.dovecot.close()
        self.policy.close()

    def __enter__(self) -> Primary:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _place(self, kind: Certificate) -> None:
        chain, key = self._authority.issue(kind)
        shutil.copy(chain, self.dovecot.directory / "tls.pem")
        shutil.copy(key, self.dovecot.directory / "tls.key")

    def _write_recipients(self) -> None:
        self.postfix.write_map("recipients", dict.fromkeys(self.dovecot.users, "x"))


def _read_folder(client: imapclient.IMAPClient, folder: str) -> list[Stored]:
    client.normalise_times = False
    uids = sorted(client.search())
    found = []
    for start in range(0, len(uids), 100):
        rows = client.fetch(uids[start : start + 100], ["FLAGS", "INTERNALDATE", "BODY.PEEK[]"])
        for uid, row in sorted(rows.items()):
            flags = frozenset(flag.decode() for flag in row[b"FLAGS"]) - {"\\Recent"}
            found.append(Stored(folder, uid, flags, row[b"INTERNALDATE"], row[b"BODY[]"]))
    return found
