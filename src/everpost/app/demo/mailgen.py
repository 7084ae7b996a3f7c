"""Mail for the demo: generated conversations, or the messages of an mbox, addressed to the demo's people.

All of it comes from outside: envelope senders are at example.com and example.net (or example.net's list), recipients
are the people given. Nothing ever names a real address in an envelope, so no report can reach a stranger.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime

from everpost.app.demo import mimeparts
from everpost.app.demo.mbox import from_mbox
from everpost.app.demo.messages import GeneratedMessage, Person
from everpost.app.demo.mimeparts import Part
from everpost.app.demo.phrases import ENGLISH, LANGUAGES, OUTSIDERS, WEIGHTS, Language

__all__ = ["GeneratedMessage", "Person", "from_mbox", "generate"]

_ACTIVE = 40  # conversations that go on at the same time
_LONGEST = 8  # messages of one conversation
_QUOTED_LINES = 40  # of the message before
_REFERENCES = 10


class Oddity(enum.Enum):
    """What a few messages have that programs stumble over."""

    NONE = enum.auto()
    NO_MESSAGE_ID = enum.auto()
    DUPLICATE_ID = enum.auto()
    DOTS = enum.auto()
    LONG_LINE = enum.auto()
    EMPTY = enum.auto()


_ODDITIES = tuple(Oddity)
_ODDITY_WEIGHTS = (470, 6, 6, 6, 6, 6)


@dataclass(slots=True)
class _Conversation:
    language: Language
    subject: str
    outsiders: list[tuple[str, str]]
    people: list[Person]
    length: int
    ids: list[str] = field(default_factory=list)
    said: int = 0
    last_lines: list[str] = field(default_factory=list)
    last_name: str = ""
    last_date: str = ""


def generate(
    people: Sequence[Person], count: int, seed: int, start: datetime, span: timedelta
) -> Iterator[GeneratedMessage]:
    """Exactly `count` messages in order of `sent_at`, between `start` (aware) and `start + span`.

    The same arguments give the same bytes. Raises `ValueError` without people or with a naive `start`.
    """
    if not people:
        raise ValueError("mail needs somebody to go to")
    if start.tzinfo is None:
        raise ValueError("start needs a time zone")
    return _Generator(people, seed).messages(count, start, span)


class _Generator:
    def __init__(self, people: Sequence[Person], seed: int) -> None:
        self._people = people
        self._rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._active: list[_Conversation] = []
        self._serial = 0
        rng = self._rng
        self._pictures = [mimeparts.png(rng, 32) for _ in range(4)]
        self._small = [self._small_attachment(number) for number in range(32)]
        self._large = [self._large_attachment(number) for number in range(6)]

    def messages(self, count: int, start: datetime, span: timedelta) -> Iterator[GeneratedMessage]:
        step = span / max(count, 1)
        made = 0
        while made < count:
            sent_at = start + step * (made + self._rng.random())
            oddity = self._rng.choices(_ODDITIES, _ODDITY_WEIGHTS)[0]
            message = self._next(sent_at, oddity)
            yield message
            made += 1
            # One message that a server upstream has split: the same bytes come twice, to two recipients.
            if oddity is Oddity.DUPLICATE_ID and made < count and len(self._people) > 1:
                others = [person for person in self._people if person.address not in message.recipients]
                if others:
                    recipient = self._rng.choice(others).address
                    yield GeneratedMessage(message.sender, (recipient,), message.raw, start + step * made)
                    made += 1

    def _small_attachment(self, number: int) -> Part:
        rng = self._rng
        kind = number % 4
        if kind == 0:
            return mimeparts.attachment("application/pdf", f"report-{number}.pdf", mimeparts.pdf(rng, 6000))
        if kind == 1:
            return mimeparts.attachment("image/png", f"Größe {number}.png", mimeparts.png(rng, 48))
        if kind == 2:
            return mimeparts.attachment("text/csv; charset=utf-8", f"table-{number}.csv", mimeparts.csv(rng, 200))
        return mimeparts.attachment("text/calendar; charset=utf-8; method=PUBLISH", "invite.ics", mimeparts.ics(rng))

    def _large_attachment(self, number: int) -> Part:
        octets = (150_000, 200_000, 300_000, 400_000, 500_000, 700_000)[number]
        return mimeparts.attachment("application/pdf", f"drawing-{number}.pdf", mimeparts.pdf(self._rng, octets))

    # ------------------------------------------------------------------ conversations

    def _next(self, sent_at: datetime, oddity: Oddity) -> GeneratedMessage:
        rng = self._rng
        if len(self._active) < _ACTIVE or rng.random() < 0.2:
            conversation = self._start()
            self._active.append(conversation)
        else:
            conversation = rng.choice(self._active)
        if conversation.said + 1 >= conversation.length:
            self._active.remove(conversation)
        return self._say(conversation, sent_at, oddity)

    def _start(self) -> _Conversation:
        rng = self._rng
        language = rng.choices(LANGUAGES, WEIGHTS)[0]
        subject = rng.choice(language.subjects).replace("{n}", str(rng.randrange(100, 10_000)))
        outsiders = rng.sample(OUTSIDERS, rng.randrange(1, 4))
        people = rng.sample(self._people, min(len(self._people), rng.choices((1, 2, 3), (7, 2, 1))[0]))
        return _Conversation(language, subject, outsiders, people, rng.randrange(1, _LONGEST + 1))

    def _say(self, talk: _Conversation, sent_at: datetime, oddity: Oddity) -> GeneratedMessage:
        rng = self._rng
        self._serial += 1
        name, address = rng.choice(talk.outsiders)
        charset = rng.choice(talk.language.charsets)
        ident = f"<{rng.getrandbits(48):012x}.{self._serial}@mail.{address.rpartition('@')[2]}>"
        paragraphs = self._paragraphs(talk.language)
        part = self._body(talk, paragraphs, name, charset, oddity)
        head = self._head(talk, name, address, charset, sent_at, "" if oddity is Oddity.NO_MESSAGE_ID else ident)
        raw = b"".join((head.encode(), part.head, b"\r\n", part.content))
        talk.said += 1
        if oddity is not Oddity.NO_MESSAGE_ID:
            talk.ids.append(ident)
        talk.last_name, talk.last_date = name, f"{sent_at:%Y-%m-%d %H:%M}"
        talk.last_lines = [line for text in paragraphs for line in _wrapped(text)][:_QUOTED_LINES]
        return GeneratedMessage(address, tuple(person.address for person in talk.people), raw, sent_at)

    def _head(self, talk: _Conversation, name: str, address: str, charset: str, sent_at: datetime, ident: str) -> str:
        subject_charset = "utf-8" if charset == "us-ascii" else charset
        subject = ("Re: " if talk.said else "") + mimeparts.encoded_words(talk.subject, subject_charset)
        to = ",\r\n ".join(mimeparts.mailbox(person.name, person.address) for person in talk.people)
        others = [entry for entry in talk.outsiders if entry[1] != address]
        lines = [
            f"From: {mimeparts.mailbox(name, address)}",
            f"To: {to}",
            f"Subject: {subject}",
            f"Date: {format_datetime(sent_at)}",
        ]
        if others:
            lines.append("Cc: " + ",\r\n ".join(mimeparts.mailbox(*entry) for entry in others))
        if ident:
            lines.append(f"Message-ID: {ident}")
        if talk.ids:
            references = talk.ids[:1] + talk.ids[1:][-_REFERENCES:]
            lines += [f"In-Reply-To: {talk.ids[-1]}", "References: " + "\r\n ".join(references)]
        lines += ["MIME-Version: 1.0", f"Content-Language: {talk.language.code}", "X-Generated: everpost demo"]
        return "\r\n".join(lines) + "\r\n"

    # ------------------------------------------------------------------ bodies

    def _paragraphs(self, language: Language) -> list[str]:
        rng = self._rng
        amount = rng.choices((2, 6, 15, 40), (4, 4, 2, 1))[0]
        space = "" if language.code == "ja" else " "
        number = str(rng.randrange(2, 5000))
        return [
            space.join(rng.choices(language.sentences, k=rng.randrange(2, 6))).replace("{n}", number)
            for _ in range(amount)
        ]

    def _body(self, talk: _Conversation, paragraphs: list[str], name: str, charset: str, oddity: Oddity) -> Part:
        rng = self._rng
        if oddity is Oddity.EMPTY:
            return Part(b"Content-Type: text/plain; charset=us-ascii\r\n", b"")
        if oddity is Oddity.DOTS:
            paragraphs[:0] = [".", "..", ". a line that starts with a dot", ".hidden"]
        elif oddity is Oddity.LONG_LINE:
            return mimeparts.text_part("x" * 990 + f" {self._serial}\r\n", "us-ascii", "7bit")
        encoding = rng.choice(("quoted-printable", "base64", "8bit"))
        if charset == "us-ascii" or charset == "iso-2022-jp":
            encoding = rng.choice(("7bit", "quoted-printable"))
        part = mimeparts.text_part(self._text(talk, paragraphs, name), charset, encoding)
        boundary = f"=_{self._serial:x}_{rng.getrandbits(32):08x}"
        if rng.random() < 0.45:
            part = self._with_html(part, talk, paragraphs, charset, boundary)
        draw = rng.random()
        if draw < 0.01:
            part = mimeparts.multipart("mixed", f"{boundary}m", [part, rng.choice(self._large)])
        elif draw < 0.25:
            part = mimeparts.multipart("mixed", f"{boundary}m", [part, *rng.sample(self._small, rng.randrange(1, 3))])
        return part

    def _with_html(self, plain: Part, talk: _Conversation, paragraphs: list[str], charset: str, boundary: str) -> Part:
        rng = self._rng
        image = f"{boundary[2:]}@example.com" if rng.random() < 0.2 else None
        page = mimeparts.html_of(paragraphs, rtl=talk.language.code == "ar", image=image)
        encoding = "7bit" if charset == "iso-2022-jp" else "quoted-printable"
        rich = mimeparts.text_part(page, charset, encoding, "html")
        if image:
            picture = mimeparts.attachment("image/png", "logo.png", rng.choice(self._pictures), inline_id=image)
            rich = mimeparts.multipart("related", f"{boundary}r", [rich, picture])
        return mimeparts.multipart("alternative", f"{boundary}a", [plain, rich])

    def _text(self, talk: _Conversation, paragraphs: list[str], name: str) -> str:
        language = talk.language
        lines = [language.greeting.replace("{name}", talk.people[0].name), ""]
        for text in paragraphs:
            lines += [*_wrapped(text), ""]
        lines += [language.closing, name, f"[{self._serial}]"]
        if talk.last_lines:
            wrote = language.wrote.replace("{date}", talk.last_date).replace("{name}", talk.last_name)
            lines += ["", wrote, *(f"> {line}" for line in talk.last_lines)]
        if language is ENGLISH and talk.said > 1:
            lines += ["", "-- ", "sent from the demo"]
        return "\r\n".join(lines) + "\r\n"


def _wrapped(text: str) -> list[str]:
    """Lines of at most 76 characters; at spaces where there are any."""
    lines = []
    while len(text) > 76:
        at = text.rfind(" ", 1, 76)
        at = at if at > 0 else 38
        lines.append(text[:at])
        text = text[at:].lstrip(" ")
    return [*lines, text]
