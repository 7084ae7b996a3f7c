"""Links: found in text and HTML, judged, rewritten; lists and time-of-click tokens."""

from __future__ import annotations

from everpost.guard.links.clicks import ClickKey, Refused, open_click
from everpost.guard.links.feeds import FeedError, FeedFormat, read_feed
from everpost.guard.links.find import find_links
from everpost.guard.links.findings import LinkContext, judge_links
from everpost.guard.links.lookalike import Protected, brands
from everpost.guard.links.normalise import parse, path_shape
from everpost.guard.links.rewrite import rewrite_html, rewrite_html_octets, rewrite_text

SEEDS: list[bytes] = [
    b"see http://a.example/x). www.foo.com hxxps[:]//evil[.]com/p evil(dot)com <http://a.example/b\r\n  c> "
    b"https://paypal.com@evil.example/ http:\\\\b.example\\x http://0x7f.1/ http://[::1]:80/ http://a.comhttp://b.com\n"
    b"a long line with an address at its end, which is https://example.com/path/with-\nrest-of-it?x=1\n",
    b'<base href="http://b.example/d/"><a href="https://www.google.com/url?q=http%3A%2F%2Fe.example">www.<b>p</b>.com</a>'
    b"<a href=rel>r</a><form action='http://f.example'><meta http-equiv=refresh content=\"0;url='http://r.example/'\">"
    b'<area href="jav&#x09;ascript:x"><!--[if mso]><v:r href="http://v.example/"/><![endif]--><!-- c --><svg><title>'
    b'<a href="http&#58;//s.example/">x</a></title></svg><script>"http://x.example"</script>'
    b'<iframe srcdoc="<a href=//q.com>">',
    "https://рaypal.com/ ｈｔｔｐ：//w.com/ http://bücher.example/ü http://ev\u200bil.com 请http://example.com查".encode(),
    b"https://urldefense.com/v3/__https://e.example/a*b__;Kw!!c$ "
    b"https://urldefense.proofpoint.com/v2/url?u=https-3A__e.example_",
    b"0.0.0.0 evil.example\n||ads.example^\n198.51.100.0/24\nhost.example/a*\n",
]
_CONTEXT = LinkContext(Protected(*brands()))
_KEYS = {1: ClickKey(1, b"k" * 32)}


def run(data: bytes) -> None:
    """Nothing raises; addresses are normal; what is not replaced stays."""
    text = data.decode("utf-8", "replace")
    found = find_links([text], [text])
    for link in found.links:
        address = parse(link.url)
        assert address is not None
        assert address.url == link.url
        path_shape(link.url)
    judge_links(found.links, _CONTEXT)
    assert rewrite_html(text, lambda _: None) == text
    assert rewrite_html_octets(data, "utf-8", lambda _: None) == data
    assert rewrite_text(text, lambda _: None) == text
    assert rewrite_text(text, lambda _: "https://c.example/").count("\n") == text.count("\n")
    assert isinstance(open_click(text, _KEYS, 0), Refused)
    for layout in FeedFormat:
        try:
            read_feed("fuzz", data, layout)
        except FeedError:
            continue
