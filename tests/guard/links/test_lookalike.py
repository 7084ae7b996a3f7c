"""Look-alike domains: what must be seen, and what must be left alone."""

from __future__ import annotations

import random
import time

import pytest

from everpost.guard.links.lookalike import Protected, ProtectedDomain, ProtectedKind, brands, lookalike
from everpost.guard.links.skeleton import is_mixed, skeleton

BRANDS, GENUINE = brands()
PROTECTED = Protected(
    [
        *BRANDS,
        ProtectedDomain("kestrel-avionics.example", ProtectedKind.OWN),
        ProtectedDomain("holm.example", ProtectedKind.PARTNER),
    ],
    GENUINE,
)


@pytest.mark.parametrize(
    ("host", "kind", "domain"),
    [
        ("рaypal.com", "confusable", "paypal.com"),
        ("xn--pypal-4ve.com", "confusable", "paypal.com"),
        ("www.gооgle.com", "confusable", "google.com"),
        ("päypal.com", "confusable", "paypal.com"),
        ("paypa1.com", "homoglyph", "paypal.com"),
        ("rnicrosoft.com", "homoglyph", "microsoft.com"),
        ("micr0soft.net", "homoglyph", "microsoft.com"),
        ("arnazon.com", "homoglyph", "amazon.com"),
        ("faceb00k.com", "homoglyph", "facebook.com"),
        ("paypal.xyz", "other_suffix", "paypal.com"),
        ("pay-pal.com", "hyphen", "paypal.com"),
        ("kestrelavionics.example", "hyphen", "kestrel-avionics.example"),
        ("microsft.com", "typo", "microsoft.com"),
        ("mircosoft.com", "typo", "microsoft.com"),
        ("linkeddin.com", "typo", "linkedin.com"),
        ("docusiqn.com", "typo", "docusign.com"),
        ("paypal-login.com", "affix", "paypal.com"),
        ("login.secure-paypa1.com", "affix", "paypal.com"),
        ("paypallogin.com", "affix", "paypal.com"),
        ("kestrel-avionics-invoices.com", "affix", "kestrel-avionics.example"),
        ("paypal.com.evil.example", "subdomain", "paypal.com"),
        ("a.paypal-com.evil.example", "subdomain", "paypal.com"),
        ("paypal.com-login.example", "subdomain", "paypal.com"),
    ],
)
def test_seen(host: str, kind: str, domain: str) -> None:
    likeness = lookalike(host, PROTECTED)
    assert likeness is not None
    assert (likeness.kind, likeness.protected.domain) == (kind, domain)
    assert domain in likeness.evidence


@pytest.mark.parametrize(
    "host",
    [
        "paypal.com", "www.paypal.com", "amazon.co.uk", "microsoft.github.io", "bücher.example", "192.0.2.1", "com",
        "paypay.ne.jp", "grapple.com", "offices.example", "apples.com", "holm-group.example",
        "github.community.example",        "example-com.mail.protection.outlook.com",
        "paypal-com.20230601.gappssmtp.com", "москва.рф", "microscope.com",
        "notion.so", "gitlab.com", "x" * 63 + ".com", "", "a..b", "xn--.com", "holms.example",
    ],
)  # fmt: skip
def test_left_alone(host: str) -> None:
    assert lookalike(host, PROTECTED) is None


def test_skeletons() -> None:
    assert skeleton("pаypаl") == skeleton("paypal") == skeleton("PAYPA1")
    assert skeleton("ñandú") == "nandu"
    assert skeleton("modern") == skeleton("modem")


def test_mixed_scripts() -> None:
    assert is_mixed("pаypal")
    assert not is_mixed("паypal".replace("ypal", ""))
    assert not is_mixed("日本go")
    assert not is_mixed("bücher")


def test_ten_thousand_are_no_slower() -> None:
    chance = random.Random(1)
    names = ["".join(chance.choices("abdefghjkmopstuxyz", k=chance.randint(5, 14))) for _ in range(10_000)]
    many = Protected(ProtectedDomain(f"{name}.com", ProtectedKind.PARTNER) for name in names)
    started = time.process_time()
    for name in names[:1000]:
        assert lookalike(f"{name}.com", many) is None
        assert lookalike(f"{name}-login.com", many) is not None
    assert time.process_time() - started < 1
