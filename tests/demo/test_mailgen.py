"""Generated mail is repeatable, clean on the wire, readable by the standard library, and as varied as promised."""

from __future__ import annotations

import email
import itertools
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.header import decode_header, make_header
from email.message import Message
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from everpost.app.demo.mailgen import GeneratedMessage, Person, from_mbox, generate

PEOPLE = [Person(f"Person {n}", f"p{n}@example.org") for n in range(9)] + [Person("Zoë", "zoe@example.org")]
START, SPAN = datetime(2026, 3, 1, tzinfo=UTC), timedelta(days=2)
CORPUS = Path(__file__).parents[3] / "shared" / "corpora" / "usrp-users.mbox.zst"


@pytest.fixture(scope="module")
def many() -> list[GeneratedMessage]:
    return list(generate(PEOPLE, 3000, 7, START, SPAN))


def assert_clean(message: GeneratedMessage) -> None:
    raw = message.raw
    pairs = raw.count(b"\r\n")
    assert raw.count(b"\r") == raw.count(b"\n") == pairs
    assert raw.endswith(b"\r\n")
    assert b"\0" not in raw
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def leaves(parsed: Message) -> list[Message]:
    return [part for part in parsed.walk() if not part.is_multipart()]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 60), people=st.integers(1, len(PEOPLE)))
def test_every_message_is_clean_and_parses(seed: int, count: int, people: int) -> None:
    messages = list(generate(PEOPLE[:people], count, seed, START, SPAN))
    assert len(messages) == count
    assert [m.sent_at for m in messages] == sorted(m.sent_at for m in messages)
    for message in messages:
        assert_clean(message)
        assert START <= message.sent_at <= START + SPAN
        assert message.sender.endswith(("@example.com", "@example.net"))
        assert message.recipients
        assert set(message.recipients) <= {person.address for person in PEOPLE[:people]}
        parsed = email.message_from_bytes(message.raw)
        assert not parsed.defects
        assert str(make_header(decode_header(parsed["Subject"])))
        for part in leaves(parsed):
            assert not part.defects
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            if part.get_content_maintype() == "text":
                content.decode(part.get_content_charset("us-ascii"))


def test_the_same_seed_gives_the_same_mail(many: list[GeneratedMessage]) -> None:
    again = list(itertools.islice(generate(PEOPLE, 3000, 7, START, SPAN), 200))
    assert again == many[:200]
    assert [m.raw for m in generate(PEOPLE, 20, 8, START, SPAN)] != [m.raw for m in many[:20]]


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError):
        generate([], 1, 1, START, SPAN)
    with pytest.raises(ValueError):
        generate(PEOPLE, 1, 1, START.replace(tzinfo=None), SPAN)


def test_threads_refer_to_what_was_sent_before(many: list[GeneratedMessage]) -> None:
    seen: dict[str, Message] = {}
    replies = 0
    for message in many:
        parsed = email.message_from_bytes(message.raw)
        if parent := parsed["In-Reply-To"]:
            replies += 1
            references = parsed["References"].split()
            assert references[-1] == parent
            assert all(reference in seen for reference in references)
            subject = str(make_header(decode_header(parsed["Subject"])))
            original = str(make_header(decode_header(seen[references[0]]["Subject"])))
            assert subject.removeprefix("Re: ") == original.removeprefix("Re: ")
        if ident := parsed["Message-ID"]:
            seen[ident] = parsed
    assert replies > len(many) / 2
    assert sum(b"\r\n> " in message.raw for message in many) > len(many) / 10


