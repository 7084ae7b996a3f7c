"""Where mail meets the guard, by whichever face it came: the submission as a case, the rules that are asked, and what
becomes of a refusal.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import structlog

from everpost.directory.model import AS_IT_CAME, LinkRewriting, MailboxTarget, Resolved
from everpost.directory.resolve import Directory
from everpost.guard.case import Case, Insider, Reader
from everpost.guard.guard import Guard
from everpost.guard.kinds import POLICY_RULE, SENDING_LIMIT_DEFER
from everpost.guard.model import Disposition, Judgement, Verdict, Way
from everpost.guard.policy.store import Policies
from everpost.intake.senders import SenderLists
from everpost.intake.sending_alerts import SendingAlerts
from everpost.intake.submission import Submission
from everpost.store.blobs import SealedBlob

log = structlog.get_logger()

_REFUSALS: Final = frozenset({Disposition.REJECT, Disposition.DEFER})
_WHY: Final = {
    Judgement.MALWARE: "something in it is taken for malware",
    Judgement.PHISHING: "it is taken for phishing",
    Judgement.SPAM: "it is taken for spam",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The guard will not have a message: for now, or for good. `reason` is for our own people, not for strangers."""

    for_now: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Screen:
    """One per process, for all its faces. `new_message_id` gives out the number of a message before it is ours;
    `alerts` hears of what was sent beyond a limit; `senders` knows whom people want to hear from.
    """

    directory: Directory
    guard: Guard
    policies: Policies | None
    new_message_id: Callable[[], Awaitable[int]]
    alerts: SendingAlerts | None = None
    senders: SenderLists | None = None

    async def look(
        self, submission: Submission, content: bytes | None = None, *, rehearsal: bool = False
    ) -> Submission:
        """The submission with what guard and rules say of it. `content` is the message where the submission neither
        holds it nor owns its blob. A `rehearsal` is not counted as sent by anybody: the message comes again.
        Raises what `store.database.UNAVAILABLE` lists.
        """
        case = await self._case(submission, content)
        if rehearsal:
            case.insider = None
        books = {each: await self.policies.of(each) for each in case.organisation_ids} if self.policies else {}
        assessment = await self.guard.assess(case, books)
        looked_at = replace(submission, assessment=assessment, message_id=case.message_id)
        if self.alerts is not None:
            await self.alerts.look(looked_at)
        if self.senders is None or assessment.verdict.disposition in _REFUSALS:
            return looked_at
        wished = await self.senders.wished(self.guard, looked_at, assessment)
        return looked_at if wished is None else replace(looked_at, wished=wished)

    async def _case(self, submission: Submission, content: bytes | None) -> Case:
        organisations = _organisations(submission)
        own = [await self.directory.domains_of(each) for each in organisations]
        # What differs for two organisations would have to be two messages: such copies stay as they are.
        copies = await self.directory.copies_of(*organisations) if len(organisations) == 1 else AS_IT_CAME
        rewritten = copies.links is not LinkRewriting.KEEP
        client, owner = submission.client, submission.owner
        return Case(
            Way.OUTBOUND if submission.source.is_from_inside else Way.INBOUND, _address(client.ip), client.helo,
            client.login, submission.sender.reverse_path,
            tuple(each.recipient.address for each in submission.recipients), organisations,
            frozenset().union(*own), submission.scanned.header, submission.scanned.size, submission.received_at,
            _opener(submission, content), copies, _readers(submission), bool(client.tls),
            await self.new_message_id() if rewritten else None,
            insider=Insider(owner.organisation_id, owner.mailbox_id, owner.primary_id) if owner else None,
        )  # fmt: skip


def refusal_of(submission: Submission) -> Refusal | None:
    """Whether the guard will not have what it has looked at; None where it may go on. The log gets the details."""
    assert submission.assessment is not None
    verdict = submission.assessment.verdict
    if verdict.disposition not in _REFUSALS:
        return None
    log.info(
        "guard.refused", source=submission.source, client=submission.client.ip,
        sender=str(submission.sender.reverse_path or ""),
        recipients=[str(each.recipient.address) for each in submission.recipients[:20]],
        message_id=submission.scanned.summary.message_id, judgement=verdict.judgement, score=verdict.score,
        disposition=verdict.disposition, signals=[f"{each.kind}: {each.evidence}" for each in verdict.signals[:20]],
    )  # fmt: skip
    return Refusal(verdict.disposition is Disposition.DEFER, _reason(verdict))


def _reason(verdict: Verdict) -> str:
    said = [each.evidence.rpartition(": ") for each in verdict.signals if each.kind == POLICY_RULE.name]
    rules = [name for name, _, actions in said if not _REFUSALS.isdisjoint(actions.split(", "))]
    if rules:
        return f"a rule of your organisation is against it: {', '.join(rules[:3])}"
    limits = [each.evidence for each in verdict.signals if each.kind == SENDING_LIMIT_DEFER.name]
    if limits:
        return f"more is sent than is usual: {limits[0]}"
    return _WHY.get(verdict.judgement, "it is not allowed as it is")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None where the client is not known."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if address.is_unspecified else address


def _opener(submission: Submission, content: bytes | None) -> Callable[[], Iterable[bytes]]:
    blob = submission.blob
    whole = submission.content if submission.content is not None else content
    if whole is not None:
        return lambda: (whole,)
    assert isinstance(blob, SealedBlob), "what has been stored before is looked at with its content"
    return blob.open_chunks


def _organisations(submission: Submission) -> frozenset[int]:
    """Whose mail it is: the sender's and the recipients' organisations."""
    found = {each.resolution.organisation_id for each in submission.recipients if isinstance(each.resolution, Resolved)}
    return frozenset(found | ({submission.owner.organisation_id} if submission.owner else set()))


def _readers(submission: Submission) -> tuple[Reader, ...]:
    """Each mailbox once, with all the addresses by which this message reaches it; addresses elsewhere."""
    found: dict[tuple[int | None, str], Reader] = {}
    for routed in submission.recipients:
        accepted = str(routed.recipient.address).lower()
        resolution = routed.resolution
        targets = resolution.targets if isinstance(resolution, Resolved) else ()
        inside = [each for each in targets if isinstance(each, MailboxTarget)]
        for target in inside:
            place = target.place
            known = found.get((place.mailbox_id, ""))
            addresses = {accepted, str(target.deliver_to).lower(), *(known.addresses if known else ())}
            found[place.mailbox_id, ""] = Reader(
                place.organisation_id, place.mailbox_id, frozenset(addresses), place.group_ids
            )
        if not inside:
            found[None, accepted] = Reader(None, None, frozenset({accepted}))
    return tuple(found.values())
