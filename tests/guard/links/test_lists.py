"""Lists: what entries cover, how feeds are read, what bad rows and bad files give."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard.links.feeds import FeedError, FeedFormat, FeedLimits, read_feed
from everpost.guard.links.linklist import BadEntry, EntryKind, LinkList, read_entry

ENTRIES = [
    "evil.example", "*.bad.example", "||ads.example^", "192.0.2.1", "198.51.100.0/24", "host.example/path/a",
    "http://exact.example/x?y", "https://begin.example/a*", "[2001:db8::1]", "port.example:8080/x", "münchen.example",
]  # fmt: skip
LIST = LinkList("test", [read_entry(entry) for entry in ENTRIES])


@pytest.mark.parametrize(
    ("url", "kind", "value"),
    [
        ("https://www.evil.example/x", "domain", "evil.example"),
        ("http://a.b.bad.example:99/", "domain", "bad.example"),
        ("http://ads.example", "domain", "ads.example"),
        ("http://192.0.2.1:80/", "network", "192.0.2.1/32"),
        ("http://3221225985/", "network", "192.0.2.1/32"),
        ("http://198.51.100.77/a", "network", "198.51.100.0/24"),
        ("https://host.example/path/a/b?c", "prefix", "host.example/path/a"),
        ("https://host.example/path/a", "prefix", "host.example/path/a"),
        ("https://u:p@exact.example/x?y#z", "url", "exact.example/x?y"),
        ("http://begin.example/a/b", "prefix", "begin.example/a"),
        ("http://[2001:DB8:0::1]/", "network", "2001:db8::1/128"),
        ("http://port.example:8080/x/", "prefix", "port.example:8080/x"),
        ("http://www.münchen.example/", "domain", "xn--mnchen-3ya.example"),
    ],
)
def test_covered(url: str, kind: str, value: str) -> None:
    match = LIST.match(url)
    assert match is not None
    assert (match.list_name, match.kind, match.value) == ("test", kind, value)


@pytest.mark.parametrize(
    "url",
    ["http://evil.example.org/", "http://notevil.example/", "http://192.0.2.2/", "https://host.example/path/ab",
     "http://exact.example/x", "http://port.example/x", "mailto:a@evil.example", "no address", "http://198.51.101.1/"],
)  # fmt: skip
def test_not_covered(url: str) -> None:
    assert LIST.match(url) is None


@pytest.mark.parametrize(
    "text", ["", "com", "co.uk", "github.io", "not a domain", "0.0.0.0/0", "::/0", "x", "http://", "a@b.example"]
)
def test_bad_entries(text: str) -> None:
    with pytest.raises(BadEntry):
        read_entry(text)


@given(st.text())
def test_any_text_is_an_entry_or_bad(text: str) -> None:
    try:
        entry = read_entry(text)
    except BadEntry:
        return
    LinkList("x", [entry])


MISP = {
    "response": [
        {
            "Event": {
                "Attribute": [
                    {"type": "url", "value": "http://e.example/a", "to_ids": True},
                    {"type": "domain|ip", "value": "d.example|192.0.2.1", "to_ids": True},
                    {"type": "md5", "value": "x", "to_ids": True},
                    {"type": "domain", "value": "unsure.example", "to_ids": False},
                    {"type": "domain", "value": "gone.example", "to_ids": True, "deleted": True},
                ],
                "Object": [{"Attribute": [{"type": "ip-dst", "value": "192.0.2.9", "to_ids": True}]}],
            }
        }
    ]
}
URLHAUS = (
    b'# URLhaus\r\n# id,dateadded,url,url_status\r\n"1","2024-01-01 00:00:00","http://e.example/a","online","x","t","l","r"\r\n'
    b'"2"\r\n"3","2024","no address","online"\r\n'
)


@pytest.mark.parametrize(
    ("layout", "data", "taken", "bad", "covered"),
    [
        (FeedFormat.URLHAUS, URLHAUS, 1, 2, "http://e.example/a"),
        (FeedFormat.MISP, json.dumps(MISP).encode(), 3, 0, "http://192.0.2.9/"),
        (FeedFormat.MISP, json.dumps(MISP["response"][0]["Event"]).encode(), 3, 0, "http://x.d.example/"),
        (FeedFormat.HOSTS, b"127.0.0.1 localhost\n0.0.0.0 evil.example bad.example # c\n", 2, 0, "http://bad.example/"),
        (FeedFormat.CSV, b"\xef\xbb\xbffirst;Domain;z\n1;evil.example;2\n1;;2\n", 1, 1, "http://evil.example/"),
        (FeedFormat.CSV, b"id,ip\n1,192.0.2.7\n", 1, 0, "http://192.0.2.7/"),
        (FeedFormat.PLAIN, b"# c\r\nevil.example\r\ncom\r\n\r\nh.example/p # why\n", 2, 1, "http://h.example/p/q"),
    ],
)
def test_feeds(layout: FeedFormat, data: bytes, taken: int, bad: int, covered: str) -> None:
    entries, report = read_feed("f", data, layout)
    assert (report.taken, report.bad, len(report.examples)) == (taken, bad, bad)
    assert entries.match(covered) is not None


def test_bad_files_are_refused_and_bounds_are_told() -> None:
    with pytest.raises(FeedError, match="octets"):
        read_feed("f", b"x" * 100, FeedFormat.PLAIN, FeedLimits(octets=10))
    for data in (b"{", b"[" * 100_000, b'{"Event": 3}', b"\xff"):
        with pytest.raises(FeedError, match="JSON"):
            read_feed("f", data, FeedFormat.MISP)
    with pytest.raises(FeedError, match="column"):
        read_feed("f", b"a,b\n1,2\n", FeedFormat.CSV)
    _, report = read_feed("f", b"a.example\nb.example\nc.example\n", FeedFormat.PLAIN, FeedLimits(entries=2))
    assert (report.taken, report.truncated) == (2, True)
    _, report = read_feed("f", b"a.example\n" + b"x" * 99 + b"\n", FeedFormat.PLAIN, FeedLimits(line=50))
    assert (report.taken, report.bad) == (1, 1)
    assert "line 2" in report.examples[0]


@given(st.binary(), st.sampled_from(list(FeedFormat)))
def test_feeds_give_a_list_or_a_clear_error(data: bytes, layout: FeedFormat) -> None:
    with contextlib.suppress(FeedError):
        read_feed("f", data, layout)


def test_large_lists_are_compact() -> None:
    data = "\n".join(f"http://h{number}.example/p/{number}" for number in range(50_000)).encode()
    started = time.process_time()
    entries, _ = read_feed("f", data, FeedFormat.PLAIN)
    assert time.process_time() - started < 3
    assert entries._hashes.itemsize * len(entries._hashes) == 400_000
    assert entries.match("https://h777.example/p/777") is not None
    assert entries.match("https://h777.example/p/778") is None
    assert entries.match("https://h777.example/") is None
    assert EntryKind.URL == "url"