def test_variety(many: list[GeneratedMessage]) -> None:
    parsed = [email.message_from_bytes(message.raw) for message in many]
    parts = [part for message in parsed for part in leaves(message)]
    text = [part for part in parts if part.get_content_maintype() == "text"]
    charsets = Counter(part.get_content_charset() for part in text)
    expected = {"utf-8", "us-ascii", "iso-8859-1", "iso-2022-jp", "windows-1253", "koi8-r"}
    assert expected <= set(charsets)
    assert {"7bit", "8bit", "quoted-printable", "base64"} <= {part["Content-Transfer-Encoding"] for part in text}
    assert {"text/html", "application/pdf", "image/png", "text/csv", "text/calendar"} <= {
        part.get_content_type() for part in parts
    }
    assert {message["Content-Language"] for message in parsed} == {"en", "de", "fr", "el", "ja", "ar", "ru"}
    assert any(message["Message-ID"] is None for message in parsed)
    assert any(not part.get_payload() for part in text)
    assert any(b"\r\n..\r\n" in message.raw for message in many)
    assert any(max(map(len, message.raw.split(b"\r\n"))) > 980 for message in many)
    assert any(len(str(make_header(decode_header(message["Subject"])))) > 120 for message in parsed)
    assert any(re.search(r"=\?.*\?=\s+=\?", message["Subject"], re.DOTALL) for message in parsed)
    twice = [raw for raw, times in Counter(message.raw for message in many).items() if times == 2]
    assert twice
    for raw in twice:
        first, second = (message for message in many if message.raw == raw)
        assert not set(first.recipients) & set(second.recipients)
    assert {address for message in many for address in message.recipients} == {person.address for person in PEOPLE}


def test_sizes(many: list[GeneratedMessage]) -> None:
    sizes = sorted(len(message.raw) for message in many)
    assert sum(2000 <= size <= 30_000 for size in sizes) > 0.6 * len(sizes)
    large = [size for size in sizes if size >= 200_000]
    assert 0.002 * len(sizes) < len(large) < 0.03 * len(sizes)
    assert sizes[-1] < 1_100_000


def test_it_is_fast() -> None:
    began = time.process_time()
    made = sum(1 for _ in generate(PEOPLE, 3000, 1, START, SPAN))
    rate = made / (time.process_time() - began)
    assert rate > 1000, f"{rate:.0f} messages/s; 3,000 are expected of a quiet machine"


MBOX = (
    b"junk before\n\n"
    b"From a@example.com Sun Mar  1 00:00:00 2026\nDate: Sun, 1 Mar 2026 10:00:00 +0100\nSubject: one\n\n"
    b">From the start\n>>From deeper\nFrom inside a paragraph\n>quote\n\n"
    b"From b@example.com Sun Mar  1 00:00:00 2026\r\nDate: nonsense\r\nSubject: two\r\n\r\na\rb\r\n\n"
    b"From c@example.com Sun Mar  1 00:00:00 2026\nDate: Sat, 28 Feb 2026 10:00:00 +0000\nSubject: three\n\nno newline"
)


@pytest.mark.parametrize("name", ["mail.mbox", "mail.mbox.zst"])
def test_mbox(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(zstandard.compress(MBOX) if name.endswith("zst") else MBOX)
    one, two, three = from_mbox(path, PEOPLE[:2], None)
    assert one.raw.endswith(
        b"Subject: one\r\n\r\nFrom the start\r\n>From deeper\r\nFrom inside a paragraph\r\n>quote\r\n"
    )
    assert two.raw == b"Date: nonsense\r\nSubject: two\r\n\r\na\r\nb\r\n"
    assert three.raw.endswith(b"\r\n\r\nno newline\r\n")
    assert [m.recipients for m in (one, two, three)] == [("p0@example.org",), ("p1@example.org",), ("p0@example.org",)]
    assert one.sent_at == two.sent_at == three.sent_at == datetime(2026, 3, 1, 9, tzinfo=UTC)
    assert {m.sender for m in (one, two, three)} == {"list-bounces@example.net"}
    assert len(list(from_mbox(path, PEOPLE, 2))) == 2


def test_mbox_of_real_mail() -> None:
    if not CORPUS.exists():
        pytest.skip(f"no {CORPUS.name} here")
    messages = list(from_mbox(CORPUS, PEOPLE, 2000))
    assert len(messages) == 2000
    assert [m.sent_at for m in messages] == sorted(m.sent_at for m in messages)
    for message in messages:
        assert message.raw.count(b"\r") == message.raw.count(b"\n") == message.raw.count(b"\r\n")
        assert email.message_from_bytes(message.raw)["From"]
