"""A small generated corpus: offers and ordinary mail that share many words, but not the way they are put."""

from __future__ import annotations

import random
from email.message import EmailMessage

_OFFER = [
    "buy",
    "limited",
    "offer",
    "winner",
    "prize",
    "casino",
    "pills",
    "discount",
    "refund",
    "guaranteed",
    "cheap",
    "millions",
    "lottery",
    "bonus",
    "replica",
    "investment",
    "unsubscribe",
    "earn",
    "income",
    "wire",
    "beneficiary",
]
_WORK = [
    "minutes",
    "agenda",
    "draft",
    "invoice",
    "tuesday",
    "budget",
    "branch",
    "review",
    "server",
    "ticket",
    "lunch",
    "train",
    "release",
    "colleague",
    "notes",
    "contract",
    "printer",
    "schedule",
    "feedback",
    "meeting",
]
_BOTH = [
    "the",
    "a",
    "you",
    "we",
    "please",
    "and",
    "for",
    "with",
    "is",
    "are",
    "your",
    "our",
    "this",
    "that",
    "have",
    "will",
    "new",
    "price",
    "time",
    "send",
    "here",
    "today",
]


def mail(number: int, *, spam: bool, seed: int = 0) -> bytes:
    """The same message for the same arguments."""
    chance = random.Random(f"{seed} {number} {spam}")
    own, other = (_OFFER, _WORK) if spam else (_WORK, _OFFER)
    words = [chance.choice(chance.choices((own, other, _BOTH), (6, 1, 9))[0]) for _ in range(90)]
    message = EmailMessage()
    message["From"] = f"{chance.choice(own)}{number} <p{number}@{'offers' if spam else 'partner'}{number % 7}.example>"
    message["To"] = "anna@example.org"
    message["Subject"] = " ".join(chance.choices(own + _BOTH, k=5))
    message["Message-ID"] = f"<{number}.{spam}.{seed}@example>"
    message.set_content(" ".join(words))
    if spam and number % 2:
        message.add_alternative(f"<p><font color=red>{' '.join(words)}</font></p>", subtype="html")
    return message.as_bytes()
