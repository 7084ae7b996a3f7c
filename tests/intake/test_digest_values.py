"""When digests are due, what they say, and their links: without a database."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard.model import Judgement
from everpost.intake.digest_mail import MAX_SHOWN, DigestFor, Item, plainly, render
from everpost.intake.digest_texts import texts_in
from everpost.intake.links import LIFETIME_S, Claim, Deed, DigestLinks
from everpost.intake.quarantine_settings import May, QuarantineSettings, Schedule, SettingsError, may
from everpost.serve.web.link_texts import link_texts
from everpost.standby.summary import scan_message
from everpost.standby.values import Account
from quarantine_tools import content

LINKS = DigestLinks(b"k" * 32, "https://mail.example.org")
ANNA = Account(1, 2)
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SELF = frozenset({Judgement.SPAM})


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "after", "due"),
    [
        ("UTC", "2026-03-01T07:59", "2026-03-01T08:00"),
        ("UTC", "2026-03-01T08:00", "2026-03-02T08:00"),
        ("Europe/Berlin", "2026-01-10T06:59", "2026-01-10T07:00"),
        ("Europe/Berlin", "2026-03-28T07:00", "2026-03-29T06:00"),  # summer begins
        ("Europe/Berlin", "2026-10-24T06:00", "2026-10-25T07:00"),  # and ends
        ("Pacific/Auckland", "2026-06-01T19:00", "2026-06-01T20:00"),  # it is the next day there
    ],
)
def test_the_hour_is_that_of_the_organisations_zone(zone: str, after: str, due: str) -> None:
    assert QuarantineSettings(time_zone=zone).next_digest(at(after)) == at(due)


def test_every_hour() -> None:
    hourly = QuarantineSettings(digest=Schedule.HOURLY)
    assert hourly.next_digest(at("2026-03-01T07:00")) == at("2026-03-01T08:00")
    assert hourly.next_digest(at("2026-03-01T07:59")) == at("2026-03-01T08:00")


@given(st.integers(0, 23), st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)))
def test_there_is_one_a_day_even_where_clocks_are_changed(hour: int, moment: datetime) -> None:
    settings = QuarantineSettings(digest_hour=hour, time_zone="Europe/Paris")
    after = moment.replace(tzinfo=UTC)
    due = settings.next_digest(after)
    assert after < due <= after + timedelta(hours=25)
    assert timedelta(hours=22) <= settings.next_digest(due) - due <= timedelta(hours=26)


def test_settings_that_cannot_be() -> None:
    for wrong in (
        QuarantineSettings(digest_hour=24), QuarantineSettings(time_zone="Mars/Olympus"),
        QuarantineSettings(time_zone="../../etc/passwd"),
        QuarantineSettings(frozenset({Judgement.MALWARE})), QuarantineSettings(frozenset({Judgement.PHISHING})),
    ):  # fmt: skip
        with pytest.raises(SettingsError):
            wrong.check()
    QuarantineSettings().check()


def test_malware_is_nobodys_whatever_is_set() -> None:
    everything = frozenset(Judgement)
    assert may(Judgement.MALWARE, everything) is May.NOTHING
    assert may(Judgement.PHISHING, everything) is May.ASK
    assert may(Judgement.SPAM, everything) is May.RELEASE
    assert may(Judgement.SPAM, frozenset()) is May.ASK


# ---------------------------------------------------------------------- links


def token(address: str) -> str:
    return address.removeprefix("https://mail.example.org/quarantine/")


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.sampled_from(Deed))
def test_a_link_is_read_as_it_was_written(mailbox: int, message: int, deed: Deed) -> None:
    account = Account(7, mailbox)
    claim = LINKS.read(token(LINKS.address(account, message, deed, 1000.0)))
    assert claim == Claim(account, message, deed, 1000 + LIFETIME_S)
    assert not claim.is_over(1000 + LIFETIME_S - 1)
    assert claim.is_over(1000 + LIFETIME_S)


def test_nothing_but_our_links_is_read() -> None:
    good = token(LINKS.address(ANNA, 3, Deed.RELEASE, 0.0))
    assert DigestLinks(b"x" * 32, "").read(good) is None
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place in range(len(good)):  # every letter counts, also the bits that base64 leaves unused
        for letter in {alphabet[(alphabet.index(good[place]) + step) % 64] for step in (1, 4, 32)}:
            assert LINKS.read(good[:place] + letter + good[place + 1 :]) is None
    for wrong in ("", "x", good[:-1], good + "A", good + "=", "é" * 10, "A" * 5000, good.swapcase()):
        assert LINKS.read(wrong) is None


@given(st.text(max_size=250))
def test_anything_at_all_is_no_link(text: str) -> None:
    assert LINKS.read(text) is None


# ---------------------------------------------------------------------- the mail


def item(judgement: Judgement = Judgement.SPAM, number: int = 3, **more: str) -> Item:
    summary = scan_message(content(**more)).summary  # type: ignore[arg-type]
    return Item(number, NOW, judgement, summary.subject, summary)


def deeds(text: str) -> list[Deed]:
    found = [LINKS.read(each) for each in re.findall(r"/quarantine/([\w-]+)", text)]
    assert None not in found
    return [claim.deed for claim in found if claim]


def person(language: str = "en") -> DigestFor:
    return DigestFor(ANNA, "anna@example.org", language, "Europe/Berlin", SELF)


@pytest.mark.parametrize(
    ("judgement", "wanted"),
    [
        (Judgement.SPAM, [Deed.RELEASE, Deed.ALLOW, Deed.DENY]),
        (Judgement.PHISHING, [Deed.ASK, Deed.DENY]),
        (Judgement.MALWARE, []),
    ],
)
def test_which_links_a_message_gets(judgement: Judgement, wanted: list[Deed]) -> None:
    _, text, html = render(person(), [item(judgement)], LINKS, NOW)
    assert deeds(text) == deeds(html) == wanted
    assert (texts_in("en").malware in text) == (judgement is Judgement.MALWARE)


def test_strangers_words_are_no_markup_and_no_links() -> None:
    bad = item(subject="<b>Go</b> to https://evil.example/x?a=b \u202etxt", author="www.evil.example <a@evil.example>")
    _, text, html = render(person(), [bad], LINKS, NOW)
    for said in (text, html):
        assert not re.search(r"evil\.example|https?://(?!mail\.example\.org/quarantine/)", said)
        assert "\u202e" not in said
    assert "<b>" not in html
    assert "<b>Go</b>" in text
    assert plainly("x" * 500) == "x" * 149 + "…"


def test_many_messages_are_counted() -> None:
    subject, text, _ = render(person(), [item(number=n) for n in range(MAX_SHOWN + 7)], LINKS, NOW)
    assert subject == "57 messages are kept from you"
    assert "And 7 more" in text
    assert render(person("de"), [item()], LINKS, NOW)[0] == "1 Nachricht wird zurückgehalten"
    assert render(person("fr"), [item()], LINKS, NOW)[0] == "1 message est retenu"
    assert "2026-03-01 13:00" in text  # the time there


def test_every_language_says_everything() -> None:
    for language in ("en", "de", "fr"):
        texts, pages = texts_in(language), link_texts(language)
        assert set(texts.deeds) == set(pages.asks) == set(pages.buttons) == set(pages.done) == set(Deed)
        assert set(texts.judgements) == set(Judgement)
        assert set(texts.answers) == {"released", "refused", "expired"}
    assert texts_in("de") is not texts_in("en")
    assert texts_in("tlh") is texts_in("en")
