"""Edits of a message: whole, in chunks, and as they are stored."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everpost.mail.edits import Edit, Editor, decode_edits, edited, encode_edits, growth, in_order


def test_spans_are_replaced_left_out_and_put_in() -> None:
    edits = (Edit(0, 0, b"<"), Edit(2, 4, b"XYZ"), Edit(5, 6), Edit(8, 8, b"|"))
    assert edited(b"0123456789", edits) == b"<01XYZ467|89"
    assert growth(edits) == 2


def test_of_two_that_overlap_the_first_counts() -> None:
    assert in_order([Edit(3, 6, b"b"), Edit(0, 4, b"a"), Edit(6, 7, b"c")]) == (Edit(0, 4, b"a"), Edit(6, 7, b"c"))


@given(st.binary(min_size=1, max_size=200), st.data())
def test_chunks_are_edited_as_the_whole_is(data: bytes, draw: st.DataObject) -> None:
    spans = st.tuples(st.integers(0, len(data) - 1), st.integers(0, 40), st.binary(max_size=20))
    drawn = draw.draw(st.lists(spans, max_size=8))
    edits = in_order(Edit(start, min(start + length, len(data)), octets) for start, length, octets in drawn)
    editor, copy, position = Editor(edits), b"", 0
    while position < len(data):
        size = draw.draw(st.integers(1, 50))
        copy += editor.feed(data[position : position + size])
        position += size
    assert copy == edited(data, edits)
    assert len(copy) == len(data) + growth(edits)
    assert decode_edits(encode_edits(edits)) == edits
