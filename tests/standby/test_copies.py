"""What the going of copies on the primary means. Pure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everpost.standby.copies import RemoteCopy, Step, is_too_much, steps

INBOX, SENT, OWN = 1, 2, 7


def copies(*spots: tuple[str, int, int, int]) -> list[RemoteCopy]:
    return [RemoteCopy((place, uid), entry, folder) for place, uid, entry, folder in spots]


def test_a_moved_message_stands_where_it_is_now() -> None:
    (step,) = steps(copies(("INBOX", 1, 5, INBOX), ("own", 9, 5, OWN)), {("INBOX", 1)}, {})
    assert step == Step(5, frozenset({INBOX}), frozenset({OWN}), None)
    assert step.folders({INBOX, OWN}) == {OWN}
    assert step.folders({INBOX}) == {OWN}
    assert step.folders({INBOX, SENT}) == {SENT}  # only the standby knows of that: it stays


def test_a_message_without_a_copy_is_gone() -> None:
    (step,) = steps(copies(("INBOX", 1, 5, INBOX)), {("INBOX", 1)}, {})
    assert step.is_gone


def test_one_of_two_copies_in_a_folder_changes_nothing() -> None:
    assert steps(copies(("INBOX", 1, 5, INBOX), ("INBOX", 2, 5, INBOX)), {("INBOX", 1)}, {}) == []


def test_keywords_of_what_changed_count() -> None:
    (step,) = steps(copies(("INBOX", 1, 5, INBOX)), (), {("INBOX", 1): frozenset({"$seen"})})
    assert step == Step(5, frozenset(), frozenset({INBOX}), frozenset({"$seen"}))


def test_much_at_once_is_for_a_person() -> None:
    assert not is_too_much(100, 100)
    assert not is_too_much(150, 1000)
    assert is_too_much(201, 1000)


spots = st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 4))


@given(st.dictionaries(spots, st.integers(1, 3), max_size=8), st.sets(spots))
def test_an_entry_stands_exactly_where_it_has_copies(held: dict[tuple[str, int], int], gone: set) -> None:
    folder = {"a": 1, "b": 2, "c": 3}
    given_copies = [RemoteCopy(spot, entry, folder[spot[0]]) for spot, entry in held.items()]
    found = {step.entry_id: step for step in steps(given_copies, gone, {})}
    for entry in set(held.values()):
        before = {folder[spot[0]] for spot, other in held.items() if other == entry}
        after = {folder[spot[0]] for spot, other in held.items() if other == entry and spot not in gone}
        step = found.get(entry)
        if step is None:
            assert before == after
        elif step.is_gone:
            assert not after
        else:
            assert step.folders(before) == after
