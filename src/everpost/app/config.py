"""The configuration: one TOML file, every option documented here and checked before anything starts.

`docs/configuration.md` is generated from this module (`everpost.app.docs`).
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from everpost.app.options import ConfigError, Section, doc, read_options, unknown_variables
from everpost.app.quarantine_options import Quarantine
from everpost.app.scanner_options import Clamd, Icap, Yara, scanner_problems
from everpost.app.sending_options import Sending
from everpost.crypto.keys import KeyProblem, SealingKey, load_or_create_master_key, master_key_from_hex

__all__ = ["Config", "ConfigError", "Endpoint", "Listener", "Web", "find_config", "load_config", "parse_endpoint"]

MIB = 1024 * 1024
_HOSTNAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*\Z", re.I)
SEARCHED = (Path("everpost.toml"), Path("/etc/everpost/everpost.toml"))
"""Where the file is looked for when neither --config nor EVERPOST_CONFIG says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on or to dial."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `host:port` or `[IPv6]:port`; raises `ValueError`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = str(ipaddress.IPv6Address(host[1:-1]))
    elif ":" in host:
        raise ValueError("write an IPv6 address in brackets, like [::1]:25")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError("write it as address:port, like 0.0.0.0:25 or [::]:25")
    return Endpoint(host, int(port))


def parse_server(text: str, port: int) -> Endpoint:
    """Read an IP address with or without a port behind it; raises `ValueError`."""
    try:
        return Endpoint(str(ipaddress.ip_address(text)), port)
    except ValueError:
        endpoint = parse_endpoint(text)
        return Endpoint(str(ipaddress.ip_address(endpoint.host)), endpoint.port)


class Tls(Section, frozen=True):
    """The certificate that every listener shows unless it has its own."""

    certificate_file: Annotated[
        str, doc("Certificate chain in PEM. Empty: no TLS is offered.", example="/etc/everpost/tls/fullchain.pem")
    ] = ""
    key_file: Annotated[str, doc("Private key in PEM.", example="/etc/everpost/tls/privkey.pem")] = ""


class Listener(Section, frozen=True):
    """What all SMTP listeners have."""

    listen: Annotated[
        tuple[str, ...],
        doc("Addresses and ports to listen on. Empty: this listener is off.", example='["0.0.0.0:25", "[::]:25"]'),
    ] = ()
    certificate_file: Annotated[str, doc("Certificate chain of its own in PEM. Empty: that of `[tls]`.")] = ""
    key_file: Annotated[str, doc("Private key of its own in PEM. Empty: that of `[tls]`.")] = ""
    proxy_from: Annotated[
        tuple[str, ...],
        doc("Networks of load balancers that must speak the PROXY protocol (v1 or v2).", example='["192.0.2.10/32"]'),
    ] = ()
    message_octets: Annotated[
        int, doc("Largest message that is accepted (SIZE).", unit="octets", ge=64 * 1024, le=1024 * MIB)
    ] = 50 * MIB
    recipients: Annotated[int, doc("Most recipients of one message (at least 100, RFC 5321).", ge=100, le=100_000)] = (
        1000
    )
    connections: Annotated[int, doc("Most connections at a time in one worker process.", ge=1, le=100_000)] = 2500
    connections_per_client: Annotated[
        int, doc("Most connections at a time from one client address, in one worker process.", ge=1, le=100_000)
    ] = 100
    idle_s: Annotated[
        float, doc("A client that says nothing for so long is hung up on.", unit="seconds", ge=1, le=3600)
    ] = 300.0
    session_s: Annotated[float, doc("Longest session of all.", unit="seconds", ge=10, le=86_400)] = 3600.0
    errors: Annotated[int, doc("Errors in one session after which it is ended.", ge=1, le=1000)] = 10


class MxListener(Listener, frozen=True):
    """Takes mail from the internet for our domains."""

    listen: Annotated[
        tuple[str, ...],
        doc("Addresses and ports to listen on. Empty: this listener is off.", example='["0.0.0.0:25", "[::]:25"]'),
    ] = ("0.0.0.0:25", "[::]:25")


