"""Sealing (RFC 8617 §5.1): what is passed on carries what was seen here, so that the next host may believe it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Final

from everpost.auth.arc import MAX_SETS, ArcResult, ArcVerdict, Chain
from everpost.auth.canonical import BodyHash, Canonicalisation, SignedHeader, canonical_field, signed_octets
from everpost.auth.dkim_sign import SigningKey, fold_base64, tag_field

SIGNED: Final = (
    *("from", "to", "cc", "subject", "date", "message-id", "reply-to", "sender", "in-reply-to", "references"),
    *("mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe", "dkim-signature"),
)
"""What ARC-Message-Signature covers, as often as it is there."""


class SealRefused(Exception):
    """The chain may not go on (RFC 8617 §5.1): its last seal says that it is broken, or it is too long."""


def arc_set(
    message: SignedHeader,
    body: BodyHash,
    chain: Chain,
    checked: ArcResult,
    results: bytes,
    key: SigningKey,
    *,
    now: datetime,
    names: tuple[str, ...] | None = None,
) -> bytes:
    """The three fields to be put on top, seal first, with their line ends.

    `results` is the value of our Authentication-Results, beginning with the authserv-id; `body` is the hash for
    relaxed bodies; `checked` is what `check_chain` found. Raises `SealRefused`. A chain that could not be checked
    for want of an answer is not sealed either: nothing true could be said about it.
    """
    if checked.verdict is ArcVerdict.TEMPERROR:
        raise SealRefused("the chain could not be checked")
    instance = chain.instances + 1
    if instance > MAX_SETS:
        raise SealRefused(f"the chain has {MAX_SETS} sets already")
    if chain.closed:
        raise SealRefused("the last seal says that the chain is broken")
    signed = names if names is not None else _present(message)
    written = b"ARC-Authentication-Results: i=%d; %s" % (instance, results.strip())
    signature = _message_signature(message, body, instance, signed, key, now)
    failed = checked.verdict is ArcVerdict.FAIL
    state = "none" if instance == 1 else "fail" if failed else "pass"
    seal = _tags("ARC-Seal", {"a": key.algorithm.value, "cv": state} | _common(instance, key, now))
    own = [canonical_field(part, Canonicalisation.RELAXED) for part in (written, signature, _without(seal))]
    # A chain that is broken is sealed by its last set alone (RFC 8617 §5.1.2).
    before = [] if failed or not chain.sets else [_sealed_before(message, chain)]
    return b"\r\n".join((_with(seal, key.sign(b"\r\n".join(before + own))), signature, written, b""))


def _present(message: SignedHeader) -> tuple[str, ...]:
    return tuple(name for name in SIGNED for _ in message.header.all(name))


def _message_signature(
    message: SignedHeader, body: BodyHash, instance: int, names: tuple[str, ...], key: SigningKey, now: datetime
) -> bytes:
    tags = {"a": key.algorithm.value, "bh": base64.b64encode(body.digest).decode("ascii"), "c": "relaxed/relaxed"}
    tags |= {"h": ":".join(names)} | _common(instance, key, now)
    field = _tags("ARC-Message-Signature", tags)
    octets = signed_octets(message, names, _without(field), Canonicalisation.RELAXED)
    return _with(field, key.sign(octets))


def _common(instance: int, key: SigningKey, now: datetime) -> dict[str, str]:
    return {"d": key.domain, "i": str(instance), "s": key.selector, "t": str(int(now.timestamp()))}


def _tags(name: str, tags: dict[str, str]) -> tuple[bytes, bytes]:
    """What stands before the value of b= and after it, the tags in alphabetical order."""
    before = {key: value for key, value in tags.items() if key < "b"}
    after = {key: value for key, value in tags.items() if key > "b"}
    head = tag_field(name, [*sorted(before.items()), ("b", "")])
    return head, b";\r\n" + tag_field("", sorted(after.items())).removeprefix(b":")


def _without(field: tuple[bytes, bytes]) -> bytes:
    return field[0] + field[1]


def _with(field: tuple[bytes, bytes], signature: bytes) -> bytes:
    """The signature stands on one line, as other sealers write it, where a line may be as long (RFC 5322 §2.1.1)."""
    text = base64.b64encode(signature)
    return field[0] + (text if len(text) < 900 else fold_base64(signature).encode("ascii")) + field[1]


def _sealed_before(message: SignedHeader, chain: Chain) -> bytes:
    parts: list[bytes] = []
    for item in chain.sets:
        parts += [message.written(field) for field in (item.results_field, item.signature_field, item.seal_field)]
    return b"\r\n".join(canonical_field(part, Canonicalisation.RELAXED) for part in parts)
