"""What is kept for the scanners is bounded: for one message, and for all of them together."""

from __future__ import annotations

from everpost.guard.scanners.shelf import Shelf


def test_one_message_has_its_share_and_all_together_theirs() -> None:
    shelf = Shelf(message_octets=100, octets=150)
    first = shelf.kept()
    for size in (60, 50, 40):
        first.put(f"{size}", b"x" * size)
    assert ([piece.path for piece in first.pieces], first.left_out, first.octets) == (["60", "40"], 1, 100)
    second = shelf.kept()
    second.put("a", b"x" * 51)
    second.put("b", b"x" * 50)
    second.put("nothing", b"")
    assert ([piece.path for piece in second.pieces], second.left_out) == (["b"], 1)
    del first
    third = shelf.kept()
    third.put("a", b"x" * 100)
    assert third.left_out == 0