class SmarthostListener(Listener, frozen=True):
    """Takes outgoing mail from the primaries, told by their networks or by AUTH (`everpost primary`)."""

    listen: Annotated[
        tuple[str, ...],
        doc("Addresses and ports to listen on. Empty: this listener is off.", example='["0.0.0.0:2525"]'),
    ] = ("0.0.0.0:2525", "[::]:2525")


class SubmissionListener(Listener, frozen=True):
    """Takes mail from people's own programs, after login and under TLS only."""

    listen: Annotated[
        tuple[str, ...],
        doc("Addresses and ports with STARTTLS. Empty: off.", example='["0.0.0.0:587", "[::]:587"]'),
    ] = ("0.0.0.0:587", "[::]:587")
    listen_tls: Annotated[
        tuple[str, ...],
        doc("Addresses and ports with TLS from the start (RFC 8314). Empty: off.", example='["0.0.0.0:465"]'),
    ] = ("0.0.0.0:465", "[::]:465")


class Smtp(Section, frozen=True):
    """The SMTP listeners."""

    mx: MxListener = MxListener()
    smarthost: SmarthostListener = SmarthostListener()
    submission: SubmissionListener = SubmissionListener()


class Web(Section, frozen=True):
    """JMAP, console, health and readiness over HTTP."""

    listen: Annotated[tuple[str, ...], doc("Addresses and ports to listen on. Empty: off.")] = ("127.0.0.1:8080",)
    tls: Annotated[bool, doc("Speak HTTPS. Leave it off behind a reverse proxy that does.")] = False
    certificate_file: Annotated[str, doc("Certificate chain of its own in PEM. Empty: that of `[tls]`.")] = ""
    key_file: Annotated[str, doc("Private key of its own in PEM. Empty: that of `[tls]`.")] = ""
    public_url: Annotated[
        str, doc("How people reach it. Empty: made from `hostname`.", example="https://mail.example.org")
    ] = ""
    remote_pictures: Annotated[
        bool,
        doc(
            "Let readers see pictures of other servers, fetched by Everpost from public addresses on ports 80 and 443"
            " once somebody asks for them. Off: they are never fetched."
        ),
    ] = True


class Queue(Section, frozen=True):
    """Deliveries to the primaries and to the internet."""

    concurrency: Annotated[int, doc("Most deliveries under way in one worker process.", ge=1, le=100_000)] = 2000
    per_destination: Annotated[
        int, doc("Most connections to one destination, in one worker process.", ge=1, le=1000)
    ] = 20
    backoff_first_s: Annotated[float, doc("Pause after the first failed attempt.", unit="seconds", ge=1, le=86_400)] = (
        60.0
    )
    backoff_longest_s: Annotated[
        float, doc("The pause doubles with each attempt up to this.", unit="seconds", ge=1, le=86_400)
    ] = 3600.0
    internet_lifetime_s: Annotated[
        float,
        doc(
            "Mail to the internet is returned to its sender after so long. Mail to a primary never is.",
            unit="seconds", ge=3600, le=30 * 86_400,
        ),
    ] = 5 * 86_400.0  # fmt: skip
    delay_notice_s: Annotated[
        float, doc("The sender is told of a delay after so long. 0: never.", unit="seconds", ge=0, le=30 * 86_400)
    ] = 4 * 3600.0
    resolver: Annotated[
        tuple[str, ...],
        doc(
            "DNS servers to ask, also for who sends. Empty: those of the system.",
            example='["192.0.2.53", "[2001:db8::53]:5353"]',
        ),
    ] = ()
    relay: Annotated[
        str, doc("Hand all internet mail to this server instead of looking up MX.", example="relay.example.org:587")
    ] = ""
    relay_username: Annotated[str, doc("Login at the relay. Empty: none.")] = ""
    relay_password_file: Annotated[str, doc("File that holds the password at the relay.")] = ""
    relay_password: Annotated[str, doc("The password at the relay, from the environment only.", secret=True)] = ""
    relay_tls: Annotated[
        Literal["none", "opportunistic", "required", "implicit"],
        doc("TLS towards the relay: never, where offered, by STARTTLS or nothing, from the start."),
    ] = "opportunistic"
    internet_tls: Annotated[
        Literal["none", "opportunistic", "required"],
        doc("TLS towards the internet: never, where offered, or only where offered."),
    ] = "opportunistic"

    def relay_credentials(self) -> tuple[str, str] | None:
        """Login and password at the relay. Raises `ConfigError` where the password's file cannot be read."""
        if not self.relay_username:
            return None
        return self.relay_username, self.relay_password or _read_secret(self.relay_password_file, "relay_password_file")


