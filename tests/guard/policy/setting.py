"""Messages as rules see them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address

from everpost.guard.case import Case, Reader
from everpost.guard.contents import read_contents
from everpost.guard.model import Way
from everpost.guard.policy.document import read_policy
from everpost.guard.policy.evaluate import RuleBook
from everpost.guard.policy.facts import Facts
from everpost.guard.verdict import Policy, judge
from everpost.mail.address import Address
from everpost.mail.header import parse_header

MESSAGE = (
    b"From: Cora <Cora@partner.example>\r\nTo: anna@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from the fair\r\n"
    b'X-Mailer: Blaster 9\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\nThe invoice is attached.\r\n'
    b'--b\r\nContent-Type: application/pdf; name="Invoice_7.PDF"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b"JVBERg==\r\n--b--\r\n"
)
GROUPS = {"sales": 7, "board": 8}
ANNA = Reader(1, 11, frozenset({"anna@example.org", "info@example.org"}), frozenset({7}))
BEN = Reader(1, 12, frozenset({"ben@example.org"}))
MONDAY = datetime(2026, 3, 2, 7, 30, tzinfo=UTC)


def case(content: bytes = MESSAGE, way: Way = Way.INBOUND, readers: tuple[Reader, ...] = (ANNA, BEN), **more) -> Case:
    header = parse_header(content)
    made = Case(
        way, ip_address("192.0.2.9"), "mail.partner.example", None, Address.parse("bounce@lists.partner.example"), (),
        frozenset({1}), frozenset({"example.org"}), header, len(content), more.pop("at", MONDAY), lambda: (content,),
        readers=readers, **more,
    )  # fmt: skip
    made.contents = read_contents(content, header)
    return made


def facts(content: bytes = MESSAGE, signals=(), country: str = "", **more) -> Facts:
    made = case(content, **more)
    return Facts(made, judge(signals, made.way, Policy()), country)


def book(text: str) -> RuleBook:
    return RuleBook(read_policy(text.encode()), GROUPS)


def rule(condition: str, more: str = "") -> RuleBook:
    return book(f'[[rule]]\nid = "r"\nstate = "on"\nwhen = [{condition}]\ndo = [{{ do = "quarantine" }}]\n{more}')
