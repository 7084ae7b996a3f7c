"""What both sides are given: people, addresses, messages."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.driver import Outgoing
from everpost.app.demo.mailgen import Person, from_mbox, generate
from everpost.app.demo.nameserver import RECORDS

DOMAIN = "example.org"
SUFFIX = f".desk@{DOMAIN}"  # smtp-source puts a running number before it
ALIASES_AT_MOST = 20_000
NAMES = (*RECORDS, ("client.example.com", "A", "127.0.0.1"))
"""Records of the DNS: the load comes from where its domains say."""
_WORDS = (
    *("mail", "queue", "message", "server", "delivery", "folder", "report", "meeting", "invoice", "project", "weather"),
    *("morning", "question", "answer", "contract", "machine", "account", "customer", "number", "letter", "network"),
)


@dataclass(frozen=True, slots=True)
class World:
    """`mailboxes` have an address of their own and share the numbered aliases that smtp-source sends to."""

    mailboxes: tuple[str, ...]
    aliases: dict[str, str]

    @classmethod
    def of(cls, mailboxes: int, numbered: int) -> World:
        boxes = tuple(f"desk{number}@{DOMAIN}" for number in range(mailboxes))
        count = min(numbered, ALIASES_AT_MOST)
        return cls(boxes, {f"{number + 1}{SUFFIX}": boxes[number % mailboxes] for number in range(count)})

    def csv(self) -> str:
        """As `everpost mailbox import-csv` reads it."""
        per_box: dict[str, list[str]] = {box: [] for box in self.mailboxes}
        for alias, box in self.aliases.items():
            per_box[box].append(alias)
        return "address,aliases\n" + "".join(f"{box},{';'.join(aliases)}\n" for box, aliases in per_box.items())

    def plain(self, count: int, octets: int, seed: int) -> list[Outgoing]:
        """Text messages of about that size, one recipient each, mailboxes in turn."""
        rng = random.Random(seed)
        lines = [" ".join(rng.choices(_WORDS, k=10)) for _ in range(500)]
        made = []
        for number, box in zip(range(count), itertools.cycle(self.mailboxes), strict=False):
            head = (
                f"From: <news@example.com>\r\nTo: <{box}>\r\nSubject: Number {number}\r\n"
                f"Date: {datetime.now(UTC):%a, %d %b %Y %H:%M:%S +0000}\r\n"
                f"Message-ID: <{seed}.{number}@example.com>\r\n\r\n"
            )
            body = "\r\n".join(rng.choices(lines, k=octets // 70 + 1))[: max(octets - len(head) - 2, 0)].rstrip()
            made.append(Outgoing.of("news@example.com", (box,), (head + body).encode()))
        return made

    def mix(self, count: int, mbox: Path | None) -> list[Outgoing]:
        """Messages of the mbox (again from its beginning where it has fewer), or generated conversations."""
        people = [Person(box.partition("@")[0].capitalize(), box) for box in self.mailboxes]
        if mbox is None:
            found = generate(people, count, 7, datetime.now(UTC) - timedelta(days=30), timedelta(days=30))
            return [Outgoing.of(each.sender, each.recipients, each.raw) for each in found]
        return list(itertools.islice(_round(people, mbox), count))


def _round(people: list[Person], mbox: Path) -> Iterator[Outgoing]:
    while True:
        empty = True
        for each in from_mbox(mbox, people):
            empty = False
            yield Outgoing.of(each.sender, each.recipients, each.raw)
        if empty:
            raise ValueError(f"{mbox} holds no messages")


def big(recipient: str, octets: int) -> Outgoing:
    """One large message that does not compress well."""
    line = 76
    rng = random.Random(1)
    block = b"".join(
        bytes(rng.choices(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=line)) + b"\r\n"
        for _ in range(4000)
    )
    head = (
        b"From: <news@example.com>\r\nSubject: A large one\r\nMessage-ID: <large@example.com>\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    lines = (octets - len(head)) // (line + 2)
    body = (block * (lines // 4000 + 1))[: lines * (line + 2)]
    return Outgoing.of("news@example.com", (recipient,), head + body)
