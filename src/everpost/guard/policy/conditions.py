"""How the values of conditions are written, and what they are true of. Every test is made once and bounded in time: the
patterns are RE2's, which never takes longer than the text is long.
"""

from __future__ import annotations

import ipaddress
import operator
import re as words
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2

from everpost.guard.case import Reader
from everpost.guard.dlp.content import content_test
from everpost.guard.kinds import kind_of
from everpost.guard.model import Judgement, Way
from everpost.guard.policy.facts import Facts
from everpost.guard.policy.model import Condition, Field

MessageTest = Callable[[Facts], bool]
ReaderTest = Callable[[Facts, Reader], bool]
_PATTERN_MEMORY: Final = 2 * 1024 * 1024  # octets that one pattern may take
_MAX_PATTERN: Final = 2000
_COMPARISON = words.compile(r"\s*(<=|>=|<|>)\s*(\d{1,12}(?:\.\d{1,6})?)\s*(|k|kb|m|mb|g|gb)\s*\Z", words.IGNORECASE)
_UNITS: Final = {"": 1, "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3}
_COMPARED: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = words.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?(?P<from>\d\d:\d\d)-(?P<until>\d\d:\d\d)"
    r"(?:\s+(?P<zone>[\w/+\-]{1,60}))?\Z",
    words.IGNORECASE,
)
_SEALED: Final = frozenset({"signed", "encrypted", "tls"})


class BadValue(ValueError):
    """A value of a condition that cannot be read; the message says why and what would."""


def message_test(condition: Condition) -> MessageTest:
    """For every field but the recipient. Raises `BadValue`."""
    made = _MAKERS[condition.field](condition)
    if condition.negate:
        return lambda facts: not made(facts)
    return made


def reader_test(condition: Condition, groups: Mapping[str, int]) -> ReaderTest:
    """For the recipient: addresses, domains and groups. Raises `BadValue`."""
    wanted = [value[6:].strip().lower() for value in condition.any if value.lower().startswith("group:")]
    unknown = [name for name in wanted if name not in groups]
    if unknown:
        raise BadValue(f"no group {unknown[0]!r}")
    group_ids = frozenset(groups[name] for name in wanted)
    addressed = _addresses(value for value in condition.any if not value.lower().startswith("group:"))

    def test(_facts: Facts, reader: Reader) -> bool:
        found = bool(group_ids & reader.group_ids) or any(map(addressed, reader.addresses))
        return found is not condition.negate

    return test


# ---------------------------------------------------------------------- each field


def _direction(condition: Condition) -> MessageTest:
    wanted = frozenset(_one_of(value, [each.value for each in Way]) for value in condition.any)
    return lambda facts: facts.way.value in wanted


def _sender(condition: Condition) -> MessageTest:
    test = _addresses(condition.any)
    return lambda facts: test(facts.sender)


def _author(condition: Condition) -> MessageTest:
    test = _addresses(condition.any)
    return lambda facts: any(map(test, facts.authors))


def _network(condition: Condition) -> MessageTest:
    try:
        networks = [ipaddress.ip_network(value.strip(), strict=False) for value in condition.any]
    except ValueError as error:
        raise BadValue(f"{error}: a network is written 192.0.2.0/24 or 2001:db8::/32") from None
    return lambda facts: facts.client is not None and any(facts.client in network for network in networks)


def _country(condition: Condition) -> MessageTest:
    wanted = frozenset(value.strip().upper() for value in condition.any)
    for value in wanted:
        if not words.fullmatch("[A-Z]{2}", value):
            raise BadValue(f"{value!r} is no country: two letters (ISO 3166), as DE")
    return lambda facts: facts.country in wanted


def _header(condition: Condition) -> MessageTest:
    if not words.fullmatch(r"[!-9;-~]{1,100}", condition.name):
        raise BadValue('a condition on a header names the field: name = "X-Mailer"')
    tests = _patterns(condition.any)
    return lambda facts: any(test(text) for text in facts.fields(condition.name) for test in tests)


def _subject(condition: Condition) -> MessageTest:
    tests = _patterns(condition.any)
    return lambda facts: any(test(facts.subject) for test in tests)


def _body(condition: Condition) -> MessageTest:
    tests = _patterns(condition.any)
    return lambda facts: any(test(facts.body) for test in tests)


def _content(condition: Condition) -> MessageTest:
    try:
        tests = [content_test(value) for value in condition.any]
    except ValueError as error:
        raise BadValue(str(error)) from None
    return lambda facts: any(test(facts.searched) for test in tests)


def _size(condition: Condition) -> MessageTest:
    tests = [_comparison(value) for value in condition.any]
    return lambda facts: any(test(float(facts.case.size)) for test in tests)


def _score(condition: Condition) -> MessageTest:
    tests = [_comparison(value) for value in condition.any]
    return lambda facts: any(test(facts.verdict.score) for test in tests)


def _file_name(condition: Condition) -> MessageTest:
    tests = _globs(condition.any)
    return lambda facts: any(test(name.lower()) for name in facts.file_names for test in tests)


def _file_type(condition: Condition) -> MessageTest:
    tests = _globs(condition.any)
    return lambda facts: any(test(kind) for kind in facts.file_types for test in tests)


def _sealed(condition: Condition) -> MessageTest:
    wanted = frozenset(_one_of(value, sorted(_SEALED)) for value in condition.any)
    return lambda facts: bool(wanted & facts.sealed)


