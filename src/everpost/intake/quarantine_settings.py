"""What an organisation decides about its quarantine: what people let go themselves, and when they are told of it."""

from __future__ import annotations

import enum
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from everpost.guard.model import Judgement
from everpost.store import audit
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("quarantine")
MAY_BE_RELEASED: Final = frozenset({Judgement.SUSPICIOUS, Judgement.SPAM, Judgement.POLICY})
"""What an organisation may leave to its people. Phishing can be asked for; malware is for administrators alone."""


class Schedule(enum.StrEnum):
    """When people are told by mail of what is kept from them."""

    OFF = "off"
    DAILY = "daily"
    HOURLY = "hourly"


class May(enum.StrEnum):
    """What somebody may do about a message that is kept from them."""

    RELEASE = "release"
    ASK = "ask"  # for its release
    NOTHING = "nothing"


class SettingsError(ValueError):
    """A setting that cannot be; the message is fit to be shown."""


@dataclass(frozen=True, slots=True)
class QuarantineSettings:
    """`digest_hour` counts in `time_zone` (an IANA name) and is for the daily schedule."""

    self_release: frozenset[Judgement] = frozenset({Judgement.SUSPICIOUS, Judgement.SPAM})
    digest: Schedule = Schedule.DAILY
    digest_hour: int = 8
    time_zone: str = "UTC"

    def check(self) -> None:
        """Raises `SettingsError`."""
        if extra := self.self_release - MAY_BE_RELEASED:
            raise SettingsError(f"people cannot release {min(extra)}: only administrators do")
        if not 0 <= self.digest_hour <= 23:
            raise SettingsError("the hour of the digest is 0 to 23")
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingsError(f"{self.time_zone[:80]!r} is no time zone: write one like Europe/Berlin") from None

    def next_digest(self, after: datetime) -> datetime:
        """The first time a digest is due later than a moment. For a schedule that is not `OFF`."""
        if self.digest is Schedule.HOURLY:
            return after.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        zone = zoneinfo.ZoneInfo(self.time_zone)
        local = after.astimezone(zone)
        for days in (0, 1, 2):
            day = local.date() + timedelta(days=days)
            due = datetime(day.year, day.month, day.day, self.digest_hour, tzinfo=zone).astimezone(UTC)
            if due > after:
                return due
        raise AssertionError("there is an hour like this every day")


def may(judgement: Judgement, self_release: frozenset[Judgement]) -> May:
    """What people may do about a message that was taken for this."""
    if judgement is Judgement.MALWARE:
        return May.NOTHING
    return May.RELEASE if judgement in self_release & MAY_BE_RELEASED else May.ASK


async def read_settings(connection: Connection, organisation_id: int) -> QuarantineSettings:
    """As they are set."""
    return settings_of(await connection.fetchrow(_SQL["settings"], organisation_id))


def settings_of(row: Any) -> QuarantineSettings:
    """From a row that has their columns."""
    return QuarantineSettings(
        released_of(row["self_release"]), Schedule(row["digest"]), row["digest_hour"], row["time_zone"],
    )  # fmt: skip


def released_of(names: list[str]) -> frozenset[Judgement]:
    """The judgements of a `self_release` column."""
    return frozenset(Judgement(name) for name in names)


async def save_settings(database: Database, organisation_id: int, settings: QuarantineSettings, actor: str) -> None:
    """They count from now on; the next digest is due as they say. Raises `SettingsError`."""
    settings.check()
    async with database.transaction() as connection:
        names = sorted(settings.self_release)
        await connection.execute(
            _SQL["save_settings"], organisation_id, names, settings.digest, settings.digest_hour, settings.time_zone,
        )  # fmt: skip
        detail = {
            "self_release": names, "digest": settings.digest, "hour": settings.digest_hour,
            "time_zone": settings.time_zone,
        }  # fmt: skip
        event = audit.Event(actor, "quarantine.settings", "quarantine", detail)
        await audit.record(connection, organisation_id, await database.ids.new(), event)
