"""Vectors of others: mail-parser's messages and field values with their expected parse, MimeKit's messages.

Each difference from what mail-parser expects is listed with its reason; a listed one that no longer differs
fails, so the lists cannot grow old.
"""

from __future__ import annotations

import email
import email.message
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everpost.mail.digest import content_digest
from everpost.mail.header import HeaderGroup, as_addresses, as_date, as_message_ids, as_text, flatten, parse_header
from everpost.mail.journal import parse_journal
from everpost.mail.mime import Part, body_lists, decode_body, decode_text, load, preview, scan, serialise
from everpost.mail.params import content_type
from vector_tools import MAIL_PARSER, MIMEKIT, MISSING, messages_of_mail_parser, messages_of_mimekit
from vector_tools.differences import (
    ADDRESS_DIFFERENCES,
    DATE_DIFFERENCES,
    ID_DIFFERENCES,
    MESSAGE_DIFFERENCES,
    STRUCTURE_DIFFERENCES,
    TEXT_DIFFERENCES,
    TYPE_DIFFERENCES,
)

pytestmark = pytest.mark.skipif(not MAIL_PARSER.is_dir(), reason=MISSING)


def entries(name: str) -> list[Any]:
    found: list[Any] = json.loads((MAIL_PARSER / f"{name}.json").read_text("utf-8"))
    return found


def differing(pairs: Iterator[tuple[Any, Any, Any]]) -> dict[Any, tuple[Any, Any]]:
    return {name: (got, want) for name, got, want in pairs if got != want}


def check(found: dict[Any, tuple[Any, Any]], documented: dict[Any, str]) -> None:
    unexpected = {name: pair for name, pair in found.items() if name not in documented}
    assert not unexpected
    assert set(documented) == set(found), "documented, but no longer different"


def wanted_addresses(expected: Any) -> list[Any]:
    if not isinstance(expected, dict):
        return []
    expected = expected.get("Address", expected)
    if "List" in expected:
        return [(item["name"], item["address"]) for item in expected["List"]]
    return [
        (group["name"], [(item["name"], item["address"]) for item in group["addresses"]]) for group in expected["Group"]
    ]


def read_addresses(raw: bytes) -> list[Any]:
    return [
        (item.name, [(one.name, one.address) for one in item.addresses])
        if isinstance(item, HeaderGroup)
        else (item.name, item.address)
        for item in as_addresses(raw)
    ]


def test_addresses() -> None:
    cases = enumerate(entries("address"))
    check(
        differing((n, read_addresses(c["header"].encode()), wanted_addresses(c["expected"])) for n, c in cases),
        ADDRESS_DIFFERENCES,
    )


def test_message_ids() -> None:
    cases = enumerate(entries("id"))
    check(
        differing((n, list(as_message_ids(c["header"].encode())), c["expected"] or []) for n, c in cases),
        ID_DIFFERENCES,
    )


def wanted_date(expected: Any) -> Any:
    if not expected:
        return None
    sign = -1 if expected["tz_before_gmt"] else 1
    offset = sign * (expected["tz_hour"] * 3600 + expected["tz_minute"] * 60)
    return (*(expected[key] for key in ("year", "month", "day", "hour", "minute", "second")), offset)


def read_date(raw: bytes) -> Any:
    date = as_date(raw)
    if date is None:
        return None
    offset = date.utcoffset()
    assert offset is not None
    return (*date.timetuple()[:6], int(offset.total_seconds()))


def test_dates() -> None:
    cases = enumerate(entries("date"))
    check(
        differing((n, read_date(c["header"].encode()), wanted_date(c["expected"])) for n, c in cases), DATE_DIFFERENCES
    )


