"""`everpost doctor`: everything that has to be right before mail can flow, with the way out where it is not."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click
from cryptography import x509

from everpost.app.cli.context import Cli, command_options
from everpost.app.config import Config, ConfigError, Listener, Web, find_config, load_config, parse_endpoint
from everpost.app.database import DatabaseAway, open_database
from everpost.app.scanning import make_scanners
from everpost.continuity.probe import probe
from everpost.crypto.keys import KeyProblem
from everpost.directory.primary import Primary, load_primaries
from everpost.guard.scanners.engine import Scanner
from everpost.guard.scanners.model import Unavailable as ScannerAway
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE

MIN_FREE_OCTETS = 1024**3
MAX_CLOCK_DRIFT_S = 2.0
CERTIFICATE_WARNING_DAYS = 14

Verdict = Literal["ok", "warning", "bad"]


@dataclass(frozen=True, slots=True)
class Check:
    """What one look found; `fix` is what to do about it."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


@click.command()
@command_options
async def command(cli: Cli) -> None:
    """Check configuration, keys, disk, ports, certificates, database, clocks; whether primaries and scanners answer.

    The exit status is 1 where mail cannot flow.
    """
    checks = []
    try:
        path = find_config(cli.config_path)
        config = load_config(path)
        checks.append(Check("configuration", "ok", str(path)))
    except ConfigError as error:
        checks.append(Check("configuration", "bad", str(error), "correct the file; see docs/configuration.md"))
    else:
        for look in (_data_dir, _master_key, _disk, _certificates, _hostname, _descriptors):
            checks += list(look(config))
        checks += await _database(config)
        if _fine(checks):
            checks += await _primaries(config)
        checks += await _scanners(config)
        checks += list(_ports(config))
    cli.output({"checks": checks, "ok": _fine(checks)}, "\n".join(_line(check) for check in checks))
    if not _fine(checks):
        raise SystemExit(1)


def _fine(checks: list[Check]) -> bool:
    return all(check.verdict != "bad" for check in checks)


def _line(check: Check) -> str:
    mark = {"ok": "ok ", "warning": "?  ", "bad": "BAD"}[check.verdict]
    fix = f"\n      → {check.fix}" if check.fix else ""
    return f"{mark} {check.name}: {check.detail}{fix}"


def _data_dir(config: Config) -> Iterator[Check]:
    folder = config.data_folder
    if not folder.is_dir():
        yield Check("data directory", "bad", f"{folder} does not exist", f"mkdir -p {folder}, or `everpost init`")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Check("data directory", "bad", f"{folder} cannot be written", f"chown it to {os.geteuid()}")
    elif folder.stat().st_mode & 0o022:
        yield Check("data directory", "bad", f"{folder} can be written by others", f"chmod go-w {folder}")
    else:
        yield Check("data directory", "ok", str(folder))


def _master_key(config: Config) -> Iterator[Check]:
    path = config.master_key_path
    if not config.master_key and not path.exists():
        yield Check("master key", "bad", f"{path} does not exist", "restore it from its backup, or `everpost init`")
        return
    try:
        config.load_master_key()
        yield Check("master key", "ok", "from the environment" if config.master_key else str(path))
    except ConfigError as error:
        yield Check("master key", "bad", str(error), "restore the file from its backup; mode 0600")


def _disk(config: Config) -> Iterator[Check]:
    folder = config.data_folder
    if folder.is_dir():
        free = shutil.disk_usage(folder).free
        verdict: Verdict = "ok" if free >= MIN_FREE_OCTETS else "bad"
        fix = "" if verdict == "ok" else "make room: mail is answered with 4xx when the disk is full"
        yield Check("disk", verdict, f"{free / 1024**3:.1f} GiB free in {folder}", fix)


def _certificates(config: Config) -> Iterator[Check]:
    sections: dict[str, Listener | Web] = {
        "smtp.mx": config.smtp.mx, "smtp.smarthost": config.smtp.smarthost, "smtp.submission": config.smtp.submission,
        "web": config.web,
    }  # fmt: skip
    seen: set[tuple[str, str]] = set()
    for name, section in sections.items():
        pair = config.certificate(section)
        if pair is None:
            if name == "smtp.submission" and (config.smtp.submission.listen or config.smtp.submission.listen_tls):
                fix = "set [tls] certificate_file and key_file: people can log in under TLS only"
                yield Check("certificate of smtp.submission", "warning", "none", fix)
            continue
        if pair not in seen:
            seen.add(pair)
            yield _certificate(name, *pair)


def _certificate(name: str, certificate_file: str, key_file: str) -> Check:
    label = f"certificate of {name}"
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate_file, key_file)
        certificate = x509.load_pem_x509_certificates(Path(certificate_file).read_bytes())[0]
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        return Check(label, "bad", f"{certificate_file}, {key_file}: {error}", "certificate and key must exist and fit")
    days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
    if days < 0:
        return Check(label, "bad", f"{certificate_file} has expired", "renew it, then reload (SIGHUP)")
    verdict: Verdict = "warning" if days < CERTIFICATE_WARNING_DAYS else "ok"
    return Check(
        label, verdict, f"{certificate_file}, {days} days left", "renew it soon" if verdict == "warning" else ""
    )


