"""Whole messages checked and signed, as the tests write them."""

from __future__ import annotations

from datetime import UTC, datetime

from everpost.auth.canonical import SignedHeader, hash_body
from everpost.auth.dkim import DkimResult, check_signature, find_signatures, wanted_bodies
from everpost.auth.dkim_sign import RELAXED, SigningKey, dkim_signature
from everpost.auth.resolver import Resolver
from everpost.mail.header import parse_header

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def crlf(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def divided(message: bytes) -> tuple[SignedHeader, bytes]:
    size = parse_header(message).size
    return SignedHeader.parse(message), message[size:]


async def dkim(message: bytes, resolver: Resolver, now: float = NOW.timestamp()) -> tuple[DkimResult, ...]:
    header, body = divided(message)
    candidates = find_signatures(header)
    bodies = hash_body([body], wanted_bodies(candidates))
    return tuple([await check_signature(header, item, bodies, resolver, now=now) for item in candidates])


def signed(message: bytes, key: SigningKey, **options: object) -> bytes:
    header, body = divided(message)
    digest = hash_body([body], [RELAXED])[RELAXED]
    return dkim_signature(header, digest, key, now=NOW, **options) + message  # type: ignore[arg-type]
