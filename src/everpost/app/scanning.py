"""The malware scanners of a process, put together from the configuration."""

from __future__ import annotations

import ssl
from pathlib import Path

from everpost.app import metrics
from everpost.app.config import Config, ConfigError
from everpost.app.scanner_options import Clamd, Icap
from everpost.guard.scanners.clamd import Clamd as ClamdClient
from everpost.guard.scanners.engine import Engine, EngineSettings, Scanner
from everpost.guard.scanners.icap import Icap as IcapClient
from everpost.guard.scanners.model import WhenAway
from everpost.guard.scanners.yara import Yara, YaraSettings


def make_scanners(config: Config) -> list[Scanner]:
    """Everything that is asked for malware. Raises `ConfigError` where a file that is named cannot be read."""
    guard = config.guard
    scanners: list[Scanner] = []
    if guard.clamd.address:
        client = ClamdClient(guard.clamd.address, guard.clamd.suspect)
        scanners.append(Engine("clamd", client, _engine_settings(guard.clamd), _count_scan))
    for each in guard.icap:
        service = IcapClient(each.url, _trusting(each.ca_file))
        scanners.append(Engine(each.name, service, _engine_settings(each), _count_scan))
    if guard.yara.rules_dir:
        settings = YaraSettings(Path(guard.yara.rules_dir), guard.yara.seconds, WhenAway(guard.yara.unavailable))
        scanners.append(Yara(settings, _count_scan, _count_rules))
    return scanners


def _engine_settings(section: Clamd | Icap) -> EngineSettings:
    return EngineSettings(
        section.seconds, section.at_once, section.object_octets, section.parts, WhenAway(section.unavailable)
    )


def _trusting(ca_file: str) -> ssl.SSLContext | None:
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"guard.icap: ca_file {ca_file} cannot be read: {error.strerror or error}") from error


def _count_scan(engine: str, result: str, seconds: float) -> None:
    metrics.SCANS.labels(engine, result).inc()
    if result != "away":
        metrics.SCAN_SECONDS.labels(engine).observe(seconds)


def _count_rules(rules: int, broken: bool) -> None:
    metrics.YARA_RULES.set(rules)
    metrics.YARA_BROKEN.set(int(broken))