class Continuity(Section, frozen=True):
    """What new primaries start with; each can have its own (`everpost primary update`)."""

    probe_interval_s: Annotated[float, doc("Pause between two probes.", unit="seconds", ge=0.1, le=3600)] = 10.0
    probe_timeout_s: Annotated[float, doc("A probe that takes longer has failed.", unit="seconds", ge=0.1, le=300)] = (
        5.0
    )
    probe_failures: Annotated[int, doc("Failed probes in a row that make a primary down.", ge=1, le=1000)] = 3
    probe_successes: Annotated[int, doc("Good probes in a row that make it up again.", ge=1, le=1000)] = 3
    automatic_activation: Annotated[bool, doc("Go to the standby by itself when a primary is down.")] = True
    automatic_failback: Annotated[bool, doc("Come back by itself when it is up again.")] = False
    wave_size: Annotated[int, doc("Mailboxes that failback brings back at a time.", ge=1, le=100_000)] = 50


class Follow(Section, frozen=True):
    """Standby mailboxes follow their primary over its IMAP connector while it is the master: history, flags, moves."""

    enabled: Annotated[bool, doc("Follow at all.")] = True
    interval_s: Annotated[
        float, doc("Pause between two looks at a mailbox.", unit="seconds", ge=1, le=7 * 86_400)
    ] = 600.0  # fmt: skip
    connections: Annotated[int, doc("Most IMAP connections to one primary for this.", ge=1, le=100)] = 2
    rate: Annotated[
        float, doc("Most messages read in a second on each of them. 0: no limit.", ge=0, le=10_000)
    ] = 50.0  # fmt: skip


class Guard(Section, frozen=True):
    """Looks at every message that comes by SMTP or from the webmail: who sends it, and what it is judged to be."""

    enabled: Annotated[bool, doc("Look at mail at all. Off: everything is accepted unseen.")] = True
    sender_s: Annotated[
        float, doc("Longest time for asking the DNS who sends one message.", unit="seconds", ge=0.5, le=60)
    ] = 8.0
    trusted_sealers: Annotated[
        tuple[str, ...],
        doc("Domains of forwarders whose ARC seals are believed.", example='["lists.example.org"]'),
    ] = ()
    block_lists: Annotated[
        tuple[str, ...],
        doc("DNS lists of bad client addresses to ask (RFC 5782).", example='["zen.example.net"]'),
    ] = ()
    blocked_links: Annotated[
        tuple[str, ...],
        doc(
            "Files with addresses and domains that no link may lead to: URLhaus or other CSV (.csv), MISP (.json), "
            "hosts files (.hosts), or one entry a line. Read again when they change.",
            example='["/var/lib/everpost/urlhaus.csv"]',
        ),
    ] = ()
    allowed_links: Annotated[
        tuple[str, ...], doc("Files of the same kinds with addresses and domains of which nothing is said.")
    ] = ()
    countries: Annotated[
        str,
        doc("File in MaxMind's format that says in which country a client's address is, for rules that ask it."),
    ] = ""
    suspicious_score: Annotated[float, doc("From this score on a message is suspicious.", ge=0.1, le=100)] = 3.0
    bad_score: Annotated[
        float, doc("From this score on it is spam, or phishing, by what points to it most.", ge=0.1, le=100)
    ] = 5.0
    clamd: Clamd = Clamd()
    icap: tuple[Icap, ...] = ()
    yara: Yara = Yara()
    sending: Sending = Sending()

    classifier: Annotated[
        bool, doc("Let the classifier say how mail reads, and learn from what people move to Junk or report.")
    ] = True
    classifier_minimum: Annotated[
        int, doc("Messages of each class that have to be learned before it speaks.", unit="messages", ge=10, le=100_000)
    ] = 50
    classifier_weight: Annotated[
        float, doc("What it weighs against a message at most. Below `bad_score`: never spam alone.", ge=0, le=8)
    ] = 4.5
    classifier_weight_taught: Annotated[
        float,
        doc(
            "The same where what administrators taught the prior (500 messages of each class or more) says so without"
            " what people said: from `bad_score` on, it may decide alone.", ge=0, le=8,
        ),
    ] = 6.0  # fmt: skip
    learn_from_primary: Annotated[
        bool, doc("Learn also from moves seen on a followed primary: not where it moves mail to Junk by itself.")
    ] = False


