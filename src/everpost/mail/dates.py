"""Dates of header fields (RFC 5322 §3.3 and §4.3), read tolerantly."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

_MONTH_NAMES = "jan feb mar apr may jun jul aug sep oct nov dec"
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES.split(), start=1)}
# RFC 5322 §4.3; military letters were defined wrongly once and mean "unknown", which is UTC.
_ZONES = {
    "edt": -240,
    "est": -300,
    "cdt": -300,
    "cst": -360,
    "mdt": -360,
    "mst": -420,
    "pdt": -420,
    "pst": -480,
}
_LIMIT = 400
_COMMENT = re.compile(rb"\([^()]*+\)")
_USUAL = re.compile(
    r"\s*+(?:[^\W\d]+\.?\s*,?)?+\s*+(\d{1,2})[\s\-.]++([A-Za-z]{3})[a-z]*+[\s\-.,]++(\d{2,4})[\s,]++"
    r"(\d{1,2})\s*+[:.]\s*+(\d{1,2})(?:\s*+[:.]\s*+(\d{1,2})(?:[.,]\d++)?)?+\s*+(.*)",
    re.DOTALL,
)
_ASCTIME = re.compile(
    r"\s*+(?:[A-Za-z]{3,9},?\s++)?+([A-Za-z]{3})[a-z]*+\s++(\d{1,2}),?\s++(\d{1,2}):(\d{2})(?::(\d{2}))?+"
    r"\s++(?:([A-Za-z+\-][\w+\-]*+)\s++)?+(\d{4})\s*+(.*)",
    re.DOTALL,
)
_ISO = re.compile(r"\s*+(\d{4})-(\d{2})-(\d{2})[T\s]++(\d{2}):(\d{2})(?::(\d{2})(?:[.,]\d++)?)?+\s*+(.*)", re.DOTALL)
_OFFSET = re.compile(r"(?:GMT|UTC?)?\s*+([+\-])\s*+(\d{1,2}):?(\d{2})\b", re.IGNORECASE)


def as_date(raw: bytes) -> datetime | None:
    """The date of a Date (or Resent-Date) field, aware of its zone; None where it is none. Never raises.

    Two-digit years, named zones, missing seconds, comments, and the forms of asctime and ISO 8601 are read.
    An unknown or absent zone is UTC. Only years from 1900 to 9998 count (RFC 5322 §3.3), so that a conversion
    to any zone cannot overflow.
    """
    octets = raw[:_LIMIT]
    for _ in range(10):
        if b"(" in octets:
            octets = _COMMENT.sub(b" ", octets)
    text = octets.decode("ascii", "replace")
    try:
        return _read(text)
    except (ValueError, OverflowError):
        return None


def _read(text: str) -> datetime | None:
    usual = _USUAL.match(text)
    if usual is not None:
        day, month, year, hour, minute, second, zone = usual.groups()
        return _make(year, month, day, (hour, minute, second), zone)
    asctime = _ASCTIME.match(text)
    if asctime is not None:
        month, day, hour, minute, second, before, year, after = asctime.groups()
        return _make(year, month, day, (hour, minute, second), before or after)
    iso = _ISO.match(text)
    if iso is not None:
        year, month, day, hour, minute, second, zone = iso.groups()
        return _make(year, month, day, (hour, minute, second), zone)
    return None


def _make(year: str, month: str, day: str, clock: tuple[str, str, str | None], zone: str) -> datetime | None:
    number = int(month) if month.isdecimal() else _MONTHS.get(month.lower())
    if number is None:
        return None
    full = int(year)
    if len(year) == 2:
        full += 2000 if full < 50 else 1900  # RFC 5322 §4.3
    elif len(year) == 3:
        full += 1900
    if not 1900 <= full <= 9998:
        return None
    second = min(int(clock[2] or 0), 59)  # a leap second is still that minute
    return datetime(full, number, int(day), int(clock[0]), int(clock[1]), second, tzinfo=_zone(zone))


def _zone(text: str) -> timezone:
    offset = _OFFSET.match(text)
    if offset is None:
        minutes = _ZONES.get(text[:3].lower(), 0)
    else:
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes >= 24 * 60:
            return UTC
        if offset[1] == "-":
            minutes = -minutes
    return timezone(timedelta(minutes=minutes)) if minutes else UTC