def _hostname(config: Config) -> Iterator[Check]:
    if "." in config.hostname and not config.hostname.endswith((".localdomain", ".local")):
        yield Check("hostname", "ok", config.hostname)
    else:
        fix = "set `hostname` to the name that MX records and the reverse DNS of this host use"
        yield Check("hostname", "warning", f"{config.hostname} means nothing to other mail servers", fix)


def _descriptors(config: Config) -> Iterator[Check]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * config.smtp.mx.connections + 1000
    if hard < needed:
        yield Check("open files", "warning", f"{hard} allowed, {needed} wanted", "raise LimitNOFILE of the service")
    else:
        yield Check("open files", "ok", f"{soft} (up to {hard})")


async def _database(config: Config) -> list[Check]:
    where = "external" if config.database or config.database_file else "embedded"
    if where == "embedded" and not config.data_folder.is_dir():
        return [Check("database", "bad", "no data directory to run it in", "see above")]
    try:
        async with open_database(config) as database, database.connection() as connection:
            version = await connection.fetchval("SHOW server_version")
            before = datetime.now(UTC)
            now = await connection.fetchval("SELECT clock_timestamp()")
            schema = await connection.fetchval("SELECT max(number) FROM migration")
    except (DatabaseAway, ConfigError) as error:
        return [Check("database", "bad", str(error), "is the server up, and `database` right?")]
    except UNAVAILABLE as error:
        return [Check("database", "bad", str(error), "is the server up, and `database` right?")]
    drift = abs((now - before).total_seconds())
    verdict: Verdict = "ok" if drift <= MAX_CLOCK_DRIFT_S else "bad"
    fix = "" if verdict == "ok" else "run a time service (chrony, systemd-timesyncd) on both hosts"
    return [
        Check("database", "ok", f"{where}, PostgreSQL {version}, schema {schema}"),
        Check("clocks", verdict, f"{drift:.1f} s between this host and the database", fix),
    ]


async def _primaries(config: Config) -> list[Check]:
    """Whether each answers, as the prober would ask. One that does not holds nothing up: its mail is kept."""
    try:
        async with open_database(config) as database:
            primaries = await load_primaries(database, KeyRing(database, config.load_master_key()))
    except KeyProblem as error:
        return [Check("primaries", "bad", str(error), "restore the master key that belongs to this database")]
    return list(await asyncio.gather(*(_primary(config, each) for each in primaries)))


async def _primary(config: Config, primary: Primary) -> Check:
    result = await probe(primary.settings, primary.secrets, hostname=config.hostname)
    if result.ok:
        return Check(f"primary {primary.name}", "ok", f"answers in {result.latency_ms:.0f} ms")
    fix = f"everpost primary show {primary.name}: host, port, TLS and passwords; then everpost probe {primary.name}"
    return Check(f"primary {primary.name}", "warning", f"does not answer: {result.stage}: {result.detail}", fix)


async def _scanners(config: Config) -> list[Check]:
    """Whether each malware scanner answers. One that does not holds nothing up, unless it is to."""
    try:
        scanners = make_scanners(config) if config.guard.enabled else []
    except ConfigError as error:
        return [Check("scanners", "bad", str(error), "the file must exist and hold certificates in PEM")]
    return list(await asyncio.gather(*(_scanner(each) for each in scanners)))


async def _scanner(scanner: Scanner) -> Check:
    try:
        return Check(f"scanner {scanner.name}", "ok", await scanner.check())
    except ScannerAway as problem:
        fix = "does it run, and may we reach it? See docs/guard-scanners.md; mail is treated as its `unavailable` says"
        return Check(f"scanner {scanner.name}", "warning", str(problem), fix)


def _ports(config: Config) -> Iterator[Check]:
    wanted = {
        "smtp.mx": config.smtp.mx.listen,
        "smtp.smarthost": config.smtp.smarthost.listen,
        "smtp.submission": (*config.smtp.submission.listen, *config.smtp.submission.listen_tls),
        "web": config.web.listen,
        "metrics": config.metrics.listen,
    }
    for name, texts in wanted.items():
        for text in texts:
            yield _port(name, text)


def _port(name: str, text: str) -> Check:
    """Whether we could listen there. A port that answers is most likely our own running server."""
    label = f"port {text} ({name})"
    endpoint = parse_endpoint(text)
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((endpoint.host, endpoint.port))
    except PermissionError:
        fix = "grant CAP_NET_BIND_SERVICE (the systemd unit does), or choose a port above 1023"
        return Check(label, "bad", "permission denied", fix)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Check(
                label,
                "warning",
                "in use",
                f"fine if Everpost runs; else see who it is: ss -tlnp | grep {endpoint.port}",
            )
        if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return Check(label, "bad", str(error.strerror), "this host has no such address: change `listen`")
        return Check(label, "bad", str(error), "change `listen`")
    return Check(label, "ok", "free")
