"""What a message obliges us to: deliveries and standby entries for each organisation it concerns. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from everpost.continuity.routes import Route, RouteTable
from everpost.directory.model import MailboxTarget, OutsideTarget, Resolved
from everpost.guard.guard import Assessment
from everpost.guard.model import Disposition
from everpost.intake.submission import Direction, RoutedRecipient, Source, Submission
from everpost.mail.address import Address, domain_key
from everpost.mail.envelope import Recipient
from everpost.queue.model import LOCAL_LANE, HoldReason, Kind, NewDelivery, Status, internet_lane, primary_lane
from everpost.standby.model import JUNK, SEEN, NewEntry, Origin, Role


@dataclass(slots=True)
class Share:
    """One organisation's part of a message: it becomes one message row with all that hangs on it. Those of its people
    who wish otherwise than the guard have a part of their own: other fields stand on top of their copies.
    """

    organisation_id: int
    direction: Direction
    assessment: Assessment | None = None
    deliveries: list[NewDelivery] = field(default_factory=list)
    entries: list[NewEntry] = field(default_factory=list)


_Shares = dict[tuple[int, bool], Share]
"""By organisation, and whether it is that of the people who wish otherwise than the guard."""


def plan(submission: Submission, table: RouteTable) -> list[Share]:
    """The shares of a submission; the owner's organisation comes first. Recipients are kept in order."""
    if submission.journal is not None:
        return [_journal_share(submission)]
    shares: _Shares = {}
    if submission.owner is not None:
        key = submission.owner.organisation_id
        shares[key, False] = Share(key, _direction(submission), submission.assessment)
    for routed in submission.recipients:
        _plan_recipient(submission, routed, table, shares)
    _add_sent_entry(submission, shares)
    for share in shares.values():
        share.entries = _once_per_mailbox(share.entries)
        share.deliveries = _once_per_destination(share.deliveries)
        if share.assessment is not None:
            _dispose(share, share.assessment)
    return [
        share
        for (organisation_id, is_wished), share in shares.items()
        if share.deliveries or share.entries or is_wished or (organisation_id, True) not in shares
    ]


def _dispose(share: Share, assessment: Assessment) -> None:
    """What the guard decided: junk is filed apart; what is quarantined is not shown or sent before it is released."""

    def disposition(mailbox_id: int | None) -> Disposition:
        usual = assessment.verdict.disposition
        return assessment.dispositions.get(mailbox_id, usual) if mailbox_id is not None else usual

    share.entries = [
        filed for entry in share.entries if (filed := _filed(entry, disposition(entry.mailbox_id))) is not None
    ]
    share.deliveries = [
        replace(delivery, status=Status.HELD, hold_reason=HoldReason.QUARANTINED)
        if delivery.kind is not Kind.CROSSING and disposition(delivery.mailbox_id) is Disposition.QUARANTINE
        else delivery
        for delivery in share.deliveries
    ]


def _filed(entry: NewEntry, disposition: Disposition) -> NewEntry | None:
    """Where a message stands that came in; None where it does not stand anywhere yet."""
    if entry.role is not Role.INBOX or disposition not in (Disposition.JUNK, Disposition.QUARANTINE):
        return entry
    if disposition is Disposition.QUARANTINE:
        return None
    return replace(entry, role=Role.JUNK, keywords=(JUNK,), is_filtered=False)


def _direction(submission: Submission) -> Direction:
    owner = submission.owner
    assert owner is not None
    inside = all(
        isinstance(routed.resolution, Resolved) and routed.resolution.organisation_id == owner.organisation_id
        for routed in submission.recipients
    )
    return Direction.INTERNAL if inside else Direction.OUTBOUND


def _plan_recipient(submission: Submission, routed: RoutedRecipient, table: RouteTable, shares: _Shares) -> None:
    owner = submission.owner
    resolution = routed.resolution
    accepted_as = str(routed.recipient.address)
    if not isinstance(resolution, Resolved):
        assert owner is not None, "a stranger's mail to a stranger is refused before intake"
        shares[owner.organisation_id, False].deliveries.append(_to_internet(routed.recipient, accepted_as))
        return
    organisation_id = resolution.organisation_id
    if owner is not None and organisation_id != owner.organisation_id:
        shares[owner.organisation_id, False].deliveries.append(
            NewDelivery(routed.recipient, accepted_as, Kind.CROSSING, LOCAL_LANE, Status.DELIVERED)
        )
    if not resolution.targets:  # a group of nobody
        shares.setdefault((organisation_id, False), Share(organisation_id, Direction.INBOUND, submission.assessment))
    for target in resolution.targets:
        share = _share_of(submission, organisation_id, target, shares)
        if isinstance(target, OutsideTarget):
            recipient = Recipient(target.address, routed.recipient.notify, routed.recipient.orcpt)
            share.deliveries.append(_to_internet(recipient, accepted_as))
        else:
            delivery = _to_mailbox(routed.recipient, target, accepted_as, table)
            share.deliveries.append(delivery)
            stays = delivery.status is not Status.QUEUED  # the primary sorts what goes to it
            share.entries.append(
                NewEntry(organisation_id, target.place.mailbox_id, Role.INBOX, Origin.WIRE, is_filtered=stays)
            )


