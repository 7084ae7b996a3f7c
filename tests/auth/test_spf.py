"""SPF: what the suite of others does not ask."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.resolver import RecordType
from everpost.auth.spf import SpfIdentity, SpfVerdict, check_helo, check_mail_from
from everpost.auth.spf_record import SpfSyntaxError, is_spf, parse_macros, parse_record

HERE = IPv4Address("192.0.2.1")


async def test_evidence() -> None:
    zone = zone_of_texts({"example.org": "v=spf1 ip4:192.0.2.0/24 -all"})
    found = await check_mail_from(HERE, "ann@Example.ORG", "mx.example.org", zone)
    assert (found.verdict, found.identity, found.domain) == (SpfVerdict.PASS, SpfIdentity.MAIL_FROM, "example.org")
    assert found.mechanism == "ip4:192.0.2.0/24"
    assert "192.0.2.1 matches" in found.reason


async def test_null_path_and_helo_take_the_helo_name() -> None:
    zone = zone_of_texts({"mx.example.org": "v=spf1 -all exp=why.example.org", "why.example.org": "%{s} may not"})
    for found in (
        await check_mail_from(HERE, "", "mx.example.org", zone),
        await check_helo(HERE, "mx.example.org", zone),
    ):
        assert (found.verdict, found.explanation) == (SpfVerdict.FAIL, "postmaster@mx.example.org may not")
    assert (await check_helo(HERE, "[192.0.2.1]", zone)).verdict is SpfVerdict.NONE


async def test_mapped_address_is_ipv4() -> None:
    zone = zone_of_texts({"example.org": "v=spf1 ip4:192.0.2.1 -all"})
    found = await check_mail_from(IPv6Address("::ffff:192.0.2.1"), "a@example.org", "h", zone)
    assert found.verdict is SpfVerdict.PASS


async def test_unicode_domains_are_asked_for_by_their_a_labels() -> None:
    zone = zone_of_texts({"xn--bcher-kva.example": "v=spf1 ip4:192.0.2.1 -all"})
    assert (await check_mail_from(HERE, "a@Bücher.example", "h", zone)).verdict is SpfVerdict.PASS
    assert (await check_mail_from(HERE, "a@\udcff.example", "h", zone)).verdict is SpfVerdict.NONE


async def test_no_answer_is_temporary_wherever_it_is_missing() -> None:
    dead = {name: frozenset(RecordType) for name in ("dead.example", "_spf.example.org")}
    for record in ("include:dead.example", "a:dead.example", "mx:dead.example", "exists:dead.example"):
        zone = Zone({"example.org": {RecordType.TXT: [f"v=spf1 {record} -all"]}}, dead)
        found = await check_mail_from(HERE, "a@example.org", "h", zone)
        assert found.verdict is SpfVerdict.TEMPERROR, record
        assert "dead.example" in found.reason


async def test_loop_ends() -> None:
    zone = zone_of_texts({"example.org": "v=spf1 include:example.org -all"})
    found = await check_mail_from(HERE, "a@example.org", "h", zone)
    assert (found.verdict, found.lookups) == (SpfVerdict.PERMERROR, 11)
    assert len(zone.asked) == 11


async def test_explanation_is_bounded() -> None:
    zone = zone_of_texts({"example.org": "v=spf1 -all exp=e.example.org", "e.example.org": "x" * 5000})
    assert len((await check_mail_from(HERE, "a@example.org", "h", zone)).explanation) == 500


@pytest.mark.parametrize("text", ["v=spf1", "V=SPF1 -all", "v=spf1  mx"])
def test_is_spf(text: str) -> None:
    assert is_spf(text)
    parse_record(text)


@pytest.mark.parametrize("text", ["v=spf10 -all", "v=spf1-all", "spf2.0/pra", ""])
def test_is_not_spf(text: str) -> None:
    assert not is_spf(text)


@pytest.mark.parametrize(
    "term",
    ["a:", "all:x", "ip4:192.0.2.1/33", "ip4:192.0.2.01", "ip6:::1%eth0", "a/33", "a//129", "exists", "include:x", "x",
     "redirect=", "redirect=a.example redirect=a.example", "a:%{x}.example", "a:%{d0}.example", "a:b c.", "é"],
)  # fmt: skip
def test_syntax_errors(term: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parse_record(f"v=spf1 {term} -all")


def test_records_are_bounded() -> None:
    with pytest.raises(SpfSyntaxError):
        parse_record("v=spf1 " + "a " * 501)
    with pytest.raises(SpfSyntaxError):
        parse_record("v=spf1 x=" + "a" * 20_000)


def test_explanations_have_more_letters() -> None:
    assert parse_macros("%{c} at %{t}", explanation=True)
    with pytest.raises(SpfSyntaxError):
        parse_macros("%{c}")
