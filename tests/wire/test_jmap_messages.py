"""wire/jmap alone: requests never break the parser, what is composed reads back the same."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.bodies import body_lists
from everpost.mail.content import decode_body, decode_text
from everpost.mail.header import as_addresses, as_text, flatten, parse_header
from everpost.mail.mime import scan
from everpost.wire.jmap.body import body_value
from everpost.wire.jmap.compose import compose, read_email
from everpost.wire.jmap.core import MethodError, RequestError, SetError
from everpost.wire.jmap.headers import Form, read_property, write_field
from everpost.wire.jmap.request import Dialogue, Invocation, Request, parse_request, patched

NOW = datetime(2026, 1, 5, tzinfo=UTC)
BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
ANY_TEXT = st.text(max_size=200)
PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co"]), max_size=120)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


def made(properties: dict[str, Any], blobs: dict[str, bytes] | None = None) -> bytes:
    return compose(read_email(properties), (blobs or {}).__getitem__, date=NOW, message_id="x@example.org")


@given(subject=ANY_TEXT, name=ANY_TEXT, text=st.text(max_size=2000), html=ANY_TEXT, filename=st.text(max_size=100),
       octets=st.binary(max_size=500))  # fmt: skip
def test_composed_messages_read_back(
    subject: str, name: str, text: str, html: str, filename: str, octets: bytes
) -> None:
    content = made(
        {
            "from": [{"name": name, "email": "ann@example.org"}], "subject": subject,
            "textBody": [{"partId": "t"}], "htmlBody": [{"partId": "h"}],
            "bodyValues": {"t": {"value": text}, "h": {"value": html}},
            "attachments": [{"blobId": "b", "type": "application/x-thing", "name": filename}],
        },
        {"b": octets},
    )  # fmt: skip
    assert BARE.search(content) is None
    assert max(map(len, content.split(b"\r\n"))) <= 998
    header = parse_header(content)
    assert [field.name for field in header.fields][:2] == ["From", "Subject"]
    assert len(header.all("from")) == len(header.all("subject")) == 1
    (address,) = flatten(as_addresses(header.all("from")[0].raw))
    assert address.address == "ann@example.org"
    root = scan(content)
    lists = body_lists(root)
    assert [part.type for part in (*lists.text, *lists.html, *lists.attachments)] == [
        "text/plain", "text/html", "application/x-thing",
    ]  # fmt: skip
    assert decode_body(content, lists.attachments[0]) == octets
    wanted = "".join(letter for letter in text.replace("\r\n", "\n").replace("\r", "\n"))
    found, problem = decode_text(content, lists.text[0])
    assert not problem
    if all(letter == "\n" or letter.isprintable() for letter in wanted):
        assert found == wanted


@given(subject=PLAIN)
def test_subject_reads_back(subject: str) -> None:
    raw = write_field("Subject", Form.TEXT, subject)
    assert as_text(raw).strip() == unicodedata.normalize("NFC", subject).strip()  # spaces alone are kept, encoded


@given(properties=st.dictionaries(
    st.sampled_from(["from", "to", "subject", "sentAt", "messageId", "references", "textBody", "htmlBody",
                     "attachments", "bodyStructure", "bodyValues", "header:X-A", "header:X-A:asText:all", "headers",
                     "header:List-Post:asURLs", "header:To:asGroupedAddresses"]), JSON, max_size=5))  # fmt: skip
def test_any_creation_is_refused_or_clean(properties: dict[str, Any]) -> None:
    try:
        content = made(properties, {})
    except (SetError, KeyError):
        return
    assert BARE.search(content) is None
    assert parse_header(content).complete


@given(body=st.binary(max_size=200) | JSON.map(lambda value: __import__("msgspec").json.encode(value)))
def test_any_request_is_read_or_refused(body: bytes) -> None:
    try:
        parse_request(body)
    except RequestError:
        pass


@given(arguments=JSON, path=st.text("/*0129abc~1", max_size=20))
def test_any_reference_is_resolved_or_refused(arguments: Any, path: str) -> None:
    dialogue = Dialogue(Request([], []))
    dialogue.answer(Invocation("A/get", {}, "0"), "A/get", {"list": arguments})
    reference = {"resultOf": "0", "name": "A/get", "path": path}
    with contextlib.suppress(MethodError):
        dialogue.arguments_of(Invocation("B/get", {"#ids": reference}, "1"))


def test_references_flatten_lists() -> None:
    dialogue = Dialogue(Request([], []))
    answer = {"list": [{"a/b": ["1", "2"]}, {"a/b": ["3"]}]}
    dialogue.answer(Invocation("A/get", {}, "0"), "A/get", answer)
    reference = {"resultOf": "0", "name": "A/get", "path": "/list/*/a~1b"}
    assert dialogue.arguments_of(Invocation("B", {"#ids": reference}, "1")) == {"ids": ["1", "2", "3"]}


def test_patches() -> None:
    now = {"a": True}
    assert patched(now, {"k/b": True, "k/a": None}, "k", str) == {"b": True}
    assert patched(now, {"k": {"c": True}}, "k", str) == {"c": True}
    assert patched(now, {"k/x~1y": True}, "k", str) == {"a": True, "x/y": True}
    assert now == {"a": True}
    for wrong in ({"k": {"a": False}}, {"k": []}, {"k/a": False}, {"k/a/b": True}, {"k": {}, "k/a": True}):
        with pytest.raises(ValueError):
            patched(now, wrong, "k", str)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("header:Subject", True), ("header:subject:asText", True), ("header:X-Y:asAddresses:all", True),
        ("header:Subject:asDate", False), ("header:From:asMessageIds", False), ("header:From:all:asRaw", False),
        ("header::asText", False), ("header:A B", False), ("header:X:asNonsense", False), ("subject", False),
    ],
)  # fmt: skip
def test_header_properties(text: str, known: bool) -> None:
    assert (read_property(text) is not None) is known


def test_body_values_are_cut_between_characters_and_tags() -> None:
    content = "Content-Type: text/plain; charset=utf-8\r\n\r\näöü".encode()
    assert body_value(content, scan(content), 3) == {"value": "ä", "isEncodingProblem": False, "isTruncated": True}
    assert body_value(content, scan(content), 6)["isTruncated"] is False
    content = b'Content-Type: text/html\r\n\r\n<p>Hello <a href="x">y</a></p>'
    assert body_value(content, scan(content), 14)["value"] == "<p>Hello "
