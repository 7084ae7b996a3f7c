"""Numbers are found as people write them, and what merely looks like one is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import luhn

from everpost.guard.dlp.numbers import IDENTITIES, cards, ibans, identities

IBANS = [
    "DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NL91ABNA0417164300",
    "CH9300762011623852957", "NO9386011117947", "MT84MALT011000012345MTLCAST001S", "ES9121000418450200051332",
]  # fmt: skip
CARDS = [
    "4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
    "3530111333300000", "30569309025904", "6304000000000000", "4222222222222",
]  # fmt: skip
PEOPLE = [
    ("DE", "36 574 261 809"), ("DE", "Steuer-ID: 36574261809"), ("FR", "2 95 10 99 126 111 93"),
    ("FR", "295109912611193"), ("ES", "54362315K"), ("ES", "X-2482300W"), ("IT", "RCCMNL83S18D969H"),
    ("NL", "BSN 111222333"), ("PL", "44051401359"), ("GB", "NHS number 943 476 5870"), ("GB", "NHS: 9434765870"),
    ("US", "536-90-4399"), ("US", "SSN 536904399"),
]  # fmt: skip


def in_fours(number: str, separator: str = " ") -> str:
    return separator.join(number[start : start + 4] for start in range(0, len(number), 4))


@pytest.mark.parametrize("number", IBANS)
@pytest.mark.parametrize("frame", ["{}", "IBAN: {} BIC COBADEFFXXX", "({}),", "{}.", "x\n{}\ny", "an {} und"])
def test_accounts_however_they_are_written(number: str, frame: str) -> None:
    for written in (number, in_fours(number), in_fours(number, "\u00a0"), in_fours(number, "-"), number.lower()):
        assert ibans(frame.format(written)) == {number}


@pytest.mark.parametrize("number", IBANS)
def test_an_account_with_one_digit_wrong_is_none(number: str) -> None:
    digit = str((int(number[-2]) + 1) % 10) if number[-2].isdigit() else "Q"
    assert ibans(number[:-2] + digit + number[-1]) == frozenset()
    assert ibans(f"{number}7") == frozenset()  # longer than those of its country
    assert ibans(f"A{number}") == frozenset()


@pytest.mark.parametrize("number", CARDS)
def test_cards(number: str) -> None:
    assert cards(f"Card: {number}, valid") == {number}
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert cards(wrong) == frozenset()
    if len(number) == 16:
        for separator in " -\u00a0":
            assert cards(in_fours(number, separator)) == {number}
    if len(number) == 15:
        assert cards(f"{number[:4]} {number[4:10]} {number[10:]}") == {number}


@pytest.mark.parametrize(("country", "text"), PEOPLE)
def test_people(country: str, text: str) -> None:
    assert len(identities(text, country)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "0111 1111 1111 1111", "4111 1111-1111 1111", "1111 1111 1111 1111", "0.4111111111111111",
        "4111111111111111-22", "+4111111111111111", "urn:uuid:41111111-1111-4111-8111-111111111111",
        "4111111111111111abcdef", "sha1 4111111111111111ab", "v4111111111111111", "https://example.com/4111111111111111",
        "1234567890123", "20261124204911", "+49 170 1234567", "5105.1051.0510.5100",
    ],
)  # fmt: skip
def test_what_looks_like_a_card_and_is_none(text: str) -> None:
    assert cards(text) == frozenset()


@pytest.mark.parametrize(
    ("country", "text"),
    [
        ("DE", "36574261809"),  # eleven digits without a word: a telephone number, an order
        ("NL", "111222333"), ("GB", "9434765870"), ("GB", "943 476 5870"), ("US", "000-12-3456"),
        ("US", "900-12-3456"), ("US", "536904399"), ("US", "2026-11-2436"), ("US", "555-1234"), ("ES", "54362315A"),
        ("PL", "44051401358"), ("FR", "295109912611194"), ("IT", "RCCMNL83S18D969A"), ("DE", "SN 36574261800"),
    ],
)  # fmt: skip
def test_what_looks_like_a_person_and_is_none(country: str, text: str) -> None:
    assert identities(text, country) == frozenset()


def test_digits_of_an_account_are_no_card() -> None:
    """The account number within happens to be a good card number."""
    bban = "411111111111111107"
    digits = "".join(str(int(letter, 36)) for letter in f"{bban}DE00")
    number = f"DE{98 - int(digits) % 97:02d}{bban}"
    many = " ".join([in_fours(number), *(in_fours(each) for each in IBANS)] * 50)
    assert ibans(many) == {number, *IBANS}
    assert cards(f"4111 1111 1111 1111 {many}") == {CARDS[0]}
    assert cards(many) == frozenset()


def test_each_number_counts_once() -> None:
    assert len(cards(" ".join([CARDS[0], in_fours(CARDS[0]), CARDS[1]]))) == 2


@given(st.text(max_size=300))
def test_any_text_is_looked_through(text: str) -> None:
    assert isinstance(ibans(text), frozenset)
    assert isinstance(cards(text), frozenset)
    for country in IDENTITIES:
        identities(text, country)


@given(st.integers(min_value=10**14, max_value=10**15 - 1), st.text(alphabet=" \n,;()[]ab", max_size=20))
def test_every_good_visa_number_is_found(body: int, around: str) -> None:
    number = f"4{body % 10**14:014d}"
    number += luhn.calc_check_digit(number)
    if len(set(number)) > 1:
        assert cards(f"{around} {number} {around}") == {number}


@given(st.uuids())
def test_identifiers_are_no_cards(identifier: object) -> None:
    assert cards(str(identifier)) == frozenset()


@pytest.mark.parametrize(
    "piece",
    ["1", "1 ", "DE89 ", "DE89370400440532013000 ", "4111 1111 1111 1111 ", "A1", "a-", "\n", "X-"],
)
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    began = time.monotonic()
    ibans(text)
    cards(text)
    for country in IDENTITIES:
        identities(text, country)
    assert time.monotonic() - began < 8