class Metrics(Section, frozen=True):
    """Figures for Prometheus."""

    listen: Annotated[
        tuple[str, ...], doc("Addresses and ports to serve /metrics on. Empty: off.", example='["127.0.0.1:9187"]')
    ] = ()


class Log(Section, frozen=True):
    """What is written to standard error."""

    format: Annotated[
        Literal["auto", "json", "console"],
        doc("JSON lines, or lines for people; `auto` is for people on a terminal."),
    ] = "auto"
    level: Annotated[Literal["debug", "info", "warning", "error"], doc("The least that is written.")] = "info"


class Config(Section, frozen=True):
    """Everything that can be set."""

    hostname: Annotated[
        str, doc("This installation's name in the mail world: greeting, EHLO, Received.", example="mx.example.org")
    ] = "localhost"
    data_dir: Annotated[str, doc("Folder for the embedded database, spool and keys.")] = "/var/lib/everpost"
    database: Annotated[
        str,
        doc(
            "PostgreSQL (15 or newer) to use. Empty: the embedded one in `data_dir`.",
            example="postgresql://everpost@db.example.org/everpost?sslmode=verify-full",
        ),
    ] = ""
    database_file: Annotated[str, doc("File that holds the value of `database`, where it contains a password.")] = ""
    workers: Annotated[int, doc("Worker processes. 0: one for each processor.", ge=0, le=256)] = 0
    master_key_file: Annotated[
        str,
        doc("File with the key over all keys (64 hexadecimal digits, mode 0600). Empty: master.key in `data_dir`."),
    ] = ""
    master_key: Annotated[str, doc("The key itself, from the environment only.", secret=True)] = ""
    tls: Tls = Tls()
    smtp: Smtp = Smtp()
    web: Web = Web()
    queue: Queue = Queue()
    continuity: Continuity = Continuity()
    follow: Follow = Follow()
    guard: Guard = Guard()
    quarantine: Quarantine = Quarantine()
    metrics: Metrics = Metrics()
    log: Log = Log()

    @property
    def data_folder(self) -> Path:
        return Path(self.data_dir)

    @property
    def database_folder(self) -> Path:
        """Where the embedded database lives."""
        return self.data_folder / "database"

    @property
    def spool_folder(self) -> Path:
        """Where sealed chunks of large messages wait while they arrive."""
        return self.data_folder / "spool"

    @property
    def master_key_path(self) -> Path:
        return Path(self.master_key_file) if self.master_key_file else self.data_folder / "master.key"

    @property
    def worker_processes(self) -> int:
        return self.workers or os.cpu_count() or 1

    @property
    def base_url(self) -> str:
        """`public_url`, or what follows from `hostname`; without a slash at the end."""
        return self.web.public_url.rstrip("/") or f"https://{self.hostname}"

    def external_dsn(self) -> str:
        """The database's address, or empty for the embedded one. Raises `ConfigError`."""
        return self.database or (_read_secret(self.database_file, "database_file") if self.database_file else "")

    def load_master_key(self, *, create: bool = False) -> SealingKey:
        """From the environment, or the file. Raises `ConfigError`.

        A missing file is made only with `create`: under a fresh key, what is stored already could not be read.
        """
        try:
            if self.master_key:
                return master_key_from_hex(self.master_key)
            if not create and not self.master_key_path.exists():
                raise ConfigError(
                    f"master key: {self.master_key_path} is missing: restore it from its backup, or make a new one"
                    " with `everpost init` where nothing is stored yet"
                )
            return load_or_create_master_key(self.master_key_path)
        except KeyProblem as error:
            raise ConfigError(f"master key: {error}") from error
        except OSError as error:
            raise ConfigError(f"master key: {self.master_key_path} cannot be read or made: {error.strerror}") from error

    def certificate(self, section: Listener | Web) -> tuple[str, str] | None:
        """(certificate file, key file) of a listener; None where no TLS is configured."""
        for each in (section, self.tls):
            if each.certificate_file:
                return each.certificate_file, each.key_file
        return None


