"""What a message obliges us to: a table of cases, without a database."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from everpost.continuity.routes import OpenActivation, RouteTable, Scope, ScopeKind
from everpost.continuity.trust import TrustState
from everpost.directory.model import MailboxTarget, OutsideTarget, Place, Resolved, Unresolved
from everpost.intake.plan import plan
from everpost.intake.submission import Client, Direction, JournalCopy, Owner, RoutedRecipient, Source, Submission
from everpost.mail.address import Address
from everpost.mail.envelope import Notify, Recipient, Sender
from everpost.standby.model import Role
from everpost.standby.summary import scan_message
from everpost.store.blobs import seal_bytes

CONTENT = b"From: me@example.org\r\nSubject: Hello\r\n\r\nHi\r\n"
BLOB, SCANNED = seal_bytes(CONTENT), scan_message(CONTENT)
ORG, OTHER = 1, 2
PRIMARY, DOMAIN, GROUP = 10, 20, 40
ANNA, BEN, OLGA, BARE = 31, 32, 33, 34
PLACES = {
    "anna@example.org": Place(ORG, ANNA, DOMAIN, PRIMARY),
    "anna+lists@example.org": Place(ORG, ANNA, DOMAIN, PRIMARY),
    "ben@example.org": Place(ORG, BEN, DOMAIN, PRIMARY, frozenset((GROUP,))),
    "olga@other.example": Place(OTHER, OLGA, 21, 11),
    "bare@example.com": Place(ORG, BARE, 22, None),
}
TRUSTED = {(ORG, PRIMARY): TrustState.TRUSTED, (OTHER, 11): TrustState.TRUSTED}


def to(address: str, notify: Notify | None = None) -> RoutedRecipient:
    parsed = Address.parse(address)
    place = PLACES.get(address)
    if place is None:
        return RoutedRecipient(Recipient(parsed, notify), Unresolved.NOT_OURS)
    resolved = Resolved(place.organisation_id, place.domain_id, (MailboxTarget(place, parsed),))
    return RoutedRecipient(Recipient(parsed, notify), resolved)


def to_list(*members: str) -> RoutedRecipient:
    targets = tuple(
        MailboxTarget(PLACES[m], Address.parse(m)) if m in PLACES else OutsideTarget(Address.parse(m)) for m in members
    )
    recipient = Recipient(Address.parse("all@example.org"), Notify.FAILURE, "rfc822;all@example.org")
    return RoutedRecipient(recipient, Resolved(ORG, DOMAIN, targets, GROUP))


def table(state: TrustState = TrustState.TRUSTED, *activated: Scope) -> RouteTable:
    activations = {s: OpenActivation(n, s, opens_access=True) for n, s in enumerate(activated)}
    return RouteTable(1, TRUSTED | {(ORG, PRIMARY): state}, activations)


def shares(
    *recipients: RoutedRecipient,
    source: Source = Source.MX,
    owner: Owner | None = None,
    routes: RouteTable | None = None,
    journal: JournalCopy | None = None,
) -> list[tuple]:
    """(organisation, direction, deliveries, entries) of each share, in short."""
    submission = Submission(
        source, Sender(Address.parse("me@example.org")), recipients, BLOB, SCANNED,
        Client("192.0.2.1", "mail", "ESMTP"), datetime.now(UTC), owner, CONTENT, journal,
    )  # fmt: skip
    return [
        (
            share.organisation_id,
            share.direction,
            [
                (d.kind.value, str(d.recipient.address), d.status.value, d.hold_reason and d.hold_reason.value)
                for d in share.deliveries
            ],
            [(entry.mailbox_id, entry.role) for entry in share.entries],
        )
        for share in plan(submission, routes or table())
    ]


IN, OUT, INSIDE = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL


def primary(address: str, hold: str | None = None):
    return ("primary", address, "held" if hold else "queued", hold)


def internet(address: str):
    return ("internet", address, "queued", None)


@pytest.mark.parametrize(
    ("recipients", "routes", "expected"),
    [
        pytest.param(
            [to("anna@example.org")], table(),
            [(ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="to the primary and the standby",
        ),
        pytest.param(
            [to("anna@example.org"), to("olga@other.example")], table(),
            [(ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)]),
             (OTHER, IN, [primary("olga@other.example")], [(OLGA, Role.INBOX)])], id="one share for each organisation",
        ),
        pytest.param(
            [to("bare@example.com")], table(),
            [(ORG, IN, [("standby", "bare@example.com", "delivered", None)], [(BARE, Role.INBOX)])],
            id="without a primary it is delivered",
        ),
        pytest.param(
            [to("anna@example.org"), to("ben@example.org")],
            table(TrustState.TRUSTED, Scope(ORG, ScopeKind.GROUP, GROUP)),
            [(ORG, IN, [primary("anna@example.org"), primary("ben@example.org", "activated")],
              [(ANNA, Role.INBOX), (BEN, Role.INBOX)])], id="activation holds for those it covers",
        ),
        pytest.param(
            [to("anna@example.org")], table(TrustState.DOWN),
            [(ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="down alone changes no route",
        ),
        pytest.param(
            [to("anna@example.org")],
            table(TrustState.COMPROMISED, Scope(ORG, ScopeKind.ORGANISATION, ORG)),
            [(ORG, IN, [primary("anna@example.org", "compromised")], [(ANNA, Role.INBOX)])],
            id="compromised holds, activated or not",
        ),
        pytest.param(
            [to("anna@example.org"), to("anna+lists@example.org")], table(),
            [(ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="one copy a mailbox",
        ),
        pytest.param(
            [to_list("anna@example.org", "ben@example.org", "out@example.net"), to("ben@example.org")], table(),
            [(ORG, IN, [primary("anna@example.org"), primary("ben@example.org"), internet("out@example.net")],
              [(ANNA, Role.INBOX), (BEN, Role.INBOX)])], id="a list reaches each member once",
        ),
    ],
)  # fmt: skip
def test_mail_from_the_internet(recipients, routes, expected) -> None:
    assert shares(*recipients, routes=routes) == expected


@pytest.mark.parametrize("source", [Source.SMARTHOST, Source.SUBMISSION, Source.WEBMAIL])
@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        pytest.param(
            ["out@example.net", "ben@example.org"],
            [(ORG, OUT, [internet("out@example.net"), primary("ben@example.org")], [(BEN, Role.INBOX)])],
            id="both ways",
        ),
        pytest.param(
            ["ben@example.org"], [(ORG, INSIDE, [primary("ben@example.org")], [(BEN, Role.INBOX)])], id="inside",
        ),
        pytest.param(
            ["olga@other.example"],
            [(ORG, OUT, [("crossing", "olga@other.example", "delivered", None)], []),
             (OTHER, IN, [primary("olga@other.example")], [(OLGA, Role.INBOX)])], id="to a neighbour",
        ),
        pytest.param(
            ["anna@example.org"], [(ORG, INSIDE, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="to oneself",
        ),
    ],
)  # fmt: skip
def test_mail_from_inside(source, recipients, expected) -> None:
    found = shares(*(to(r) for r in recipients), source=source, owner=Owner(ORG, ANNA, PRIMARY))
    has_sent_entry = source is not Source.WEBMAIL and recipients != ["anna@example.org"]  # found in the Inbox then
    sent = [(ANNA, Role.SENT)] if has_sent_entry else []
    organisation_id, direction, deliveries, entries = expected[0]
    assert found == [(organisation_id, direction, deliveries, entries + sent), *expected[1:]]


@pytest.mark.parametrize(
    ("recipient", "owner", "expected"),
    [
        pytest.param("out@example.net", Owner(ORG), [(ORG, OUT, [internet("out@example.net")], [])], id="outsider"),
        pytest.param(
            "anna@example.org", Owner(ORG), [(ORG, INSIDE, [primary("anna@example.org")], [(ANNA, Role.INBOX)])],
            id="local",
        ),
        pytest.param(
            "anna@example.org", Owner(OTHER),
            [(OTHER, OUT, [("crossing", "anna@example.org", "delivered", None)], []),
             (ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="a neighbour's notice",
        ),
        pytest.param(
            "anna@example.org", None, [(ORG, IN, [primary("anna@example.org")], [(ANNA, Role.INBOX)])], id="canary",
        ),
    ],
)  # fmt: skip
def test_notices_of_our_own(recipient, owner, expected) -> None:
    assert shares(to(recipient), source=Source.NOTICE, owner=owner) == expected


def test_parameters_travel_with_the_recipient() -> None:
    submission = Submission(
        Source.MX, Sender(None), (to_list("anna@example.org", "out@example.net"),), BLOB, SCANNED,
        Client("192.0.2.1", "mail", "ESMTP"), datetime.now(UTC),
    )  # fmt: skip
    (share,) = plan(submission, table())
    assert [(d.recipient.notify, d.recipient.orcpt, d.accepted_as) for d in share.deliveries] == [
        (Notify.FAILURE, "rfc822;all@example.org", "all@example.org")
    ] * 2
    assert [d.lane for d in share.deliveries] == ["primary:10", "domain:example.net"]
    assert [(d.mailbox_id, d.primary_id) for d in share.deliveries] == [(ANNA, PRIMARY), (None, None)]


def test_international_domains_share_a_lane_with_their_a_labels() -> None:
    for text in ("x@bücher.example", "x@xn--bcher-kva.example"):
        submission = Submission(
            Source.SUBMISSION, Sender(None), (to(text),), BLOB, SCANNED, Client("192.0.2.1", "mail", "ESMTP"),
            datetime.now(UTC), Owner(ORG),
        )  # fmt: skip
        (share,) = plan(submission, table())
        assert share.deliveries[0].lane == "domain:xn--bcher-kva.example"


def test_journal_copies_stand_in_mailboxes_and_go_nowhere() -> None:
    journal = JournalCopy(Recipient(Address.parse("journal@example.org")), (ANNA, BEN), (ANNA,))
    found = shares(to("out@example.net"), source=Source.JOURNAL, owner=Owner(ORG, None, PRIMARY), journal=journal)
    assert found == [
        (ORG, INSIDE, [("journal", "journal@example.org", "delivered", None)],
         [(ANNA, Role.INBOX), (BEN, Role.INBOX), (ANNA, Role.SENT)]),
    ]  # fmt: skip


def test_a_strangers_mail_to_a_stranger_is_never_planned() -> None:
    with pytest.raises(AssertionError):
        shares(to("out@example.net"))


@pytest.mark.parametrize(
    ("routes", "filtered"),
    [
        (table(), {ANNA: False, BARE: True}),
        (table(TrustState.DOWN), {ANNA: False, BARE: True}),
        (table(TrustState.COMPROMISED), {ANNA: True, BARE: True}),
        (table(TrustState.TRUSTED, Scope(ORG, ScopeKind.MAILBOX, ANNA)), {ANNA: True, BARE: True}),
    ],
)
def test_filters_act_where_the_standby_is_the_master(routes: RouteTable, filtered: dict[int, bool]) -> None:
    submission = Submission(
        Source.MX, Sender(Address.parse("me@example.net")), (to("anna@example.org"), to("bare@example.com")), BLOB,
        SCANNED, Client("192.0.2.1", "mail", "ESMTP"), datetime.now(UTC),
    )  # fmt: skip
    (share,) = plan(submission, routes)
    assert {entry.mailbox_id: entry.is_filtered for entry in share.entries} == filtered
