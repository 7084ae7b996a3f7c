"""Who sends: SPF, DKIM, ARC, DMARC and reverse DNS, put into signals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from everpost.auth.arc import ArcVerdict
from everpost.auth.canonical import SignedHeader
from everpost.auth.check import Authentication, CheckSettings, Peer, authenticate
from everpost.auth.dkim import DkimVerdict
from everpost.auth.dmarc import DmarcResult, DmarcVerdict
from everpost.auth.dmarc_record import Policy
from everpost.auth.resolver import Resolver
from everpost.auth.reverse import ReverseResult, ReverseVerdict
from everpost.auth.spf import SpfResult, SpfVerdict
from everpost.guard import kinds
from everpost.guard.case import Case
from everpost.guard.model import Signal, signal

_SPF: Final = {
    SpfVerdict.FAIL: kinds.SPF_FAIL,
    SpfVerdict.SOFTFAIL: kinds.SPF_SOFTFAIL,
    SpfVerdict.PERMERROR: kinds.SPF_PERMERROR,
}
_ASKED_FOR: Final = {
    Policy.REJECT: kinds.DMARC_REJECT,
    Policy.QUARANTINE: kinds.DMARC_QUARANTINE,
    Policy.NONE: kinds.DMARC_FAIL,
}


class Sender:
    """The step that asks the DNS who sends, and leaves the answers in the case for others."""

    def __init__(self, resolver: Resolver, settings: CheckSettings) -> None:
        self._resolver = resolver
        self._settings = settings

    async def __call__(self, case: Case) -> Iterable[Signal]:
        if case.client is None:
            return ()
        head, body = _split(case.open(), case.header.size)
        case.authentication = found = await authenticate(
            Peer(case.client, case.helo),
            str(case.reverse_path) if case.reverse_path else "",
            SignedHeader(head, case.header),
            body,
            self._resolver,
            self._settings,
            now=case.received_at.timestamp(),
        )
        return tuple(sender_signals(found))


def sender_signals(found: Authentication) -> Iterator[Signal]:
    """What the answers say against a message; nothing speaks for one."""
    spf = found.spf
    if (kind := _SPF.get(spf.verdict)) is not None:
        yield signal(kind, f"SPF of {spf.domain}: {spf.verdict}{_why(spf.reason)}")
    for each in found.dkim:
        if each.verdict is DkimVerdict.FAIL:
            yield signal(kinds.DKIM_FAIL, f"DKIM signature of {each.domain}{_why(each.reason)}")
            break
    if found.arc.verdict is ArcVerdict.FAIL:
        yield signal(kinds.ARC_FAIL, f"ARC{_why(found.arc.reason)}")
    yield from _author(found.dmarc)
    if not _somebody_vouches(found) and found.dmarc.verdict is DmarcVerdict.NONE:
        yield signal(kinds.NOBODY_VOUCHES, f"SPF {spf.verdict}, DKIM {_best_dkim(found)}")
    yield from _reverse(found.reverse)
    if found.dmarc.verdict is DmarcVerdict.TEMPERROR or spf.verdict is SpfVerdict.TEMPERROR:
        yield signal(kinds.NO_DNS, _temporary(spf, found.dmarc))


def _author(dmarc: DmarcResult) -> Iterator[Signal]:
    if dmarc.verdict is DmarcVerdict.FAIL:
        wanted = f"{dmarc.policy_domain} asks for {dmarc.policy}"
        done = f", {dmarc.override}: {dmarc.disposition}" if dmarc.override else ""
        yield signal(_ASKED_FOR[dmarc.disposition], f"nothing vouches for {dmarc.author}; {wanted}{done}")
    elif dmarc.verdict is DmarcVerdict.PERMERROR:
        yield signal(kinds.DMARC_PERMERROR, f"DMARC{_why(dmarc.reason)}")


def _reverse(reverse: ReverseResult) -> Iterator[Signal]:
    if reverse.verdict is ReverseVerdict.PERMERROR:
        yield signal(kinds.NO_REVERSE_NAME, reverse.reason)
    elif reverse.verdict is ReverseVerdict.FAIL:
        yield signal(kinds.REVERSE_NAME_LIES, f"{', '.join(reverse.claimed)}{_why(reverse.reason)}")


def _somebody_vouches(found: Authentication) -> bool:
    if found.spf.verdict in (SpfVerdict.PASS, SpfVerdict.TEMPERROR):
        return True
    return any(each.verdict in (DkimVerdict.PASS, DkimVerdict.TEMPERROR) for each in found.dkim)


def _best_dkim(found: Authentication) -> str:
    return ", ".join(sorted({each.verdict.value for each in found.dkim})) or "none"


def _temporary(spf: SpfResult, dmarc: DmarcResult) -> str:
    return (dmarc.reason if dmarc.verdict is DmarcVerdict.TEMPERROR else spf.reason) or "no answer"


def _why(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _split(chunks: Iterable[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """The first `size` octets, and the rest in chunks, which is read only where somebody wants it."""
    head = bytearray()
    rest = iter(chunks)
    for chunk in rest:
        head += chunk
        if len(head) >= size:
            break
    return bytes(head[:size]), _chain(bytes(head[size:]), rest)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
