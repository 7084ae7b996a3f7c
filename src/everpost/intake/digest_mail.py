"""The digest as a mail: what is kept, and the links that do something about it. Pure.

What strangers wrote is told so that no program makes a link of it.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final

from everpost.guard.model import Judgement
from everpost.intake.digest_texts import Texts, texts_in
from everpost.intake.links import Deed, DigestLinks
from everpost.intake.quarantine_settings import May, may
from everpost.standby.summary import Summary
from everpost.standby.values import Account

MAX_SHOWN: Final = 50
_MAX_TEXT: Final = 150
_JOINER: Final = "\u2060"  # unseen, and the end of what programs take for an address
_BEFORE = re.compile(r"(?<=\w)([.:@])(?=[\w/])")
_TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Item:
    """A message that a digest tells of."""

    message_id: int
    received_at: datetime
    judgement: Judgement
    subject: str
    summary: Summary

    @property
    def author(self) -> str:
        """The address in the From field, "" where there is none."""
        return self.summary.from_[0].address if self.summary.from_ else ""


@dataclass(frozen=True, slots=True)
class DigestFor:
    """Whom a digest is for: their address, language, the zone of times (IANA name), and what they may release."""

    account: Account
    address: str
    language: str
    time_zone: str
    self_release: frozenset[Judgement]


def render(
    person: DigestFor, items: Sequence[Item], links: DigestLinks, now: datetime
) -> tuple[str, str, str]:  # fmt: skip
    """Subject, text and HTML; the first `MAX_SHOWN` items are shown, the others counted."""
    texts = texts_in(person.language)
    count, shown = len(items), items[:MAX_SHOWN]
    subject = texts.one if count == 1 else texts.many.format(count=count)
    entries = [_entry(person, item, texts, links, now) for item in shown]
    rest = [texts.more.format(count=count - len(shown))] if count > len(shown) else []
    intro = [texts.what.format(address=person.address), texts.expires]
    plain = "\n\n".join([*intro, *(entry.plain for entry in entries), *rest]) + "\n"
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in intro)
    body = paragraphs + "".join(entry.html for entry in entries) + "".join(f"<p>{escape(text)}</p>" for text in rest)
    html = f'<!doctype html><html lang="{person.language}"><body style="font-family:sans-serif">{body}</body></html>\n'
    return subject, plain, html


def plainly(text: str, limit: int = _MAX_TEXT) -> str:
    """What a stranger wrote, in one line of at most `limit` letters of which no program makes a link."""
    line = " ".join(_TURNS.sub("\ufffd", text).split())
    cut = line if len(line) <= limit else line[: limit - 1] + "…"
    return _BEFORE.sub(rf"\1{_JOINER}", cut)


@dataclass(frozen=True, slots=True)
class _Entry:
    plain: str
    html: str


def _entry(person: DigestFor, item: Item, texts: Texts, links: DigestLinks, now: datetime) -> _Entry:
    at = item.received_at.astimezone(zoneinfo.ZoneInfo(person.time_zone)).strftime("%Y-%m-%d %H:%M")
    subject = plainly(item.subject) or texts.no_subject
    who = plainly(_author(item)) or texts.no_sender
    what = texts.judgements[item.judgement]
    acts = [
        (texts.deeds[deed], links.address(person.account, item.message_id, deed, now.timestamp()))
        for deed in _deeds(item, person.self_release)
    ]
    none = [] if acts else [texts.malware]
    plain = "\n".join([f"* {subject}", f"  {who}", f"  {at} · {what}", *(f"  {text}" for text in none)])
    plain += "".join(f"\n  {name}:\n  <{url}>" for name, url in acts)
    html = (
        f'<div style="border-top:1px solid #ccc;padding:12px 0"><strong dir="auto">{escape(subject)}</strong><br>'
        f'<span dir="auto">{escape(who)}</span><br><small>{at} · {escape(what)}</small><br>'
        + " &nbsp; ".join(f'<a href="{escape(url)}">{escape(name)}</a>' for name, url in acts)
        + "".join(escape(text) for text in none)
        + "</div>"
    )
    return _Entry(plain, html)


def _author(item: Item) -> str:
    if not item.summary.from_:
        return ""
    first = item.summary.from_[0]
    return f"{first.name} <{first.address}>" if first.name else first.address


def _deeds(item: Item, self_release: frozenset[Judgement]) -> Iterator[Deed]:
    allowed = may(item.judgement, self_release)
    if allowed is May.NOTHING:
        return
    yield Deed.RELEASE if allowed is May.RELEASE else Deed.ASK
    if item.author:
        if allowed is May.RELEASE:  # nobody's list is above phishing
            yield Deed.ALLOW
        yield Deed.DENY
