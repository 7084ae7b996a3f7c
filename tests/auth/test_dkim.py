"""DKIM: signing and verification, what is refused, what is doubted, and others' messages."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from auth_tools.checks import NOW, crlf, dkim, signed
from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.dkim import DkimDoubt, DkimVerdict
from everpost.auth.dkim_key import Algorithm, KeyProblem, KeyRefused, parse_key
from everpost.auth.dkim_sign import SigningKey, keys_in_use, new_signing_key
from everpost.auth.resolver import RecordType

RSA = new_signing_key("example.org", "r1", Algorithm.RSA_SHA256)
ED = new_signing_key("example.org", "e1", Algorithm.ED25519_SHA256)
ZONE = zone_of_texts({key.record_name: key.record for key in (RSA, ED)})
MESSAGE = crlf(
    "From: Ann <ann@example.org>\nTo: bob@example.com,\n  cy@example.com\nSubject:  Of  spaces \nDate: today\n"
    "Message-ID: <1@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain\n\nOne  line \nand another\n\n\n"
)


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
async def test_what_is_signed_verifies(key: SigningKey) -> None:
    message = signed(MESSAGE, key)
    (result,) = await dkim(message, ZONE)
    assert (result.verdict, result.doubts, result.reason) == (DkimVerdict.PASS, (), "")
    assert (result.domain, result.selector, result.identity) == ("example.org", key.selector, "@example.org")
    assert result.key_bits in (2048, 256)
    assert all(len(line) <= 78 for line in message.split(b"\r\n"))


@pytest.mark.parametrize("key", [RSA, ED], ids=["rsa", "ed25519"])
def test_others_accept_our_signatures(key: SigningKey) -> None:
    oracle = pytest.importorskip("dkim")
    if key is ED:
        pytest.importorskip("nacl", reason="dkimpy needs PyNaCl for Ed25519")
    message = signed(MESSAGE, key, lifetime=10**9, identity="ann@example.org")
    assert oracle.verify(message, dnsfunc=lambda name, timeout=5: key.record.encode("ascii"))


@pytest.mark.parametrize("forms", ["simple/simple", "relaxed/simple", "simple/relaxed", "relaxed/relaxed"])
async def test_others_signatures_are_accepted(forms: str) -> None:
    oracle = pytest.importorskip("dkim")
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    header, body = forms.encode("ascii").split(b"/")
    pem = RSA.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    field = oracle.sign(MESSAGE, b"r1", b"example.org", pem, canonicalize=(header, body), length=True)
    (result,) = await dkim(field + MESSAGE, ZONE, time.time())
    assert result.verdict is DkimVerdict.PASS, result
    assert result.doubts == (DkimDoubt.LENGTH_GIVEN,)
    (result,) = await dkim(field + MESSAGE + b"added\r\n", ZONE, time.time())
    assert result.verdict is DkimVerdict.PASS
    assert result.doubts == (DkimDoubt.BODY_LIMITED,)
    assert result.signed_octets < result.body_octets


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"another", b"an0ther", "body"),
        (b"Subject:  Of", b"Subject:  On", "header"),
        (b"From: Ann", b"From: Eve", "header"),
        (b"From: Ann", b"From: eve@example.net\r\nFrom: Ann", "header"),
        (b"MIME-Version", b"Reply-To: eve@example.net\r\nMIME-Version", "header"),
    ],
)
async def test_changes_are_found(old: bytes, new: bytes, reason: str) -> None:
    (result,) = await dkim(signed(MESSAGE, RSA).replace(old, new), ZONE)
    assert result.verdict is DkimVerdict.FAIL
    assert reason in result.reason


async def test_relaxed_forgives_white_space_and_folding() -> None:
    message = signed(MESSAGE, RSA).replace(b"One  line ", b"One\tline").replace(b",\r\n  cy", b", cy")
    (result,) = await dkim(message, ZONE)
    assert result.verdict is DkimVerdict.PASS


def resigned(**tags: str) -> bytes:
    """A signed message whose signature says something else."""
    message = signed(MESSAGE, RSA)
    for name, value in tags.items():
        message = re.sub(
            rb"([ \t:])%s=[^;]*" % name.encode(), rb"\1%s=%s" % (name.encode(), value.encode()), message, count=1
        )
    return message


@pytest.mark.parametrize(
    ("message", "verdict", "reason"),
    [
        (resigned(a="rsa-sha1"), DkimVerdict.PERMERROR, "rsa-sha1"),
        (resigned(a="rsa-md5"), DkimVerdict.NEUTRAL, "a="),
        (resigned(v="2"), DkimVerdict.NEUTRAL, "v="),
        (resigned(h="to:subject"), DkimVerdict.NEUTRAL, "From"),
        (resigned(c="loose"), DkimVerdict.NEUTRAL, "c="),
        (resigned(bh="???"), DkimVerdict.NEUTRAL, "bh="),
        (resigned(d="-"), DkimVerdict.NEUTRAL, "d="),
        (resigned(s="a b.."), DkimVerdict.NEUTRAL, "s="),
        (resigned(t="1; t=2"), DkimVerdict.NEUTRAL, "t= is there twice"),
        (resigned(t="200; x=100"), DkimVerdict.NEUTRAL, "x="),
        (resigned(t="1; x=2"), DkimVerdict.FAIL, "expired"),
        (resigned(t="1; l=99999"), DkimVerdict.PERMERROR, "l="),
        (resigned(t="1; i=ann@example.com"), DkimVerdict.NEUTRAL, "i="),
        (resigned(t="1; q=http"), DkimVerdict.NEUTRAL, "q="),
        (resigned(s="none"), DkimVerdict.PERMERROR, "no key"),
        (resigned(s="e1"), DkimVerdict.PERMERROR, "not rsa"),
        (b"DKIM-Signature: \xff;;\r\n" + MESSAGE, DkimVerdict.NEUTRAL, ""),
    ],
)
async def test_what_is_refused(message: bytes, verdict: DkimVerdict, reason: str) -> None:
    (result,) = await dkim(message, ZONE)
    assert result.verdict is verdict, result
    assert reason in result.reason


async def test_no_answer_is_temporary() -> None:
    zone = Zone(dead={RSA.record_name: frozenset((RecordType.TXT,))})
    (result,) = await dkim(signed(MESSAGE, RSA), zone)
    assert result.verdict is DkimVerdict.TEMPERROR
    assert "time-out" in result.reason


async def test_no_signature_and_too_many() -> None:
    assert await dkim(MESSAGE, ZONE) == ()
    field = signed(MESSAGE, ED)[: -len(MESSAGE)]
    results = await dkim(field * 30 + MESSAGE, ZONE)
    assert len(results) == 10
    assert {result.verdict for result in results} == {DkimVerdict.PASS}


async def test_doubts() -> None:
    zone = zone_of_texts({RSA.record_name: RSA.record + "; t=y"})
    (result,) = await dkim(signed(MESSAGE, RSA), zone, NOW.timestamp() - 3600)
    assert result.doubts == (DkimDoubt.TESTING, DkimDoubt.FUTURE)
    short = SigningKey("example.org", "r1", generate_private_key(public_exponent=65537, key_size=1024))
    (result,) = await dkim(signed(MESSAGE, short), zone_of_texts({short.record_name: short.record}))
    assert (result.verdict, result.doubts) == (DkimVerdict.PASS, (DkimDoubt.SHORT_KEY,))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", KeyProblem.SYNTAX),
        ("v=DKIM2; p=AA==", KeyProblem.SYNTAX),
        ("p=AA==; v=DKIM1", KeyProblem.SYNTAX),
        ("v=DKIM1; k=rsa", KeyProblem.SYNTAX),
        ("v=DKIM1; p=", KeyProblem.REVOKED),
        ("v=DKIM1; k=dsa; p=AA==", KeyProblem.UNSUITABLE),
        ("v=DKIM1; h=sha1; p=AA==", KeyProblem.UNSUITABLE),
        ("v=DKIM1; s=tlsrpt; p=AA==", KeyProblem.UNSUITABLE),
        ("v=DKIM1; p=AA==", KeyProblem.SYNTAX),
        ("v=DKIM1; p=!!", KeyProblem.SYNTAX),
        (
            # 512 bits
            "v=DKIM1; p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKnRXDhgfnJPiw/FGcRtPOBiZc59QcCHmVyZ8Yck4/SVtY2lqxJbWGtJ"
            "Y8ZHwVMNwYoX7w0HqRSrNR0yU9Z+FSUCAwEAAQ==",
            KeyProblem.WEAK,
        ),
    ],
)
def test_keys_that_are_refused(text: str, problem: KeyProblem) -> None:
    with pytest.raises(KeyRefused) as refused:
        parse_key(text, Algorithm.RSA_SHA256)
    assert refused.value.problem is problem


async def test_wildcard_record_beside_the_key() -> None:
    zone = zone_of_texts({RSA.record_name: ["v=spf1 -all", RSA.record]})
    (result,) = await dkim(signed(MESSAGE, RSA), zone)
    assert result.verdict is DkimVerdict.PASS


def test_rotation() -> None:
    day = timedelta(days=1)
    old = replace(RSA, selector="old", retired_at=NOW + day)
    new = replace(RSA, selector="new", active_from=NOW)
    coming = replace(RSA, selector="coming", active_from=NOW + 30 * day)
    keys = (coming, old, new, ED, replace(ED, domain="example.com"))
    assert [key.selector for key in keys_in_use(keys, "Example.org", NOW - day)] == ["old", "e1"]
    assert [key.selector for key in keys_in_use(keys, "example.org", NOW)] == ["new", "e1"]
    assert [key.selector for key in keys_in_use(keys, "example.org", NOW + 40 * day)] == ["coming", "e1"]
    assert keys_in_use(keys, "example.net", NOW) == ()
