"""What is remembered of a message: the same for the same words, little of what is large, nothing of its way."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard.contents import Contents, File, read_contents
from everpost.guard.learn.features import MAX_FEATURES, feature_number, features_of
from everpost.guard.learn.texts import fold, gapped, hosts, markup_marks, visible, words
from everpost.mail.header import parse_header


def features(message: bytes) -> tuple[str, ...]:
    header = parse_header(message)
    return features_of(header, read_contents(message, header))


def said(text: str, **given: object) -> set[str]:
    contents = Contents(**{"subject": "", "texts": (text,), "htmls": (), "pictures": (), "files": (), **given})  # type: ignore[arg-type]
    return set(features_of(parse_header(b"From: a@example.com\r\n\r\n"), contents))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Buy NOW!!!", ["buy", "now", "!!!"]),
        ("Größe ＦＲＥＥ fre\u200be Ünï", ["grosse", "free", "free", "uni"]),
        ("in 2002 for $1,000", ["in", "0000", "for", "$", "000"]),
        ("日本語です", ["日本", "本語", "語で", "です"]),
        ("x" * 100, ["xxxxxxxx" + "…" * 6]),
        ("I a don't", ["don't"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert list(words(text, 100)) == expected


def test_words_that_hide_are_found() -> None:
    assert list(gapped("cheap V I A G R A and v.i.a-g_r_a here")) == ["viagra", "viagra"]
    assert visible("via<b></b>gra <p>x</p>y <!-- no -->a&amp;b<style>c</style>").split() == ["viagra", "x", "y", "a&b"]
    assert {"spaced out:viagra"} <= said("v i a g r a")


def test_links_and_marks() -> None:
    assert list(hosts("see HTTP://User@Bad.Example:80/buy/now?x and https://b.example", 5)) == [
        ("bad.example", "/buy/now?x"), ("b.example", ""),
    ]  # fmt: skip
    assert {"link:bad.example", "link:.example", "link:/buy"} <= said("http://www.bad.example/buy")
    assert set(markup_marks('<FONT COLOR="#ff0000" style="display: none">')) == {
        "font",
        'color="#ff0000',
        "display:none",
    }


def test_what_tells_of_the_way_is_not_looked_at() -> None:
    plain = b"From: a@b.example\r\nSubject: hi\r\n\r\nhello there\r\n"
    trace = b"Received: from x by y; Mon, 1 Jan 2024 00:00:00 +0000\r\nX-Spam-Status: Yes\r\nList-Id: <l.example>\r\n"
    trace += b"Return-Path: <x@y.example>\r\nIn-Reply-To: <1@example>\r\nX-Keywords: spam\r\nDelivered-To: z\r\n"
    assert features(trace + plain) == features(plain)


def test_author_and_files() -> None:
    message = b"From: Big Bank <x1234567@mail.bad.example>\r\nReply-To: y@other.example\r\n\r\nx\r\n"
    assert {"from:bank", "from:bad.example", "from:.example", "from: digits in the address"} <= set(features(message))
    assert "reply-to: another domain" in features(message)
    assert {"file:application/zip", "file:.exe"} <= said("", files=(File("a.pdf.exe", "application/zip", b""),))


def test_the_number_is_the_same_everywhere() -> None:
    assert feature_number("buy now") == 3759621789
    assert feature_number("") == 0
    assert 0 <= feature_number("\ud800") < 1 << 32


@given(st.text(max_size=400), st.text(max_size=400), st.binary(max_size=200))
def test_never_raises_and_is_bounded(text: str, markup: str, head: bytes) -> None:
    header = parse_header(head)
    contents = Contents(
        text, (text, markup), (markup, f"<a href='http://{text}'>{markup}"), (), (File(text, text, b""),)
    )
    found = features_of(header, contents)
    assert len(found) == len(set(found)) <= MAX_FEATURES
    assert found == features_of(header, contents)


@pytest.mark.parametrize(
    "hostile",
    ["a " * 500_000, "<" * 1_000_000, "<style>" * 140_000, "<!--" * 250_000, "\ufdfa" * 300_000, "http://" * 140_000,
     "a." * 500_000, "é" * 500_000, "<font color=" * 80_000, "size=" * 200_000, "日" * 300_000, "&amp" * 250_000],
)  # fmt: skip
def test_hostile_texts_cost_little(hostile: str) -> None:
    contents = Contents(hostile[:1000], (hostile,) * 50, (hostile,) * 50, (), ())
    began = time.process_time()
    found = features_of(parse_header(b"\r\n"), contents)
    assert time.process_time() - began < 1.0
    assert len(found) <= MAX_FEATURES
    assert all(len(each) < 300 for each in found)


def test_fold_is_idempotent_for_plain_words() -> None:
    assert fold(fold("Crème BRÛLÉE")) == fold("Crème BRÛLÉE") == "creme brulee"
