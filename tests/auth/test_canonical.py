"""Canonical bodies and fields: RFC 6376's examples, chunks cut anywhere, and dkimpy as an oracle."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth_tools.checks import divided
from everpost.auth.canonical import (
    BodyForm,
    BodyHasher,
    Canonicalisation,
    SignedHeader,
    canonical_field,
    hash_body,
    signed_octets,
)

SIMPLE = BodyForm(Canonicalisation.SIMPLE)
RELAXED = BodyForm(Canonicalisation.RELAXED)


def digest(body: bytes, form: BodyForm) -> bytes:
    return hash_body([body], [form])[form].digest


@pytest.mark.parametrize(
    ("body", "simple", "relaxed"),
    [
        (b"", b"\r\n", b""),
        (b"\r\n\r\n", b"\r\n", b""),
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C \r\nD \t E\r\n", b" C\r\nD E\r\n"),  # RFC 6376 §3.4.5
        (b"no end", b"no end\r\n", b"no end\r\n"),
        (b"x \t", b"x \t\r\n", b"x\r\n"),
        (b"x\r\n \t", b"x\r\n \t\r\n", b"x\r\n"),
        (b"x\r\n \r\n\t\r\n", b"x\r\n \r\n\t\r\n", b"x\r\n"),
        (b" ", b" \r\n", b""),
        (b"a\nb\n", b"a\nb\n\r\n", b"a\nb\n\r\n"),
        (b"a\r", b"a\r\r\n", b"a\r\r\n"),
        (b"a\r\n\n\r\n\r\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n"),
        (b"a\r\r\n\r\n", b"a\r\r\n", b"a\r\r\n"),
    ],
)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes) -> None:
    assert digest(body, SIMPLE) == hashlib.sha256(simple).digest()
    assert digest(body, RELAXED) == hashlib.sha256(relaxed).digest()
    assert hash_body([body], [RELAXED])[RELAXED].octets == len(relaxed)


PIECES = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"a", b"bc", b"\0"]), max_size=30)


@given(PIECES, st.lists(st.integers(0, 30), max_size=5), st.none() | st.integers(0, 20))
def test_where_chunks_are_cut_does_not_matter(pieces: list[bytes], cuts: list[int], length: int | None) -> None:
    body = b"".join(pieces)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[a:b] for a, b in itertools.pairwise(edges)]
    for form in Canonicalisation:
        wanted = BodyForm(form, length)
        assert hash_body(chunks, [wanted]) == hash_body([body], [wanted])


@settings(max_examples=300)
@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"bc"]), max_size=30))
def test_bodies_as_dkimpy_has_them(pieces: list[bytes]) -> None:
    oracle = pytest.importorskip("dkim.canonicalization")
    body = b"".join(pieces) + b"\r\n"  # as SMTP has it; without, dkimpy takes a lone space for a line
    assert digest(body, SIMPLE) == hashlib.sha256(oracle.Simple.canonicalize_body(body)).digest()
    assert digest(body, RELAXED) == hashlib.sha256(oracle.Relaxed.canonicalize_body(body)).digest()


def test_length_cuts_what_is_hashed() -> None:
    wanted = BodyForm(Canonicalisation.RELAXED, 5)
    found = hash_body([b"hel", b"lo world\r\n"], [wanted])[wanted]
    assert found.digest == hashlib.sha256(b"hello").digest()
    assert found.octets == 13


def test_many_lengths_are_hashed_at_once() -> None:
    wanted = [BodyForm(Canonicalisation.SIMPLE, length) for length in (0, 1, 5, 7, 8, 100)]
    found = hash_body([b"ab", b"cd\r", b"\nx"], wanted)
    whole = b"abcd\r\nx\r\n"
    for form in wanted:
        assert found[form].digest == hashlib.sha256(whole[: form.length]).digest()
        assert found[form].octets == len(whole)


def test_endless_blank_body_is_linear() -> None:
    hasher = BodyHasher(Canonicalisation.RELAXED)
    for _ in range(2000):
        hasher.update(b"\n\r\n \r\n\t" * 300)
    hasher.finish()


def test_fields() -> None:
    """RFC 6376 §3.4.5."""
    header, _ = divided(b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n")
    fields = header.header.fields
    assert [canonical_field(header.written(field), Canonicalisation.RELAXED) for field in fields] == [b"a:X", b"b:Y Z"]
    assert [canonical_field(header.written(field), Canonicalisation.SIMPLE) for field in fields] == [
        b"A: X",
        b"B : Y\t\r\n\tZ  ",
    ]


def test_fields_of_one_name_are_taken_from_below() -> None:
    header = SignedHeader.parse(b"To: 1\r\nX: x\r\nTo: 2\r\n\r\n")
    octets = signed_octets(header, ["to", "TO", "to", "none"], b"S: b=", Canonicalisation.SIMPLE)
    assert octets == b"To: 2\r\nTo: 1\r\nS: b="
