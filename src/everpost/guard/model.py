"""Words of the guard: signals, verdicts, dispositions. Pure values."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

MAX_EVIDENCE: Final = 300  # characters of what strangers contributed to one signal
MAX_EACH: Final = 3  # signals of one kind that a step gives


class Phase(enum.StrEnum):
    """What has to be known before a step can run. The phases of a message run one after the other."""

    CONNECTION = "connection"  # the client's address and greeting
    SENDER = "sender"  # the reverse-path
    RECIPIENT = "recipient"
    MESSAGE = "message"  # every octet


class Way(enum.StrEnum):
    """Where a message comes from, as far as the guard minds."""

    INBOUND = "inbound"  # a stranger
    OUTBOUND = "outbound"  # a primary or a person of ours


class Group(enum.StrEnum):
    """What a signal is about. The sum of each group is capped, so that no one kind of evidence decides alone."""

    IDENTITY = "identity"  # who says to have sent it, and whether that is so
    NETWORK = "network"  # from where
    PAYLOAD = "payload"  # what is attached
    LINKS = "links"
    CONTENT = "content"  # how it reads
    POLICY = "policy"
    FAULT = "fault"  # a step that could not do its work


class Judgement(enum.StrEnum):
    """What a message is taken for."""

    CLEAN = "clean"
    SUSPICIOUS = "suspicious"
    SPAM = "spam"
    PHISHING = "phishing"
    MALWARE = "malware"
    POLICY = "policy"  # not allowed, whatever it may be


class Disposition(enum.StrEnum):
    """What is done with a message. Nothing is discarded: what is not wanted is refused or kept apart."""

    ACCEPT = "accept"
    JUNK = "junk"  # accepted, filed under Junk, and marked for the primary
    QUARANTINE = "quarantine"  # accepted, kept apart until somebody releases it
    DEFER = "defer"  # 4xx: the sender tries again
    REJECT = "reject"  # 5xx


@dataclass(frozen=True, slots=True)
class SignalKind:
    """One thing that can be noticed. `weight` is a log-likelihood ratio: above zero speaks against the message.

    `points_to` is what the message would be if this were true of it; `decisive` signals need no others.
    """

    name: str
    group: Group
    weight: float
    points_to: Judgement
    meaning: str
    decisive: bool = False


class Signal(msgspec.Struct, frozen=True):
    """A fact with its evidence, for a person to read. `kind` names a `SignalKind`."""

    kind: str
    weight: float
    evidence: str


def signal(kind: SignalKind, evidence: str, *, weight: float | None = None) -> Signal:
    """A signal of this kind, of its usual weight unless the step knows better. Evidence is cut and made printable."""
    shown = "".join(letter if letter.isprintable() else " " for letter in evidence[:MAX_EVIDENCE])
    return Signal(kind.name, kind.weight if weight is None else weight, shown)


def signals_of(found: Iterable[tuple[SignalKind, str]]) -> Iterator[Signal]:
    """Signals of kinds with their evidence, at most `MAX_EACH` of one kind. Only the first of a kind counts: many of
    them weigh no more than one.
    """
    seen: dict[str, int] = {}
    for kind, evidence in found:
        count = seen[kind.name] = seen.get(kind.name, 0) + 1
        if count <= MAX_EACH:
            yield signal(kind, evidence, weight=None if count == 1 else 0.0)


class Verdict(msgspec.Struct, frozen=True):
    """The judgement with all that led to it. `score` is the sum of the capped groups."""

    judgement: Judgement
    disposition: Disposition
    score: float
    signals: tuple[Signal, ...]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Verdict).decode


def encode_verdict(verdict: Verdict) -> bytes:
    """The verdict as it is stored (JSON)."""
    return _encode(verdict)


def decode_verdict(data: bytes) -> Verdict:
    """A stored verdict."""
    return _decode(data)
