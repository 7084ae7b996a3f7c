"""People from a CSV file: what a spreadsheet can export, read strictly and with line numbers in every complaint."""

from __future__ import annotations

import csv
import difflib
import io
from dataclasses import dataclass, field

from everpost.directory.actions import Member, MemberKind, Wanted, WantedGroup, WantedMailbox
from everpost.directory.model import Rights
from everpost.directory.records import DirectoryError
from everpost.mail.address import Address, AddressError

SOURCE = "csv"
COLUMNS = ("address", "name", "kind", "aliases", "groups", "alternate", "password", "delegates")
MAX_OCTETS = 32 * 1024 * 1024
MAX_ROWS = 200_000
MAX_PROBLEMS = 20
_MAX_LISTED = 200
_MAX_FIELD = 10_000
_KINDS = ("person", "shared")


class CsvError(DirectoryError):
    """The file cannot be used; the message names lines, at most `MAX_PROBLEMS` of them."""


@dataclass(frozen=True, slots=True)
class CsvPeople:
    """A file that was read without complaint. `passwords` and `delegates` are by address key, for those with some."""

    mailboxes: tuple[WantedMailbox, ...]
    groups: tuple[WantedGroup, ...]
    passwords: dict[str, str] = field(repr=False)
    delegates: dict[str, tuple[tuple[Address, Rights], ...]] = field(default_factory=dict)

    def wanted(self, *, complete: bool) -> Wanted:
        """With `complete`, people the file does not list any more are disabled."""
        return Wanted(SOURCE, self.mailboxes, self.groups, complete)


def read_csv(data: bytes) -> CsvPeople:
    """Read a file in UTF-8, its first line naming the columns (`COLUMNS`, any order; only `address` must be there).

    Lists inside a field are separated by semicolons. A group is a name, or an address where it has one. Raises
    `CsvError`.
    """
    if len(data) > MAX_OCTETS:
        raise CsvError(f"the file is larger than {MAX_OCTETS // (1024 * 1024)} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CsvError(f"line {line}: not UTF-8: save the file as CSV UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    collector = _Collector()
    try:
        columns = _columns(next(reader, []))
        for row in reader:
            collector.row(reader.line_num, columns, row)
            if len(collector.problems) >= MAX_PROBLEMS:
                break
    except csv.Error as error:
        collector.problems.append(f"line {reader.line_num}: {error}")
    if collector.problems:
        raise CsvError("\n".join(collector.problems))
    return collector.result()


def _columns(header: list[str]) -> list[str]:
    names = [name.strip().lower() for name in header]
    if len(names) == 1 and ";" in names[0]:
        raise CsvError("line 1: the columns are separated by semicolons: save the file with commas")
    for name in names:
        if name not in COLUMNS:
            close = difflib.get_close_matches(name, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COLUMNS)}"
            raise CsvError(f"line 1: there is no column {name[:50]!r}: {hint}")
    if len(set(names)) != len(names):
        raise CsvError("line 1: a column is there twice")
    if "address" not in names:
        raise CsvError("line 1: the column 'address' is missing")
    return names


class _Collector:
    def __init__(self) -> None:
        self.problems: list[str] = []
        self._mailboxes: list[WantedMailbox] = []
        self._passwords: dict[str, str] = {}
        self._delegates: dict[str, tuple[tuple[Address, Rights], ...]] = {}
        self._lines: dict[str, int] = {}
        self._members: dict[str, set[Member]] = {}
        self._group_addresses: dict[str, Address] = {}

    def row(self, line: int, columns: list[str], row: list[str]) -> None:
        """Take one row; what is wrong with it goes to `problems`."""
        if not any(value.strip() for value in row):
            return
        if len(self._mailboxes) >= MAX_ROWS:
            raise CsvError(f"line {line}: more than {MAX_ROWS} people")
        if len(row) != len(columns):
            self.problems.append(f"line {line}: {len(row)} fields where the first line has {len(columns)}")
            return
        values = dict(zip(columns, row, strict=True))
        try:
            self._take(line, values)
        except (AddressError, _Bad) as error:
            self.problems.append(f"line {line}: {error}")

    def _take(self, line: int, values: dict[str, str]) -> None:
        if any(len(value) > _MAX_FIELD for value in values.values()):
            raise _Bad(f"a field is longer than {_MAX_FIELD} characters")
        password = values.pop("password", "")
        plain = {name: value.strip() for name, value in values.items()}
        address = _address("address", plain["address"])
        if address.key in self._lines:
            raise _Bad(f"{address} stands in line {self._lines[address.key]} already")
        kind = plain.get("kind", "").lower() or "person"
        if kind not in _KINDS:
            raise _Bad(f"kind {kind[:50]!r} is neither person nor shared")
        name = plain.get("name", "") or address.local
        if len(name) > 200 or not name.isprintable():
            raise _Bad("the name is not one line of at most 200 printable characters")
        aliases = tuple(_address("alias", text) for text in _list(plain.get("aliases", "")))
        alternate = str(_address("alternate", plain["alternate"])) if plain.get("alternate") else None
        delegates = tuple(_delegate(text) for text in _list(plain.get("delegates", "")))
        groups = [self._group(text) for text in _list(plain.get("groups", ""))]
        self._lines[address.key] = line
        self._mailboxes.append(WantedMailbox(None, address, name, kind, aliases, alternate))
        for group in groups:
            self._members.setdefault(group, set()).add(Member(MemberKind.MAILBOX, address.key))
        if delegates:
            self._delegates[address.key] = delegates
        if password:
            self._passwords[address.key] = password

    def _group(self, text: str) -> str:
        if "@" in text:
            address = _address("group", text)
            self._group_addresses.setdefault(address.key, address)
            return address.key
        if len(text) > 200 or not text.isprintable():
            raise _Bad("a group's name is not one line of at most 200 printable characters")
        return text

    def result(self) -> CsvPeople:
        groups = tuple(
            WantedGroup(None, name, self._group_addresses.get(name), (), frozenset(members))
            for name, members in self._members.items()
        )
        return CsvPeople(tuple(self._mailboxes), groups, self._passwords, self._delegates)


class _Bad(Exception):
    """What is wrong with a row."""


def _list(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) > _MAX_LISTED:
        raise _Bad(f"a list of more than {_MAX_LISTED}")
    return parts


def _delegate(text: str) -> tuple[Address, Rights]:
    address, equals, word = text.partition("=")
    try:
        rights = Rights(word.strip().lower()) if equals else Rights.WRITE
    except ValueError:
        raise _Bad(f"delegate {text[:100]!r}: the rights are {', '.join(Rights)}") from None
    return _address("delegate", address.strip()), rights


def _address(what: str, text: str) -> Address:
    try:
        return Address.parse(text)
    except AddressError as error:
        raise _Bad(f"{what} {text[:100]!r}: {error}") from error
