"""Real mail: every message of a public list against the standard library's parser, where that one works."""

from __future__ import annotations

import email
import email.header
import email.message
import email.utils
import io
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from pathlib import Path

import pytest
import zstandard

from everpost.mail.digest import content_digest
from everpost.mail.header import as_addresses, as_date, as_text, flatten, parse_header
from everpost.mail.journal import parse_journal
from everpost.mail.mime import MimeProblem, Part, decode_body, decode_text, load, preview, scan, serialise
from everpost.mail.trace import hops

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "usrp-users.mbox.zst"

pytestmark = pytest.mark.skipif(not CORPUS.is_file(), reason="the corpus is not beside this checkout")


def messages() -> Iterator[bytes]:
    """The messages of the mboxrd file, in CRLF."""
    lines: list[bytes] = []
    with CORPUS.open("rb") as packed:
        stream = io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed), 1 << 20)
        for line in stream:
            if line.startswith(b"From "):
                if lines:
                    yield b"".join(lines)
                lines = []
            else:
                quoted = line.startswith(b">") and line.lstrip(b">").startswith(b"From ")
                lines.append(line[quoted:].rstrip(b"\r\n") + b"\r\n")
    yield b"".join(lines)


def squeeze(text: str) -> str:
    return "".join(text.split())


def leaves(message: email.message.Message) -> list[email.message.Message]:
    """Leaves as we count them: an embedded message is one."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        return [leaf for child in message.get_payload() for leaf in leaves(child)]  # type: ignore[union-attr, arg-type]
    return [message]


def compare(data: bytes) -> list[str]:
    """What differs from the standard library's reading of the message."""
    header, peer = parse_header(data), email.message_from_bytes(data)
    found: list[str] = []
    if [field.key for field in header.fields] != [name.lower() for name in peer.keys()]:  # noqa: SIM118
        found.append("fields")
    if hops(header) != len(peer.get_all("received", [])):
        found.append("hops")
    subject, wanted = header.first("subject"), peer["subject"]
    if subject is not None and isinstance(wanted, str):
        decoded = str(email.header.make_header(email.header.decode_header(wanted)))
        if squeeze(as_text(subject.raw)) != squeeze(decoded):
            found.append(f"subject {as_text(subject.raw)!r} {decoded!r}")
    for name in ("from", "to", "cc"):
        field = header.first(name)
        if field is not None:
            got = [one.address for one in flatten(as_addresses(field.raw)) if "@" in one.address]
            want = [
                address
                for _, address in email.utils.getaddresses(["".join(str(peer[name]).splitlines())])
                if "@" in address
            ]
            if got != want:
                found.append(f"{name} {got} {want}")
    date = header.first("date")
    if date is not None:
        when = email.utils.parsedate_to_datetime(peer["date"])
        if as_date(date.raw) != (when if when.tzinfo else when.replace(tzinfo=UTC)):  # "-0000" gives no zone there
            found.append("date")
    return found + compare_parts(data, peer)


def compare_parts(data: bytes, peer: email.message.Message) -> list[str]:
    root = scan(data)
    mine: list[Part] = [part for part in root.walk() if not part.is_multipart]
    theirs = leaves(peer)
    if len(mine) != len(theirs):
        return [f"{len(mine)} parts, wanted {len(theirs)}"]
    found: list[str] = []
    for part, other in zip(mine, theirs, strict=True):
        if MimeProblem.MISSING_BOUNDARY in part.problems:
            continue
        if part.type != other.get_content_type():
            found.append(f"type {part.type} {other.get_content_type()}")
        if part.type != "message/rfc822":
            want = other.get_payload(decode=True)
            assert isinstance(want, bytes)
            got = decode_body(data, part)
            if got.rstrip() != want.rstrip():
                found.append(f"octets of {part.part_id}: {part.encoding} {len(got)} {len(want)}")
        name = other.get_filename()
        if name is not None and name.isascii() and "=?" not in name and squeeze(part.filename or "") != squeeze(name):
            found.append(f"name {part.filename!r} {name!r}")
    return found


def check_own(data: bytes) -> None:
    """What must hold for every message, whatever others read."""
    root = scan(data)
    assert load(serialise(root)) == root
    for part in root.walk():
        if part.type.startswith("text/"):
            assert "\0" not in decode_text(data, part)[0]
    assert len(preview(data, root)) <= 256
    assert len(content_digest(data)) == 32
    assert parse_journal(data) is None


def run(data: Iterator[bytes]) -> tuple[int, list[tuple[int, list[str]]]]:
    count, different = 0, []
    for count, message in enumerate(data, start=1):
        check_own(message)
        found = compare(message)
        if found:
            different.append((count, found))
    return count, different


def test_a_sample() -> None:
    count, different = run(islice(messages(), 0, 1500, 5))
    assert count == 300
    assert different == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all() -> None:
    count, different = run(messages())
    assert count == 10_799
    assert different == []
