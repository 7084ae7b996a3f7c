"""Folding, words, snippets and counts: the pure parts of search and counting."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everpost.mail.header import parse_header
from everpost.mail.part import load
from everpost.standby.changes import LogRow
from everpost.standby.counts import Place, bring_forward, count, undo
from everpost.standby.model import ChangeKind
from everpost.standby.snippets import mark_all, passage
from everpost.standby.summary import scan_message
from everpost.standby.text import (
    Term,
    base_subject,
    fold,
    header_name_query,
    header_pattern,
    index_message,
    terms,
    tsquery,
    words,
)
from everpost.store.database import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("HELLO", "hello"), ("Grüße", "grusse"), ("Łódź", "lodz"), ("Ångström", "angstrom"), ("ﬁﬂ", "fifl"),
        ("ＡＢＣ１２３", "abc123"), ("ガ", "ガ"), ("İstanbul", "istanbul"), ("œuvre Æther", "oeuvre aether"),
        ("한국어", "한국어"), ("Ελλάδα", "ελλαδα"), ("שָׁלוֹם", "שלום"),
    ],
)  # fmt: skip
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_words_and_pairs() -> None:
    assert list(words("Ann's e-mail: ann@example.org")) == ["ann", "s", "e", "mail", "ann", "example", "org"]
    assert list(words("東京都2026年")) == ["東京", "京都", "都", "2026", "年"]
    assert terms('one "two three" 会議室 !') == [
        Term(("one",), False), Term(("two", "three"), True), Term(("会議", "議室"), False),
    ]  # fmt: skip
    assert tsquery(terms("ann@x.org"), mark="f") == "('=fann' <-> '=fx' <-> '=forg':*)"
    assert tsquery(terms('b "c d"'), weight="A") == "('b':*A) & ('c':A <-> 'd':A)"


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Re: Hello", "hello"), ("RE: Fwd: [list] Hello (fwd)", "hello"), ("AW: WG: Hallo", "hallo"), ("Re:", "re:"),
        ("[only]", "[only]"), ("Re[2]: x", "x"), ("Re [2]: x", "x"), ("  Two   words ", "two words"), ("", ""),
    ],
)  # fmt: skip
def test_rfc5256_2_1_base_subject(subject: str, base: str) -> None:
    assert base_subject(subject) == base


def test_a_long_hostile_subject_takes_no_time() -> None:
    for subject in ("re: " * 300, "[" * 1000, "(fwd)" * 200, "re " * 300 + ":", "[x" * 500, " " * 1000):
        assert isinstance(base_subject(subject), str)


hostile = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="aB'\\:*&|!<>()\"=\x00\ud800 éß東京\U0001f600", max_size=300),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(subject=hostile, name=hostile, body=hostile, query=hostile, raw=st.binary(max_size=300))
async def test_whatever_is_written_or_asked_the_database_takes(
    database: Database, subject: str, name: str, body: str, query: str, raw: bytes
) -> None:
    head = f"Subject: {subject}\r\nFrom: {name} <a@b>\r\nX-{name[:20]}: {body[:50]}\r\n\r\n".encode("utf-8", "replace")
    for data in (head + body.encode("utf-8", "replace"), raw, head + raw):
        scanned = scan_message(data)
        item = index_message(data, parse_header(data), load(scanned.structure), scanned.summary, NOW)
        async with database.connection() as connection:
            vector = await connection.fetchval("SELECT $1::text::tsvector::text", item.words)
            assert await connection.fetchval("SELECT length($1::text)", item.header) == len(item.header)
            asked = terms(query)
            if asked:
                for text in (tsquery(asked), tsquery(asked, weight="D"), tsquery(asked, mark="f")):
                    await connection.fetchval("SELECT $1::text::tsvector @@ $2::text::tsquery", vector, text)
            await connection.fetchval("SELECT $1::text::tsquery::text", header_name_query(name or "x"))
            clean = query.replace("\0", "").encode("utf-8", "ignore").decode()
            await connection.fetchval("SELECT $1::text ~ $2::text", item.header, header_pattern("subject", clean))


def test_a_message_full_of_different_words_stays_bounded() -> None:
    data = b"Subject: x\r\n\r\n" + b" ".join(b"%x" % (n * 7919) for n in range(60_000))
    scanned = scan_message(data)
    item = index_message(data, parse_header(data), load(scanned.structure), scanned.summary, NOW)
    assert len(item.words) < 1_000_000
    assert item.words.count("'") // 2 <= 16_100


# ---------------------------------------------------------------------- RFC 8621 §5: snippets


def test_rfc8621_5_snippets_are_escaped_and_short() -> None:
    assert mark_all("<b>Tom & Jerry</b>", terms("jerry")) == "&lt;b&gt;Tom &amp; <mark>Jerry</mark>&lt;/b&gt;"
    assert mark_all("nothing here", terms("absent")) is None
    text = "start " * 200 + "the Needle stands <here> " + "end " * 200
    found = passage(text, terms("needle"))
    assert found is not None
    assert "<mark>Needle</mark> stands &lt;here&gt;" in found
    assert len(found.encode()) <= 255
    assert mark_all("one two three", terms('"two three"')) == "one <mark>two</mark> <mark>three</mark>"
    assert mark_all("two one three", terms('"two three"')) is None


@given(text=st.text(max_size=600), asked=st.text(min_size=1, max_size=20))
def test_rfc8621_5_a_passage_has_at_most_255_octets(text: str, asked: str) -> None:
    found = passage(text + " " + asked, terms(asked))
    if found is not None:
        shown = len(found.encode("utf-8", "replace"))
        longest = max(map(len, (text + " " + asked).split()), default=0)
        assert shown <= 255 or longest > 40  # one word alone may be longer
        assert "<mark>" in found or longest > 40


# ---------------------------------------------------------------------- RFC 8621 §2: counts

places = st.builds(
    Place,
    st.integers(1, 3),
    st.lists(st.integers(1, 7), min_size=1, max_size=3, unique=True).map(lambda f: tuple(sorted(f))),
    st.booleans(),
)


@given(
    before=st.dictionaries(st.integers(1, 6), places, max_size=6),
    now=st.dictionaries(st.integers(1, 6), places, max_size=6),
)
def test_rfc8621_2_counts_brought_forward_are_counts_taken_anew(
    before: dict[int, Place], now: dict[int, Place]
) -> None:
    """Whatever became what, by whatever rows of the log."""
    threads = {number: (before.get(number) or now[number]).thread_id for number in {*before, *now}}
    for number, thread in threads.items():
        for state in (before, now):
            if number in state:
                state[number].thread_id = thread
    rows = []
    for number in threads:
        old, new = before.get(number), now.get(number)
        if old is None:
            rows.append(_row(ChangeKind.RECEIVED, number, None))
        elif new is None:
            rows.append(_row(ChangeKind.DESTROYED, number, old))
        else:
            rows += [_row(ChangeKind.KEYWORDS, number, old), _row(ChangeKind.MOVED, number, old)]
    undone = undo(now, rows, threads)
    assert undone == before
    assert bring_forward(count(before.values()), now, undone) == count(now.values())


def _row(kind: ChangeKind, number: int, old: Place | None) -> LogRow:
    detail = None
    if old is not None:
        keywords = [] if old.unread else ["$seen"]
        detail = {"folders": {"before": list(old.folder_ids)}, "keywords": {"before": keywords}}
    return LogRow(1, kind, number, None, detail)
