"""Lists of others read: URLhaus, MISP, CSV, hosts files, plain lists. Bounded; a bad row is counted and told."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import msgspec

from everpost.guard.links.linklist import BadEntry, Entry, EntryKind, LinkList, read_entry

_MAX_TOLD = 20
_LINE = re.compile(rb"\r\n|\n|\r")
_LOCAL = frozenset(
    ("localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
     "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0")  # noqa: S104 -- a word in a file
)  # fmt: skip
_COLUMNS: Final = (
    "url", "urls", "link", "uri", "domain", "domains", "hostname", "host", "fqdn", "ip", "ip_address", "ipaddress",
    "address", "dst_ip", "network", "cidr", "ioc", "ioc_value", "indicator", "value",
)  # fmt: skip


class FeedFormat(StrEnum):
    """How a list is written."""

    URLHAUS = "urlhaus"  # the CSV of URLhaus: id, dateadded, url, url_status, …
    MISP = "misp"  # JSON: an event, events, attributes, or an answer of the search API
    CSV = "csv"  # with a head that names a column url, domain, ip or the like
    HOSTS = "hosts"  # 0.0.0.0 evil.example
    PLAIN = "plain"  # one entry a line


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Octets of the file, entries taken, octets of one line."""

    octets: int = 256 * 1024 * 1024
    entries: int = 2_000_000
    line: int = 16_384


class FeedError(ValueError):
    """The whole list cannot be read: it is too large, no JSON, or has no column that is known. The message says why."""


@dataclass(slots=True)
class FeedReport:
    """What was read: entries taken, rows that could not be, the first 20 of these with the reason, whether rows beyond
    the limit were left out."""

    taken: int = 0
    bad: int = 0
    examples: list[str] = field(default_factory=list)
    truncated: bool = False

    def tell(self, where: str, why: object) -> None:
        self.bad += 1
        if len(self.examples) < _MAX_TOLD:
            self.examples.append(f"{where}: {why}")


_DEFAULT = FeedLimits()


def read_feed(name: str, data: bytes, layout: FeedFormat, limits: FeedLimits = _DEFAULT) -> tuple[LinkList, FeedReport]:
    """A list from its file. Raises `FeedError` where nothing can be read; a row that is wrong costs only itself."""
    if len(data) > limits.octets:
        raise FeedError(f"{name}: {len(data):,} octets are more than the {limits.octets:,} allowed")
    report = FeedReport()
    rows = _READERS[layout](data, limits, report)
    return LinkList(name, _entries(rows, limits, report)), report


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    text: str
    exact: bool = True  # an address is meant exactly, not as a beginning


def _entries(rows: Iterable[_Row], limits: FeedLimits, report: FeedReport) -> Iterator[Entry]:
    for row in rows:
        if report.taken >= limits.entries:
            report.truncated = True
            return
        try:
            entry = read_entry(row.text)
            if row.exact and entry.kind is EntryKind.PREFIX and not row.text.strip().endswith("*"):
                entry = read_entry(f"http://{row.text.strip()}")
        except BadEntry as error:
            report.tell(row.where, error)
            continue
        report.taken += 1
        yield entry


