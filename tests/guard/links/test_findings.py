"""Findings: one table of links and what is said of them; QR codes from real pictures."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from everpost.guard.links.find import find_links
from everpost.guard.links.findings import LinkContext, judge_links
from everpost.guard.links.linklist import LinkList, read_entry
from everpost.guard.links.lookalike import Protected, brands
from everpost.guard.links.model import LinkFindingKind
from everpost.guard.links.qr import QrLimits, find_qr

CONTEXT = LinkContext(
    Protected(*brands()),
    blocked=(LinkList("local", [read_entry("bad.example")]),),
    allowed=(LinkList("allowed", [read_entry("fine.example")]),),
    own_hosts=frozenset(("mail.ours.example",)),
)


def kinds(markup: str) -> set[str]:
    return {finding.kind.value for finding in judge_links(find_links([], [markup]).links, CONTEXT)}


def href(url: str, shown: str = "x") -> str:
    return f'<a href="{url}">{shown}</a>'


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        (href("https://e.example/"), set()),
        (href("https://e.example/", "https://www.paypal.com/login"), {"shown_protected_domain"}),
        (href("https://e.example/", "www.shop.com"), {"shown_other_domain"}),
        (href("https://e.example/", "shop.com"), {"shown_other_domain"}),
        (href("https://www.shop.com/x", "shop.com/other"), set()),
        (href("https://e.example/", "see README.md"), set()),
        (href("https://e.example/", "README.md"), set()),
        (href("https://e.example/", "me@shop.com"), set()),
        (href("https://www.google.com/url?q=http://shop.com/", "shop.com"), {"redirector"}),
        (href("https://paypal.com@e.example/"), {"userinfo"}),
        (href("http://192.0.2.1/"), {"ip_host"}),
        (href("http://3221225985/"), {"ip_host", "odd_ip_host"}),
        (href("https://bücher.example/"), {"punycode"}),
        (href("https://рaypal.com/"), {"punycode", "mixed_script", "lookalike"}),
        (href("https://e\u200bvil.example/"), {"hidden_characters"}),
        (href("https://paypal.com.e.example/"), {"subdomain_trick"}),
        (href("https://paypal-login.com/"), {"lookalike"}),
        (href("https://www.bad.example/"), {"listed"}),
        (href("https://t.example/?url=https://bad.example/"), {"listed"}),
        (href("https://fine.example:4444/a.exe"), set()),
        (href("https://mail.ours.example:4444/a.exe"), set()),
        (href("data:text/html,x"), {"data_uri"}),
        (href("JavaScript:x()"), {"javascript_uri"}),
        (href("file://server/share/x"), {"risky_scheme"}),
        (href("ms-msdt:/id"), {"risky_scheme"}),
        (href("https://e.example/a/b.ISO?x"), {"executable_target"}),
        (href("https://e.example/x.tar.gz"), {"archive_target"}),
        (href("https://lists.example/listinfo/users_e.com"), set()),
        (href("https://shop.com/", "https://www.google.com/url?q=https://shop.com/"), set()),
        (href("https://e.example:4444/"), {"odd_port"}),
        (href("https://bit.ly/x"), {"shortener"}),
        (href("https://x.pages.dev/"), {"free_hosting"}),
        ("hxxp://e[.]com/x", {"defanged"}),
        ('<img src="https://bit.ly/x.exe">', set()),
        ('<img src="https://bad.example/x.gif">', {"listed"}),
    ],
)
def test_findings(markup: str, expected: set[str]) -> None:
    assert kinds(markup) == expected


def test_truncation_is_a_finding() -> None:
    (finding,) = judge_links([], truncated=True)
    assert finding.kind is LinkFindingKind.TOO_MANY


def png(content: str, scale: int = 4) -> bytes:
    code = zxingcpp.create_barcode(content, zxingcpp.BarcodeFormat.QRCode).to_image(scale=scale)
    out = BytesIO()
    Image.fromarray(code).save(out, "PNG")
    return out.getvalue()


def test_qr_codes_are_read() -> None:
    found = find_qr([png("https://e.example/qr"), b"no picture", b"", png("text")])
    assert found.payloads == ("https://e.example/qr", "text")
    assert found.skipped == 2
    (finding,) = judge_links(find_links([], qr_payloads=found.payloads).links)
    assert finding.kind is LinkFindingKind.QR_LINK


def test_qr_codes_on_transparent_and_inverted_grounds() -> None:
    code = Image.open(BytesIO(png("https://e.example/")))
    clear = Image.new("RGBA", code.size, (0, 0, 0, 0))
    clear.paste((0, 0, 0, 255), mask=code.point(lambda grey: 255 - grey))
    for picture in (clear, code.point(lambda grey: 255 - grey), code.rotate(90), code.convert("P")):
        out = BytesIO()
        picture.save(out, "PNG")
        assert find_qr([out.getvalue()]).payloads == ("https://e.example/",)


def bomb(width: int, height: int) -> bytes:
    """A PNG that claims to be huge."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


def test_huge_and_torn_pictures_are_passed_over() -> None:
    torn = png("https://e.example/")[:200]
    assert find_qr([bomb(100_000, 100_000), bomb(10, 10), bomb(500, 500), torn]).skipped == 4
    many = [png(f"https://e.example/{number}") for number in range(5)]
    found = find_qr(many, QrLimits(images=3, codes=2))
    assert len(found.payloads) == 2
    assert find_qr(many, QrLimits(pixels=100)).skipped == 5


def test_the_page_explains_every_finding() -> None:
    page = (Path(__file__).parents[3] / "docs" / "guard-links.md").read_text("utf-8")
    assert [kind for kind in LinkFindingKind if f"`{kind}`" not in page] == []
