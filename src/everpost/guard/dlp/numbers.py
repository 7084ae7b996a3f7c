"""Account, card and identity numbers in texts: found by their form, believed by their check digits.

A check digit lets one random number in ten pass. Where no more than that speaks for a number, it has to be written as
people write it, or near a word that says what it is.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from stdnum import iban, luhn
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.us import ssn

MAX_CANDIDATES: Final = 10_000  # of one kind in one text that are looked at
NEAR: Final = 80  # characters before a number in which a word may say what it is
_IBAN_LENGTHS: Final[Mapping[str, int]] = {
    country: int(length)
    for country, length in re.findall(
        "([A-Z]{2})([0-9]{2})",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29"
        " ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20"
        " LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29"
        " PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"
        " YE30",
    )
}
"""The registry of ISO 13616."""
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}")
_CARD: Final = re.compile(
    r"(?<![\w+./-])(?:[0-9]{12,19}|[0-9]{4}([ \u00a0-])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|[0-9]{4}([ \u00a0-])[0-9]{6}\2[0-9]{4,5})(?![\w-])(?!\.[0-9])"
)
_ISSUERS: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})\Z"  # Visa
    r"|(?:5[1-5]|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]+\Z"  # Mastercard, 16 digits (see below)
    r"|3[47][0-9]{13}\Z"  # American Express
    r"|(?:6011|64[4-9]|65)[0-9]{12,16}\Z"  # Discover
    r"|3(?:0[0-5]|[689])[0-9]{11,12}\Z"  # Diners Club, 14 digits
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12,15}\Z"  # JCB
    r"|62[0-9]{14,17}\Z"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])[0-9]{8,15}\Z"  # Maestro
)
_EXACT: Final = ((re.compile(r"5[1-5]|2[2-7]"), 16), (re.compile(r"3(?:0|[689])"), 14))
_SEPARATORS: Final = str.maketrans("", "", " \u00a0-.")


@dataclass(frozen=True, slots=True)
class _Identity:
    """How the numbers of a country look, the test of their check digits, and words one of which has to stand near."""

    form: re.Pattern[str]
    is_valid: Callable[[str], bool]
    near: re.Pattern[str] | None = None


def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w+./-]){pattern}(?![\w-])(?!\.[0-9])", re.IGNORECASE)


def _near(*words: str) -> re.Pattern[str]:
    return re.compile(r"(?<!\w)(?:" + "|".join(words) + r")(?!\w)", re.IGNORECASE)


def _is_spanish(number: str) -> bool:
    return dni.is_valid(number) or nie.is_valid(number)


IDENTITIES: Final[Mapping[str, tuple[_Identity, ...]]] = {
    "DE": (
        _Identity(_form(r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}"), idnr.is_valid),
        _Identity(
            _form(r"[1-9][0-9]{10}"), idnr.is_valid,
            _near("steuer[- ]?id(?:nr|entifikationsnummer)?", "identifikationsnummer", "idnr", "tin", "tax id"),
        ),
    ),
    "ES": (_Identity(_form(r"(?:[0-9]{8}|[XYZ][ -]?[0-9]{7})[ -]?[A-Z]"), _is_spanish),),
    "FR": (
        _Identity(
            _form(r"[1-478] ?[0-9]{2} ?[0-9]{2} ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}"), nir.is_valid
        ),
    ),
    "GB": (
        _Identity(_form(r"[0-9]{3} [0-9]{3} [0-9]{4}"), nhs.is_valid, _near("nhs", "patient")),
        _Identity(_form(r"[0-9]{10}"), nhs.is_valid, _near("nhs")),
    ),
    "IT": (_Identity(_form(r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]"),
                     codicefiscale.is_valid),),
    "NL": (
        _Identity(
            _form(r"[0-9]{9}|[0-9]{4}\.[0-9]{2}\.[0-9]{3}"), bsn.is_valid,
            _near("bsn", "burgerservicenummer", "sofi(?:nummer)?"),
        ),
    ),
    "PL": (_Identity(_form(r"[0-9]{11}"), pesel.is_valid),),
    "US": (
        _Identity(_form(r"[0-8][0-9]{2}-[0-9]{2}-[0-9]{4}"), ssn.is_valid),
        _Identity(_form(r"[0-8][0-9]{2}[ ]?[0-9]{2}[ ]?[0-9]{4}"), ssn.is_valid,
                  _near("ssn", "social security(?: number| no)?")),
    ),
}  # fmt: skip
"""By country (ISO 3166). Of the United States there is no check digit: the form and its ranges have to do."""


def ibans(text: str) -> frozenset[str]:
    """Account numbers (ISO 13616): of the length and structure of their country, with good check digits."""
    return frozenset(number for number, _ in _ibans(text))


def cards(text: str) -> frozenset[str]:
    """Payment cards: of the ranges and lengths of the large issuers, with a good check digit (Luhn)."""
    taken = [span for _, span in _ibans(text)]
    starts = [start for start, _ in taken]
    found = set()
    for match in islice(_CARD.finditer(text), MAX_CANDIDATES):
        number = match[0].translate(_SEPARATORS)
        if _is_card(number):
            before = bisect_left(starts, match.end())
            if before == 0 or taken[before - 1][1] <= match.start():  # else it is a part of an account number
                found.add(number)
    return frozenset(found)


def identities(text: str, country: str) -> frozenset[str]:
    """Numbers of people that a country gives out; `country` is one of `IDENTITIES`."""
    found = set()
    for kind in IDENTITIES[country]:
        for match in islice(kind.form.finditer(text), MAX_CANDIDATES):
            if kind.near is not None and not kind.near.search(text, max(0, match.start() - NEAR), match.start()):
                continue
            if kind.is_valid(match[0].replace("\u00a0", " ")):
                found.add(match[0].translate(_SEPARATORS).upper())
    return frozenset(found)


def _ibans(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    place = 0
    for _ in range(MAX_CANDIDATES):
        match = _IBAN.search(text, place)
        if match is None:
            return
        place = match.start() + 4  # what follows may begin within: two accounts side by side
        end = _end_of(match, _IBAN_LENGTHS.get(match[0][:2].upper(), 0))
        if end is None:
            continue
        number = text[match.start() : end].translate(_SEPARATORS).upper()
        if iban.is_valid(number):
            place = end
            yield number, (match.start(), end)


def _end_of(match: re.Match[str], length: int) -> int | None:
    """Where as many letters and digits have passed; None where there are fewer, or the word goes on."""
    written = match[0]
    count = 0
    for place, letter in enumerate(written):
        count += letter.isalnum()
        if count == length:
            following = written[place + 1 : place + 2] or match.string[match.end() : match.end() + 1]
            return None if following.isalnum() else match.start() + place + 1
    return None


def _is_card(number: str) -> bool:
    if not _ISSUERS.match(number) or len(set(number)) == 1:
        return False
    if any(start.match(number) and len(number) != length for start, length in _EXACT):
        return _is_maestro(number) and luhn.is_valid(number)
    return luhn.is_valid(number)


def _is_maestro(number: str) -> bool:
    return number.startswith(("5018", "5020", "5038", "5893"))