def _lines(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[tuple[str, str]]:
    """("line 12", its text), without comments and empty lines; one that is too long is told and passed over."""
    position, number = 3 if data.startswith(b"\xef\xbb\xbf") else 0, 0
    while position < len(data):
        number += 1
        end = _LINE.search(data, position)
        start, position = position, end.end() if end else len(data)
        until = end.start() if end else len(data)
        if until - start > limits.line:
            report.tell(f"line {number}", f"longer than {limits.line:,} octets")
            continue
        text = data[start:until].decode("utf-8", "replace").strip()
        if text and not text.startswith(("#", "!", ";", "//")):
            yield f"line {number}", text


def _plain(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[_Row]:
    for where, text in _lines(data, limits, report):
        yield _Row(where, text.split(" #", 1)[0], exact=False)


def _hosts(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[_Row]:
    for where, text in _lines(data, limits, report):
        words = text.partition("#")[0].split()
        for name in words[1:] if len(words) > 1 else words:
            if name.lower() not in _LOCAL:
                yield _Row(where, name)


def _cells(text: str) -> list[str]:
    return next(csv.reader([text], skipinitialspace=True), [])


def _urlhaus(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[_Row]:
    for where, text in _lines(data, limits, report):
        try:
            cells = _cells(text)
        except csv.Error as error:
            report.tell(where, error)
            continue
        if cells[:3] == ["id", "dateadded", "url"]:
            continue
        if len(cells) < 3:
            report.tell(where, "fewer than three columns")
        else:
            yield _Row(where, cells[2])


def _csv(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[_Row]:
    column: int | None = None
    delimiter = ","
    for where, text in _lines(data, limits, report):
        try:
            if column is None:
                delimiter = max(",;\t|", key=text.count)
            cells = next(csv.reader([text], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error as error:
            report.tell(where, error)
            continue
        if column is None:
            column = _column(cells)
        elif column >= len(cells) or not cells[column].strip():
            report.tell(where, "nothing in the column")
        else:
            yield _Row(where, cells[column])


def _column(head: list[str]) -> int:
    names = [cell.strip().lower().lstrip("\ufeff").replace(" ", "_") for cell in head]
    for known in _COLUMNS:
        if known in names:
            return names.index(known)
    raise FeedError(f"no column is named url, domain, ip or the like: {', '.join(names)[:200]}")


# ------------------------------------------------------------------------ MISP


class _Attribute(msgspec.Struct):
    type: str = ""
    value: str = ""
    to_ids: bool | int | str = False
    deleted: bool | int | str = False


class _Object(msgspec.Struct):
    Attribute: list[_Attribute] = []


class _Event(msgspec.Struct):
    Attribute: list[_Attribute] = []
    Object: list[_Object] = []


class _Wrapped(msgspec.Struct):
    Event: _Event | None = None
    Attribute: list[_Attribute] = []
    Object: list[_Object] = []
    response: Any = None


_KINDS: Final = frozenset(
    ("url", "uri", "domain", "hostname", "ip-dst", "ip-src", "domain|ip", "hostname|port", "ip-dst|port", "ip-src|port")
)


def _misp(data: bytes, limits: FeedLimits, report: FeedReport) -> Iterator[_Row]:
    del limits
    try:
        found = [*_events(msgspec.json.decode(data))]
    except (msgspec.DecodeError, RecursionError) as error:
        raise FeedError(f"this is no JSON of MISP: {error}") from error
    number = 0
    for event in found:
        for attribute in (*event.Attribute, *(item for part in event.Object for item in part.Attribute)):
            number += 1
            if attribute.type not in _KINDS or not _is_true(attribute.to_ids) or _is_true(attribute.deleted):
                continue
            value = attribute.value.partition("|")[0] if "|" in attribute.type else attribute.value
            yield _Row(f"attribute {number}", value)


def _events(tree: Any) -> Iterator[_Event]:
    for item in tree if isinstance(tree, list) else [tree]:
        try:
            wrapped = msgspec.convert(item, _Wrapped)
        except msgspec.ValidationError as error:
            raise FeedError(f"this is no JSON of MISP: {error}") from error
        if wrapped.Event is not None:
            yield wrapped.Event
        if wrapped.Attribute or wrapped.Object:
            yield _Event(wrapped.Attribute, wrapped.Object)
        if wrapped.response is not None and wrapped.response is not tree:
            yield from _events(wrapped.response)


def _is_true(value: bool | int | str) -> bool:
    return value in (True, 1, "1", "true")


_READERS: Final[dict[FeedFormat, Callable[[bytes, FeedLimits, FeedReport], Iterator[_Row]]]] = {
    FeedFormat.URLHAUS: _urlhaus,
    FeedFormat.MISP: _misp,
    FeedFormat.CSV: _csv,
    FeedFormat.HOSTS: _hosts,
    FeedFormat.PLAIN: _plain,
}