def _share_of(
    submission: Submission, organisation_id: int, target: MailboxTarget | OutsideTarget, shares: _Shares
) -> Share:
    wished = submission.wished
    if (
        wished is not None
        and isinstance(target, MailboxTarget)
        and (organisation_id, target.place.mailbox_id) in wished.mailboxes
    ):
        direction = _direction_in(organisation_id, shares)
        return shares.setdefault((organisation_id, True), Share(organisation_id, direction, wished.assessment))
    return shares.setdefault(
        (organisation_id, False), Share(organisation_id, Direction.INBOUND, submission.assessment)
    )  # fmt: skip


def _direction_in(organisation_id: int, shares: _Shares) -> Direction:
    """That of the organisation's other part, which is there first where one of ours sent it."""
    other = shares.get((organisation_id, False))
    return other.direction if other is not None else Direction.INBOUND


def _to_internet(recipient: Recipient, accepted_as: str) -> NewDelivery:
    lane = internet_lane(domain_key(recipient.address.domain))
    return NewDelivery(recipient, accepted_as, Kind.INTERNET, lane, Status.QUEUED)


def _to_mailbox(recipient: Recipient, target: MailboxTarget, accepted_as: str, table: RouteTable) -> NewDelivery:
    """The obligation towards one mailbox: to its primary, now or after failback, or done where it has none."""
    place = target.place
    onward = Recipient(target.deliver_to, recipient.notify, recipient.orcpt)
    if place.primary_id is None:
        return NewDelivery(onward, accepted_as, Kind.STANDBY, LOCAL_LANE, Status.DELIVERED, place.mailbox_id)
    decision = table.decide(place)
    held = decision.route is Route.STANDBY
    return NewDelivery(
        onward,
        accepted_as,
        Kind.PRIMARY,
        primary_lane(place.primary_id),
        Status.HELD if held else Status.QUEUED,
        place.mailbox_id,
        place.primary_id,
        decision.hold if held else None,
    )


def _add_sent_entry(submission: Submission, shares: _Shares) -> None:
    """What a person sends through the primary or by submission stands in their Sent folder.

    The webmail makes that entry itself: there it has been a draft before.
    """
    owner = submission.owner
    if owner is None or owner.mailbox_id is None or submission.source not in (Source.SMARTHOST, Source.SUBMISSION):
        return
    shares[owner.organisation_id, False].entries.append(
        NewEntry(owner.organisation_id, owner.mailbox_id, Role.SENT, Origin.SENT, (SEEN,), unless_present=True)
    )


def _journal_share(submission: Submission) -> Share:
    owner, journal = submission.owner, submission.journal
    assert owner is not None
    assert journal is not None
    report = journal.report_recipient
    share = Share(owner.organisation_id, Direction.INTERNAL)
    share.deliveries.append(
        NewDelivery(
            report, str(report.address), Kind.JOURNAL, LOCAL_LANE, Status.DELIVERED, primary_id=owner.primary_id
        )
    )
    share.entries.extend(_journal_entries(owner.organisation_id, journal.received_by, Role.INBOX, ()))
    share.entries.extend(_journal_entries(owner.organisation_id, journal.sent_by, Role.SENT, (SEEN,)))
    return share


def _journal_entries(
    organisation_id: int, mailbox_ids: tuple[int, ...], role: Role, keywords: tuple[str, ...]
) -> Iterator[NewEntry]:
    for mailbox_id in mailbox_ids:
        yield NewEntry(organisation_id, mailbox_id, role, Origin.JOURNAL, keywords, unless_present=True)


def _once_per_mailbox(entries: list[NewEntry]) -> list[NewEntry]:
    """One entry a mailbox: somebody who writes to themselves finds it in the Inbox."""
    kept: dict[int, NewEntry] = {}
    for entry in entries:
        kept.setdefault(entry.mailbox_id, entry)
    return list(kept.values())


def _once_per_destination(deliveries: list[NewDelivery]) -> list[NewDelivery]:
    """A person reached by address and by group, or by two groups, gets one copy; two addresses written in the
    envelope stay two only where they reach different mailboxes.
    """
    kept: dict[tuple[Kind, int | Address], NewDelivery] = {}
    for delivery in deliveries:
        where: int | Address = delivery.recipient.address
        if delivery.kind in (Kind.PRIMARY, Kind.STANDBY) and delivery.mailbox_id is not None:
            where = delivery.mailbox_id
        kept.setdefault((delivery.kind, where), delivery)
    return list(kept.values())
