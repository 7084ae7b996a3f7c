"""DMARC: records, the tree walk, alignment, whose policy counts, forwarders that are believed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.arc import ArcResult, ArcSealer, ArcVerdict
from everpost.auth.dkim import DkimResult, DkimVerdict
from everpost.auth.dmarc import DmarcResult, DmarcVerdict, Override, author_domains, check_dmarc, walk
from everpost.auth.dmarc_record import Alignment, Policy, Suffix, parse_record
from everpost.auth.resolver import RecordType
from everpost.auth.spf import SpfIdentity, SpfResult, SpfVerdict
from everpost.mail.header import parse_header

TXT = frozenset((RecordType.TXT,))


def spf(domain: str, verdict: SpfVerdict = SpfVerdict.PASS) -> SpfResult:
    return SpfResult(verdict, SpfIdentity.MAIL_FROM, domain)


def dkim(domain: str, verdict: DkimVerdict = DkimVerdict.PASS) -> DkimResult:
    return DkimResult(verdict, domain=domain)


NO_SPF = spf("", SpfVerdict.NONE)


def zone(records: Mapping[str, str]) -> Zone:
    return zone_of_texts({f"_dmarc.{name}": text for name, text in records.items()})


async def check(
    author: str, found: Zone, *passed: DkimResult, mail_from: SpfResult = NO_SPF, **options: object
) -> DmarcResult:
    header = parse_header(f"From: Ann <ann@{author}>\r\n\r\n".encode())
    return await check_dmarc(header, mail_from, passed, found, **options)  # type: ignore[arg-type]


def test_record() -> None:
    record = parse_record(
        "v=DMARC1; p=reject; sp=quarantine; np=none; adkim=s; aspf=r; psd=n; t=y; pct=20; "
        "rua=mailto:a@example.org, mailto:b@example.org!10m,nonsense; ruf=mailto:f@example.org; fo=1:d; other=x"
    )
    assert record is not None
    assert (record.policy, record.subdomains, record.missing) == (Policy.REJECT, Policy.QUARANTINE, Policy.NONE)
    assert (record.dkim, record.spf, record.suffix) == (Alignment.STRICT, Alignment.RELAXED, Suffix.NO)
    assert record.testing
    assert record.valid
    assert record.percent == 20
    assert record.aggregate == ("mailto:a@example.org", "mailto:b@example.org!10m")
    assert (record.failure, record.failure_options) == (("mailto:f@example.org",), "1:d")


@pytest.mark.parametrize("text", ["", "v=DMARC2; p=none", "v=dmarc1; p=none", "p=none; v=DMARC1", "v=DMARC11; p=none"])
def test_no_record(text: str) -> None:
    assert parse_record(text) is None


@pytest.mark.parametrize("text", ["v=DMARC1", "v=DMARC1; p=all", "v=DMARC1; p=none; sp=x", "v = DMARC1 ;p=none; np="])
def test_invalid_policy(text: str) -> None:
    record = parse_record(text)
    assert record is not None
    assert (record.valid, record.policy) == (False, Policy.NONE)


async def test_walk_skips_to_seven_labels() -> None:
    """RFC 9989 §4.10: eight questions at most."""
    found = Zone()
    await walk("a.b.c.d.e.f.g.h.i.example.com", found)
    assert [name for name, _ in found.asked] == [
        "_dmarc.a.b.c.d.e.f.g.h.i.example.com",
        "_dmarc.e.f.g.h.i.example.com",
        "_dmarc.f.g.h.i.example.com",
        "_dmarc.g.h.i.example.com",
        "_dmarc.h.i.example.com",
        "_dmarc.i.example.com",
        "_dmarc.example.com",
        "_dmarc.com",
    ]


@pytest.mark.parametrize(
    ("domain", "records", "organisation"),
    [
        ("example.com", {}, "example.com"),
        ("a.mail.example.com", {"example.com": "p=none", "mail.example.com": "p=none"}, "example.com"),
        ("a.mail.example.com", {"example.com": "p=none", "mail.example.com": "p=none; psd=n"}, "mail.example.com"),
        ("a.giant.bank.example", {"bank.example": "p=reject; psd=y"}, "giant.bank.example"),
        ("bank.example", {"bank.example": "p=reject; psd=y"}, "bank.example"),
        ("x.example.com", {"x.example.com": "p=none"}, "x.example.com"),
    ],
)
async def test_organisational_domain(domain: str, records: dict[str, str], organisation: str) -> None:
    found = zone({name: f"v=DMARC1; {text}" for name, text in records.items()})
    assert (await walk(domain, found)).organisation == organisation


async def test_several_records_are_none() -> None:
    found = zone_of_texts({"_dmarc.example.com": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]})
    assert (await check("example.com", found)).verdict is DmarcVerdict.NONE
    beside = zone_of_texts({"_dmarc.example.com": ["v=DMARC1; p=reject", "hello"]})
    assert (await check("example.com", beside)).disposition is Policy.REJECT


EXAMPLE = zone({"example.com": "v=DMARC1; p=reject"})
STRICT = zone({"example.com": "v=DMARC1; p=reject; adkim=s; aspf=s"})


@pytest.mark.parametrize(
    ("author", "records", "signer", "verdict"),
    [
        ("example.com", EXAMPLE, "example.com", DmarcVerdict.PASS),
        ("example.com", EXAMPLE, "mail.example.com", DmarcVerdict.PASS),
        ("news.example.com", EXAMPLE, "mail.example.com", DmarcVerdict.PASS),
        ("Example.COM", EXAMPLE, "EXAMPLE.com", DmarcVerdict.PASS),
        ("example.com", EXAMPLE, "example.net", DmarcVerdict.FAIL),
        ("example.com", EXAMPLE, "notexample.com", DmarcVerdict.FAIL),
        ("example.com", STRICT, "example.com", DmarcVerdict.PASS),
        ("example.com", STRICT, "mail.example.com", DmarcVerdict.FAIL),
        ("news.example.com", STRICT, "example.com", DmarcVerdict.FAIL),
    ],
)
async def test_alignment(author: str, records: Zone, signer: str, verdict: DmarcVerdict) -> None:
    by_dkim = await check(author, records, dkim(signer))
    by_spf = await check(author, records, mail_from=spf(signer))
    assert (by_dkim.verdict, by_spf.verdict) == (verdict, verdict)
    if verdict is DmarcVerdict.PASS:
        assert by_dkim.aligned == (f"dkim:{signer}",)
        assert by_spf.aligned == (f"spf:{signer}",)


async def test_neighbours_below_a_public_suffix_are_not_aligned() -> None:
    found = zone({"bank.example": "v=DMARC1; p=reject; psd=y", "a.bank.example": "v=DMARC1; p=reject"})
    result = await check("a.bank.example", found, dkim("b.bank.example"))
    assert (result.verdict, result.organisation) == (DmarcVerdict.FAIL, "a.bank.example")


async def test_only_what_passed_counts() -> None:
    result = await check(
        "example.com", EXAMPLE, dkim("example.com", DkimVerdict.FAIL), mail_from=spf("example.com", SpfVerdict.SOFTFAIL)
    )
    assert (result.verdict, result.policy, result.disposition) == (DmarcVerdict.FAIL, Policy.REJECT, Policy.REJECT)


@pytest.mark.parametrize(
    ("author", "record", "exists", "policy"),
    [
        ("example.com", "p=reject; sp=none", True, Policy.REJECT),
        ("a.example.com", "p=reject; sp=none", True, Policy.NONE),
        ("a.example.com", "p=quarantine", True, Policy.QUARANTINE),
        ("a.example.com", "p=none; sp=none; np=reject", True, Policy.NONE),
        ("a.example.com", "p=none; sp=none; np=reject", False, Policy.REJECT),
        ("a.example.com", "p=quarantine; np=reject", False, Policy.REJECT),
    ],
)
async def test_policy_of_subdomains(author: str, record: str, exists: bool, policy: Policy) -> None:
    found = zone({"example.com": f"v=DMARC1; {record}"})
    if exists:
        found.names[author] = {RecordType.A: ["192.0.2.1"]}
    result = await check(author, found)
    assert (result.verdict, result.policy, result.disposition) == (DmarcVerdict.FAIL, policy, policy)


async def test_policy_of_a_public_suffix() -> None:
    found = zone({"bank.example": "v=DMARC1; p=none; sp=quarantine; psd=y"})
    result = await check("a.bank.example", found)
    assert (result.policy_domain, result.policy) == ("bank.example", Policy.QUARANTINE)


@pytest.mark.parametrize(("policy", "weaker"), [("reject", Policy.QUARANTINE), ("quarantine", Policy.NONE)])
async def test_testing_weakens_by_one(policy: str, weaker: Policy) -> None:
    result = await check("example.com", zone({"example.com": f"v=DMARC1; p={policy}; t=y"}))
    assert (result.policy, result.disposition, result.override) == (Policy(policy), weaker, Override.TESTING)


async def test_percentage_changes_nothing() -> None:
    """RFC 9989 has done away with it."""
    result = await check("example.com", zone({"example.com": "v=DMARC1; p=reject; pct=0"}))
    assert result.disposition is Policy.REJECT


async def test_invalid_record_with_and_without_reports() -> None:
    """RFC 9989 §4.10.1."""
    without = await check("example.com", zone({"example.com": "v=DMARC1; p=all"}))
    assert without.verdict is DmarcVerdict.PERMERROR
    reports = await check("example.com", zone({"example.com": "v=DMARC1; p=all; rua=mailto:r@example.com"}))
    assert (reports.verdict, reports.disposition) == (DmarcVerdict.FAIL, Policy.NONE)


async def test_no_answer_is_temporary() -> None:
    dead = Zone(dead={"_dmarc.example.com": TXT})
    assert (await check("example.com", dead)).verdict is DmarcVerdict.TEMPERROR
    above = Zone({"_dmarc.a.example.com": {RecordType.TXT: ["v=DMARC1; p=reject"]}}, dead={"_dmarc.example.com": TXT})
    assert (await check("a.example.com", above, dkim("a.example.com"))).verdict is DmarcVerdict.PASS
    assert (await check("a.example.com", above, dkim("b.example.com"))).verdict is DmarcVerdict.TEMPERROR
    silent = Zone({"_dmarc.example.com": {RecordType.TXT: ["v=DMARC1; p=reject"]}}, dead={"_dmarc.eve.com": TXT})
    stranger = await check("example.com", silent, dkim("eve.com"))
    assert stranger.disposition is Policy.REJECT, "a stranger's dead DNS must not save him"
    key = await check("example.com", EXAMPLE, dkim("mail.example.com", DkimVerdict.TEMPERROR))
    assert (key.verdict, key.disposition) == (DmarcVerdict.TEMPERROR, Policy.NONE)
    foreign = await check("example.com", EXAMPLE, dkim("example.net", DkimVerdict.TEMPERROR))
    assert foreign.verdict is DmarcVerdict.FAIL


@pytest.mark.parametrize(
    "fields",
    [
        "",
        "From: nobody\r\n",
        "From: undisclosed:;\r\n",
        "From: a@[192.0.2.1]\r\n",
        "From: a@example.com, b@example.net\r\n",
        "From: a@example.com\r\nFrom: b@example.net\r\n",
        "From: a@example.com, b\r\n",
        "From: a@exa..mple.com\r\n",
    ],
)
async def test_no_single_author(fields: str) -> None:
    result = await check_dmarc(parse_header(f"{fields}\r\n".encode()), spf("example.com"), (), EXAMPLE)
    assert result.verdict is DmarcVerdict.PERMERROR
    assert result.reason


def test_authors_are_named_as_the_dns_does() -> None:
    header = parse_header("From: Ä <a@BÜCHER.example>, b@bücher.example\r\n\r\n".encode())
    assert author_domains(header) == ("xn--bcher-kva.example",)


def chain(*sealers: tuple[str, str], covers_from: bool = True, verdict: ArcVerdict = ArcVerdict.PASS) -> ArcResult:
    found = tuple(ArcSealer(n, domain, "s", text.encode()) for n, (domain, text) in enumerate(sealers, 1))
    return ArcResult(verdict, found, covers_from=covers_from)


PASSED = "mx.list.example; dmarc=pass header.from=example.com"
TRUSTED = frozenset(("list.example", "relay.example"))


@pytest.mark.parametrize(
    ("seen", "believed"),
    [
        (chain(("list.example", PASSED)), True),
        (chain(("list.example", PASSED), ("relay.example", "r; dmarc=fail")), True),
        (chain(("relay.example", "r; dmarc=fail"), ("list.example", PASSED)), True),
        (chain(("list.example", PASSED), ("eve.example", "e; arc=pass")), False),
        (chain(("eve.example", PASSED)), False),
        (chain(("list.example", "l; dmarc=fail header.from=example.com")), False),
        (chain(("list.example", "l; dmarc=pass header.from=example.net")), False),
        (chain(("list.example", "l; spf=pass")), False),
        (chain(("list.example", "((")), False),
        (chain(("list.example", PASSED), covers_from=False), False),
        (chain(("list.example", PASSED), verdict=ArcVerdict.FAIL), False),
        (ArcResult(ArcVerdict.NONE), False),
    ],
)
async def test_trusted_forwarders(seen: ArcResult, believed: bool) -> None:
    result = await check("example.com", EXAMPLE, arc=seen, trusted_sealers=TRUSTED)
    assert result.verdict is DmarcVerdict.FAIL
    assert result.policy is Policy.REJECT
    assert result.disposition is (Policy.NONE if believed else Policy.REJECT)
    assert (result.override is Override.TRUSTED_FORWARDER) == believed