def find_config(given: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The file to use: the given one, EVERPOST_CONFIG, else the first of `SEARCHED`. Raises `ConfigError`."""
    if given is not None:
        return given
    if named := environment.get("EVERPOST_CONFIG"):
        return Path(named)
    for path in SEARCHED:
        if path.exists():
            return path
    places = " nor ".join(str(path) for path in SEARCHED)
    raise ConfigError(f"no configuration at {places}: make one with `everpost init`, or say where it is (--config)")


def load_config(path: Path | None, environment: Mapping[str, str] | None = None) -> Config:
    """Read, overlay with EVERPOST_* variables, and check; None for the environment alone. Raises `ConfigError`."""
    variables = os.environ if environment is None else environment
    config = read_options(Config, path, variables)
    where = str(path) if path is not None else "environment"
    if problems := unknown_variables(Config, variables):
        raise ConfigError(f"environment: {problems[0]}")
    for key, problem in _problems(config):
        raise ConfigError(f"{where}: {key}: {problem}")
    return config


def _problems(config: Config) -> list[tuple[str, str]]:
    """What types and bounds cannot say, as (key, sentence)."""
    found = []
    if not _HOSTNAME.match(config.hostname):
        found.append(("hostname", f"{config.hostname!r} is no host name"))
    if config.database and config.database_file:
        found.append(("database_file", "give either this or `database`"))
    if config.database and not config.database.startswith(("postgresql://", "postgres://")):
        found.append(("database", "must begin with postgresql://"))
    listeners = {"smtp.mx": config.smtp.mx, "smtp.smarthost": config.smtp.smarthost}
    for name, listener in {**listeners, "smtp.submission": config.smtp.submission}.items():
        found += _bad_endpoints(f"{name}.listen", listener.listen)
        found += _bad_networks(f"{name}.proxy_from", listener.proxy_from)
        found += _half_tls(name, listener)
    found += _bad_endpoints("smtp.submission.listen_tls", config.smtp.submission.listen_tls)
    found += _bad_endpoints("web.listen", config.web.listen) + _half_tls("web", config.web)
    found += _bad_endpoints("metrics.listen", config.metrics.listen) + _half_tls("tls", config.tls)
    if config.queue.relay:
        found += _bad_endpoints("queue.relay", (config.queue.relay,))
    found += _bad_resolvers("queue.resolver", config.queue.resolver)
    found += scanner_problems(config.guard.clamd, config.guard.icap)
    if config.queue.backoff_longest_s < config.queue.backoff_first_s:
        found.append(("queue.backoff_longest_s", "must not be less than backoff_first_s"))
    if config.web.tls and config.certificate(config.web) is None:
        found.append(("web.tls", "needs a certificate: set certificate_file and key_file in [web] or [tls]"))
    if config.web.public_url and not config.web.public_url.startswith(("https://", "http://")):
        found.append(("web.public_url", "must begin with https:// or http://"))
    return found


def _bad_endpoints(key: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        try:
            parse_endpoint(text)
        except ValueError as error:
            found.append((key, f"{text!r}: {error}"))
    return found


def _bad_networks(key: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            found.append((key, f"{text!r} is no network: write it like 192.0.2.0/24"))
    return found


def _bad_resolvers(key: str, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        try:
            parse_server(text, 53)
        except ValueError:
            found.append((key, f"{text!r} is no address: write it like 192.0.2.53 or [2001:db8::53]:5353"))
    return found


def _half_tls(name: str, section: Tls | Listener | Web) -> list[tuple[str, str]]:
    if bool(section.certificate_file) == bool(section.key_file):
        return []
    return [(name, "certificate_file and key_file belong together")]


def _read_secret(path: str, key: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path or '(empty)'} cannot be read: {error}") from error