def wanted_type(expected: Any) -> Any:
    if not isinstance(expected, dict):
        return "", []
    expected = expected.get("ContentType", expected)
    kind = f"{expected['c_type']}/{expected['c_subtype']}" if expected.get("c_subtype") else ""
    pairs = [
        tuple(item.values()) if isinstance(item, dict) else tuple(item) for item in expected.get("attributes") or []
    ]
    return kind, sorted(pair for pair in pairs if not pair[0].endswith("-language"))


def test_content_types() -> None:
    def pairs() -> Iterator[tuple[Any, Any, Any]]:
        for number, case in enumerate(entries("content_type")):
            read = content_type(case["header"].encode())
            yield number, (read.value, sorted(read.items)), wanted_type(case["expected"])

    check(differing(pairs()), TYPE_DIFFERENCES)


def test_texts() -> None:
    """White space is compared as one space: unfolding keeps it (RFC 5322 §2.2.3), mail-parser does not."""
    cases = enumerate(entries("unstructured"))
    check(
        differing(
            (n, " ".join(as_text(c["header"].encode()).split()), " ".join((c["expected"] or "").split()))
            for n, c in cases
        ),
        TEXT_DIFFERENCES,
    )


def declared_type(part: Any) -> str | None:
    for item in part["headers"]:
        if item["name"] == "content_type" and isinstance(item["value"], dict):
            declared = item["value"].get("ContentType")
            if declared is not None and declared["c_subtype"]:
                return f"{declared['c_type']}/{declared['c_subtype']}"
    return None


def compare_part(data: bytes, part: Part, expected: Any) -> Iterator[str]:
    kind = declared_type(expected)
    if kind is not None and kind != part.type:
        yield f"type {part.type}, wanted {kind}"
    offsets = (expected["offset_header"], expected["offset_body"])
    if (part.header_start, part.body_start) != offsets:
        yield f"offsets {part.header_start}, {part.body_start}, wanted {offsets}"
    body = expected["body"]
    if not isinstance(body, dict):
        return
    ((form, content),) = body.items()
    if form in ("Text", "Html"):
        text = decode_text(data, part)[0].rstrip()
        if text != content.replace("\r\n", "\n").rstrip():
            yield f"text {text[:60]!r}, wanted {content[:60]!r}"
    elif form in ("Binary", "InlineBinary") and decode_body(data, part).rstrip() != bytes(content).rstrip():
        yield "other octets"


def compare_fields(data: bytes, expected: Any) -> Iterator[str]:
    """Subject, addresses, date and ids of the top header against what was expected of them."""
    readers = {"subject": "Text", "from": "Address", "to": "Address", "cc": "Address", "date": "DateTime"}
    header = parse_header(data)
    for item in expected["headers"]:
        name = item["name"]
        form = readers.get(name) if isinstance(name, str) else None
        if form is None or not isinstance(item["value"], dict) or form not in item["value"]:
            continue
        field = next(field for field in header.fields if field.start == item["offset_field"])
        value = item["value"][form]
        if form == "Text":
            got, want = " ".join(as_text(field.raw).split()), " ".join(value.split())
        elif form == "DateTime":
            got, want = read_date(field.raw), wanted_date(value)
        else:
            got = [one.address for one in flatten(as_addresses(field.raw)) if "@" in one.address]
            want = [address for address in all_addresses(value) if address and "@" in address]
        if "\ufffd" not in repr(want) and got != want:
            yield f"{name}: {got!r}, wanted {want!r}"


def all_addresses(value: Any) -> list[str | None]:
    if "List" in value:
        return [item["address"] for item in value["List"]]
    return [item["address"] for group in value["Group"] for item in group["addresses"]]


def compare(path: Path, *, crlf: bool) -> list[str]:
    data = path.read_bytes().replace(b"\r\n", b"\n")
    if crlf:
        data = data.replace(b"\n", b"\r\n")
    expected = json.loads(path.with_suffix(".crlf.json" if crlf else ".json").read_text("utf-8"))
    parts = list(scan(data).walk())
    found = list(compare_fields(data, expected["parts"][0]))
    if len(parts) != len(expected["parts"]):
        return [*found, f"{len(parts)} parts, wanted {len(expected['parts'])}"]
    for part, wanted in zip(parts, expected["parts"], strict=True):
        found += compare_part(data, part, wanted)
    return found


