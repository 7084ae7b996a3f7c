"""What filters make of a message, and when one may be passed on: tables of cases, without a database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from everpost.directory.model import Forwarding, MailboxTarget, OutsideTarget, Place, Resolution, Resolved, Unresolved
from everpost.mail.address import Address
from everpost.mail.header import parse_header
from everpost.standby.filters import (
    MAX_FORWARDS,
    Comparison,
    Condition,
    Facts,
    Field,
    Filing,
    Filter,
    Forward,
    Match,
    check,
    decide,
    list_id_of,
    matches,
)
from everpost.standby.forwards import Outcome, passed_on, refusal_of_address, refusal_of_message
from everpost.standby.summary import scan_message
from everpost.standby.values import BadValue

MAIL = (
    "From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <Juergen@Sales.Example.NET>\r\n"
    "To: Ann <ann@example.org>\r\nCc: team@example.org\r\n"
    "Subject: Re: [Plan]  The\r\n café\r\nList-Id: The Plan <plan.lists.example.net>\r\n"
    'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
    "--x\r\n\r\nHi\r\n--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
    "\r\n%PDF\r\n--x--\r\n"
).encode()
PLAIN = b"From: bob@example.com\r\nTo: ann@example.org\r\nSubject: Hi\r\n\r\nHi\r\n"


def facts(content: bytes = MAIL) -> Facts:
    scanned = scan_message(content)
    return Facts(scanned.summary, scanned.size, list_id_of(scanned.header))


def condition(field: str, comparison: str, value: str = "", size: int = 0, *, negated: bool = False) -> Condition:
    return Condition(Field(field), Comparison(comparison), value, size, negated)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (condition("from", "contains", "MULLER"), True),
        (condition("from", "contains", "juergen@sales"), True),
        (condition("from", "contains", "ann"), False),
        (condition("from", "is", "juergen@sales.example.net"), True),
        (condition("from", "is", "juergen@sales.example.ne"), False),
        (condition("from", "domain", "example.net"), True),
        (condition("from", "domain", "@Sales.example.NET"), True),
        (condition("from", "domain", "ample.net"), False),
        (condition("recipients", "is", "TEAM@example.org"), True),
        (condition("recipients", "contains", "juergen"), False),
        (condition("recipients", "domain", "example.org"), True),
        (condition("subject", "contains", "the CAFE"), True),
        (condition("subject", "is", "re: [plan] the cafe"), True),
        (condition("subject", "is", "the café"), False),
        (condition("listId", "is", "plan.lists.example.net"), True),
        (condition("listId", "contains", "lists"), True),
        (condition("listId", "contains", "The Plan"), False),
        (condition("attachment", "present"), True),
        (condition("size", "larger", size=100), True),
        (condition("size", "larger", size=10_000), False),
    ],
)
def test_conditions(wanted: Condition, found: bool) -> None:
    assert matches(Filter(1, "x", conditions=(wanted,)), facts()) is found
    assert matches(Filter(1, "x", conditions=(replace_negated(wanted),)), facts()) is not found


def replace_negated(wanted: Condition) -> Condition:
    return Condition(wanted.field, wanted.comparison, wanted.value, wanted.size, not wanted.is_negated)


def test_what_is_not_there_is_not_found() -> None:
    nothing = facts(b"\r\n")
    for wanted in (condition("from", "domain", "example.net"), condition("subject", "contains", "x"),
                   condition("listId", "contains", "x"), condition("attachment", "present")):  # fmt: skip
        assert not matches(Filter(1, "x", conditions=(wanted,)), nothing)


def test_all_any_and_none_at_all() -> None:
    yes, no = condition("from", "domain", "example.net"), condition("subject", "contains", "lunch")
    for match, conditions, found in (
        (Match.ALL, (yes, no), False), (Match.ANY, (yes, no), True), (Match.ANY, (no,), False),
        (Match.ALL, (), True), (Match.ANY, (), True),
    ):  # fmt: skip
        assert matches(Filter(1, "x", match=match, conditions=conditions), facts()) is found


def test_filters_act_in_order() -> None:
    first = Filter(1, "a", folder_id=7, keywords=frozenset(("work",)))
    second = Filter(2, "b", folder_id=8, keywords=frozenset(("$seen",)), forward_to="bob@example.org")
    assert decide([first, second], facts()) == Filing(
        7, frozenset(("work", "$seen")), (Forward("bob@example.org", 2),)
    )  # fmt: skip
    assert decide([replace(first, stop=True), second], facts()) == Filing(7, frozenset(("work",)))
    assert decide([replace(first, enabled=False), second], facts()).folder_id == 8
    assert decide([replace(first, broken=True), second], facts()).folder_id == 8
    assert not decide([replace(first, conditions=(condition("subject", "is", "x"),))], facts())
    assert not decide([], facts())


def test_what_filters_do_is_bounded() -> None:
    many = [Filter(n, "x", forward_to=f"p{n}@example.org", keywords=frozenset(f"k{n}-{i}" for i in range(20)))
            for n in range(100)]  # fmt: skip
    found = decide(many, facts())
    assert len(found.forwards) == MAX_FORWARDS
    assert len(found.keywords) == 100


@pytest.mark.parametrize(
    ("about", "wanted"),
    [
        ("name", Filter(1, "  ", stop=True)),
        ("name", Filter(1, "a\0b", stop=True)),
        ("name", Filter(1, "x" * 201, stop=True)),
        ("folder", Filter(1, "does nothing")),
        ("keywords", Filter(1, "x", keywords=frozenset(("a b",)))),
        ("keywords", Filter(1, "x", keywords=frozenset(("$draft",)))),
        ("keywords", Filter(1, "x", keywords=frozenset(f"k{n}" for n in range(21)))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("subject", "domain", "a.b"),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("size", "contains", "a"),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("subject", "contains", " "),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("subject", "contains", "a\0"),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("subject", "contains", "a" * 201),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("from", "domain", "org"),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("attachment", "present", "x"),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("size", "larger", size=-1),))),
        ("conditions", Filter(1, "x", stop=True, conditions=(condition("attachment", "present"),) * 21)),
    ],
)
def test_what_cannot_be_stored(about: str, wanted: Filter) -> None:
    with pytest.raises(BadValue) as refused:
        check(wanted)
    assert refused.value.about == about


def test_what_is_stored() -> None:
    kept = check(Filter(1, "  The   plan ", keywords=frozenset(("Work",))))
    assert (kept.name, kept.keywords) == ("The plan", frozenset(("work",)))


# ---------------------------------------------------------------------- passing on

OWN = {"ann@example.org", "a.nn@example.org"}
BOB = Address.parse("bob@example.org")


@pytest.mark.parametrize(
    ("path", "fields", "refusal"),
    [
        ("you@example.net", "", None),
        ("you@example.net", "Auto-Submitted: no\r\n", None),
        ("you@example.net", "Auto-Submitted: auto-generated\r\n", None),
        ("you@example.net", "List-Id: <l>\r\n", None),
        ("you@example.net", "Delivered-To: you@example.net\r\n", None),
        (None, "", Outcome.AUTOMATIC),
        ("you@example.net", "Auto-Submitted: Auto-Replied (vacation); x=y\r\n", Outcome.AUTOMATIC),
        ("you@example.net", "Delivered-To: ANN@example.org\r\n", Outcome.LOOP),
        ("you@example.net", "Delivered-To: x@y.example\r\nDelivered-To: <a.nn@example.org>\r\n", Outcome.LOOP),
        ("you@example.net", "Delivered-To: bob@Example.org\r\n", Outcome.LOOP),
        ("you@example.net", "Received: from a by b; x\r\n" * 51, Outcome.LOOP),
        ("you@example.net", "Received: from a by mx.example.org; x\r\n" * 4, Outcome.LOOP),
        ("you@example.net", "Received: from a by mx.example.org; x\r\n" * 3, None),
    ],
)
def test_rfc3834_rfc9228_what_is_passed_on(path: str | None, fields: str, refusal: Outcome | None) -> None:
    header = parse_header(fields.encode() + b"Subject: x\r\n\r\n")
    assert refusal_of_message(header, path, OWN, BOB, "mx.example.org") is refusal


def test_rfc9228_a_copy_says_where_it_has_been_and_is_the_same_below() -> None:
    copy = passed_on(PLAIN, "Received: from a by b; x\r\n", Address.parse("Ann@Bücher.example"))
    assert copy == b"Delivered-To: ann@xn--bcher-kva.example\r\nReceived: from a by b; x\r\n" + PLAIN
    header = parse_header(copy)
    assert refusal_of_message(header, "x@y.example", {"ann@xn--bcher-kva.example"}, BOB, "h") is Outcome.LOOP


def target(mailbox: int, organisation: int = 1) -> MailboxTarget:
    return MailboxTarget(Place(organisation, mailbox, 1, None), BOB)


@pytest.mark.parametrize(
    ("resolution", "inside", "anywhere"),
    [
        (Resolved(1, 1, (target(5),)), None, None),
        (Resolved(1, 1, (target(5), target(6)), 9), None, None),
        (Resolved(1, 1, (target(4),)), Outcome.SAME_MAILBOX, Outcome.SAME_MAILBOX),
        (Resolved(1, 1, (target(5), target(4)), 9), Outcome.SAME_MAILBOX, Outcome.SAME_MAILBOX),
        (Resolved(1, 1, (target(5), OutsideTarget(BOB)), 9), Outcome.FORBIDDEN, None),
        (Resolved(2, 1, (target(4, 2),)), Outcome.FORBIDDEN, None),
        (Unresolved.NOT_OURS, Outcome.FORBIDDEN, None),
        (Unresolved.NO_SUCH_MAILBOX, Outcome.NO_SUCH_ADDRESS, Outcome.NO_SUCH_ADDRESS),
        (Unresolved.DISABLED, Outcome.NO_SUCH_ADDRESS, Outcome.NO_SUCH_ADDRESS),
    ],
)
def test_to_whom(resolution: Resolution, inside: Outcome | None, anywhere: Outcome | None) -> None:
    assert refusal_of_address(resolution, 1, 4, Forwarding.NONE) is Outcome.FORBIDDEN
    assert refusal_of_address(resolution, 1, 4, Forwarding.INSIDE) is inside
    assert refusal_of_address(resolution, 1, 4, Forwarding.ANYWHERE) is anywhere