def _signal(condition: Condition) -> MessageTest:
    for value in condition.any:
        if kind_of(value) is None:
            raise BadValue(f"no signal {value!r}: docs/signals.md has all")
    wanted = frozenset(condition.any)
    return lambda facts: bool(wanted & facts.signals)


def _judgement(condition: Condition) -> MessageTest:
    wanted = frozenset(_one_of(value, [each.value for each in Judgement]) for value in condition.any)
    return lambda facts: facts.judgement.value in wanted


def _time(condition: Condition) -> MessageTest:
    tests = [_period(value) for value in condition.any]
    return lambda facts: any(test(facts.at) for test in tests)


_MAKERS: Final[Mapping[Field, Callable[[Condition], MessageTest]]] = {
    Field.DIRECTION: _direction,
    Field.SENDER: _sender,
    Field.AUTHOR: _author,
    Field.NETWORK: _network,
    Field.COUNTRY: _country,
    Field.HEADER: _header,
    Field.SUBJECT: _subject,
    Field.BODY: _body,
    Field.CONTENT: _content,
    Field.SIZE: _size,
    Field.FILE_NAME: _file_name,
    Field.FILE_TYPE: _file_type,
    Field.SEALED: _sealed,
    Field.SIGNAL: _signal,
    Field.JUDGEMENT: _judgement,
    Field.SCORE: _score,
    Field.TIME: _time,
}


# ---------------------------------------------------------------------- each kind of value


def _one_of(value: str, known: list[str]) -> str:
    if value not in known:
        raise BadValue(f"{value!r} is none of {', '.join(known)}")
    return value


def _addresses(values: Iterable[str]) -> Callable[[str], bool]:
    """`a@example.org`, `example.org`, `*.example.org` (below it), `*@example.org`, `<>` (nobody: a report)."""
    whole: set[str] = set()
    domains: set[str] = set()
    below: list[str] = []
    for value in values:
        text = value.strip().lower()
        if text == "<>":
            whole.add("")
        elif text.startswith("*."):
            below.append(_domain(text[1:], value))
        elif text.startswith("*@"):
            domains.add(_domain(text[2:], value))
        elif "@" in text:
            whole.add(text)
        else:
            domains.add(_domain(text, value))
    suffixes = tuple(below)

    def test(address: str) -> bool:
        domain = address.rpartition("@")[2]
        return address in whole or domain in domains or domain.endswith(suffixes)

    return test


def _domain(text: str, value: str) -> str:
    if not words.fullmatch(r"\.?[\w\-]{1,63}(?:\.[\w\-]{1,63}){0,8}", text):
        raise BadValue(
            f"{value!r} is no address or domain: anna@example.org, example.org, *.example.org, <>; recipients also "
            "group:Sales"
        )
    return text


def _patterns(values: Iterable[str]) -> list[Callable[[str], Any]]:
    """RE2 patterns, in upper and lower case alike."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    made = []
    for value in values:
        if len(value) > _MAX_PATTERN:
            raise BadValue(f"a pattern has at most {_MAX_PATTERN} characters")
        try:
            made.append(re2.compile(value, options).search)
        except re2.error as error:
            reason = error.args[0]
            shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
            raise BadValue(f"{value!r} is no pattern (RE2): {shown}") from None
    return made


def _globs(values: Iterable[str]) -> list[Callable[[str], Any]]:
    """Text in which `*` stands for anything."""
    return _patterns("^(?s:" + ".*".join(map(re2.escape, value.strip().lower().split("*"))) + ")$" for value in values)


def _comparison(value: str) -> Callable[[float], bool]:
    found = _COMPARISON.match(value)
    if found is None:
        raise BadValue(f"{value!r} is no comparison: > 10 MB, <= 5, >= 2.5")
    compare, bound = _COMPARED[found[1]], float(found[2]) * _UNITS[found[3].lower()]
    return lambda number: compare(number, bound)


def _period(value: str) -> Callable[[datetime], bool]:
    found = _TIME.match(value.strip())
    if found is None:
        raise BadValue(f"{value!r} is no time: mon-fri 08:00-18:00 Europe/Berlin, sat 00:00-24:00, 22:00-06:00")
    days = _days((found["first"] or "").lower(), (found["last"] or "").lower(), value)
    start, end = _minutes(found["from"], value), _minutes(found["until"], value)
    try:
        zone = ZoneInfo(found["zone"] or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        raise BadValue(f"{value!r}: no time zone {found['zone']!r}") from None

    def test(at: datetime) -> bool:
        there = at.astimezone(zone)
        minute, day = there.hour * 60 + there.minute, there.weekday()
        if start <= end:
            return day in days and start <= minute < end
        return (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end)

    return test


def _days(first: str, last: str, value: str) -> frozenset[int]:
    if not first:
        return frozenset(range(7))
    if first not in _DAYS or (last and last not in _DAYS):
        raise BadValue(f"{value!r}: days are {', '.join(_DAYS)}")
    begin, end = _DAYS.index(first), _DAYS.index(last or first)
    return frozenset((begin + number) % 7 for number in range((end - begin) % 7 + 1))


def _minutes(text: str, value: str) -> int:
    hours, minutes = int(text[:2]), int(text[3:])
    if hours * 60 + minutes > 24 * 60 or minutes > 59:
        raise BadValue(f"{value!r}: {text} is no time of the day")
    return hours * 60 + minutes