@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_messages(crlf: bool) -> None:
    paths = messages_of_mail_parser()
    assert len(paths) > 100
    names = {path: f"{path.parent.name}/{path.stem}" for path in paths}
    check(differing((names[path], compare(path, crlf=crlf), []) for path in paths), MESSAGE_DIFFERENCES)


def test_nothing_fails_on_any_file() -> None:
    """Every file of both collections, even what is no message; and what is scanned can be stored."""
    kinds = (".eml", ".txt", ".msg", ".tnef", ".html")
    others = [path for path in MIMEKIT.rglob("*") if path.suffix in kinds]
    files = [path for path in (*others, *MAIL_PARSER.rglob("*")) if path.is_file()]
    assert len(files) > 300
    for path in files:
        data = path.read_bytes()
        root = scan(data, descend_messages=True)
        assert load(serialise(root)) == root
        for part in root.walk():
            decode_body(data, part)
            assert "\0" not in decode_text(data, part)[0]
        body_lists(scan(data))
        preview(data, scan(data))
        content_digest(data)
        assert parse_journal(data) is None


REPORTS = frozenset(("message/delivery-status", "message/disposition-notification"))


def structure(path: Path) -> list[Any]:
    """Type and decoded octets of every part; of a multipart, and of a message in a message, the type alone."""
    data = path.read_bytes()
    return [
        (part.type, None if part.is_multipart or part.children else b"".join(decode_body(data, part).split()))
        for part in scan(data, descend_messages=True).walk()
    ]


def structure_of_library(path: Path) -> list[Any]:
    """The same by Python's own parser, which takes the groups of fields of a report for parts of it."""
    found: list[Any] = []

    def walk(message: email.message.Message) -> None:
        kind, inner = message.get_content_type(), message.get_payload()
        if isinstance(inner, list) and kind not in REPORTS:
            found.append((kind, None))
            for part in inner:
                walk(part)
        elif isinstance(inner, list):
            found.append((kind, b"".join(b"".join(part.as_bytes() for part in inner).split())))
        else:
            found.append((kind, b"".join((message.get_payload(decode=True) or b"").split())))

    walk(email.message_from_bytes(path.read_bytes()))
    return found


def test_mimekit_messages_have_the_parts_that_another_parser_sees() -> None:
    """MimeKit's expectations are code; Python's parser stands in for them. White space is not compared."""
    paths = messages_of_mimekit()
    assert len(paths) > 25
    check(differing((path.name, structure(path), structure_of_library(path)) for path in paths), STRUCTURE_DIFFERENCES)


def test_mimekit_messages_made_anonymous_keep_their_parts() -> None:
    pairs = [(path, path.with_name(path.name.replace(".anonymized", ""))) for path in messages_of_mimekit()]
    compared = 0
    for path, original in pairs:
        for known in (original, original.with_suffix(".txt")):
            if ".anonymized" in path.name and known.is_file():
                assert [kind for kind, _ in structure(path)] == [kind for kind, _ in structure(known)]
                compared += 1
    assert compared >= 4


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("simple-multipart.eml", ["multipart/mixed", "text/plain", "application/octet-stream"]),
        ("delivery-status.txt", ["multipart/report", "message/delivery-status", "message/rfc822"]),
        ("multipart-digest.txt", ["message/rfc822", "multipart/digest", "message/rfc822", "text/plain"]),
    ],
)
def test_mimekit_structures(name: str, types: list[str]) -> None:
    path = MIMEKIT / "messages" / name
    if not path.is_file():
        pytest.skip(f"{name} is not among the vectors")
    root = scan(path.read_bytes(), descend_messages=True)
    assert [part.type for part in root.walk()][: len(types)] == types
