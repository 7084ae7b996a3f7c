"""One form for an address, its domain, its shape, and what redirectors hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.guard.links.normalise import has_known_suffix, normalise, parse, path_shape, registered_domain
from everpost.guard.links.unwrap import MAX_LAYERS, unwrap


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        (" \x00HTTP://Ex\tAm\nple.com:80/a/./b/../c%7e%2f?Utm=1#F ", "http://example.com/a/c~%2F?Utm=1#F"),
        ("http://user:pw@h.example./", "http://h.example/"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://exam%70le.com", "http://example.com/"),
        ("http://Ⓖoogle.com", "http://google.com/"),
        ("https:evil.example", "https://evil.example/"),
        ("http://a\ud800b.example/\ud800", None),
        ("http://a b.example/", None),
        ("http://", None),
        ("no address", None),
    ],
)
def test_normalise(raw: str, url: str | None) -> None:
    assert normalise(raw) == url


@given(st.text())
def test_normalise_twice_is_once(text: str) -> None:
    for raw in (text, f"http://e.example/{text}", f"http://{text}"):
        address = parse(raw)
        if address is not None and address.host:
            again = parse(address.url)
            assert again is not None
            assert (again.url, again.host) == (address.url, address.host)


def test_domains() -> None:
    assert registered_domain("a.b.example.co.uk") == "example.co.uk"
    assert registered_domain("x.foo.github.io") == "foo.github.io"
    assert registered_domain("192.0.2.1") is None
    assert registered_domain("co.uk") is None
    assert has_known_suffix("x.рф")
    assert not has_known_suffix("readme.txt")
    assert not has_known_suffix("com")


@pytest.mark.parametrize(
    ("url", "shape"),
    [
        ("https://x.example/est/veniam-20391.zip?u=77", "/a/a-9.zip?a=9"),
        ("https://x.example/quo/autem-4.ZIP?q=1", "/a/a-9.zip?a=9"),
        ("https://x.example/wp/aB3x9Kq/", "/a/x/"),
        ("https://x.example/index.php?q=1", "/a.php?a=9"),
        ("https://x.example/word123/", "/a9/"),
        ("https://x.example/", "/"),
        ("mailto:x@y.example", ""),
    ],
)
def test_path_shape(url: str, shape: str) -> None:
    assert path_shape(url) == shape


E = "https://evil.example/x"


@pytest.mark.parametrize(
    ("url", "inner", "service"),
    [
        ("https://www.google.com/url?sa=t&q=https://evil.example/x&usg=1", E, "google"),
        ("https://www.google.co.uk/amp/s/evil.example/x", E, "google"),
        ("https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fevil.example%2Fx&data=05", E, "safe links"),
        ("https://urldefense.proofpoint.com/v1/url?u=https://evil.example/x&k=1", E, "proofpoint"),
        ("https://urldefense.proofpoint.com/v2/url?u=https-3A__evil.example_x&d=D", E, "proofpoint"),
        ("https://urldefense.com/v3/__https://evil.example/x__;!!abc$", E, "proofpoint"),
        ("https://urldefense.com/v3/__https:/evil.example/a*b__;Kw!!c$", "https://evil.example/a+b", "proofpoint"),
        ("https://urldefense.com/v3/__https://evil.example/a**Ab__;KyE!!c$", "https://evil.example/a+!b", "proofpoint"),
        ("https://linkprotect.cudasvc.com/url?a=https%3a%2f%2fevil.example%2fx&c=E,1", E, "barracuda"),
        ("https://secure-web.cisco.com/1abc/https%3A%2F%2Fevil.example%2Fx", E, "cisco"),
        ("https://e.protection.sophos.com/?d=x&u=aHR0cHM6Ly9ldmlsLmV4YW1wbGUveA==", E, "sophos"),
        ("https://l.facebook.com/l.php?u=https%3A%2F%2Fevil.example%2Fx&h=A", E, "facebook"),
        ("https://www.bing.com/ck/a?p=1&u=a1aHR0cHM6Ly9ldmlsLmV4YW1wbGUveA&ntb=1", E, "bing"),
        ("https://r.search.yahoo.com/RV=2/RU=https%3a%2f%2fevil.example%2fx/RK=2/RS=a", E, "yahoo"),
        ("https://abc.r.awstrack.me/L0/https:%2F%2Fevil.example%2Fx/1/01/def", E, "amazon ses"),
        ("https://evil-example-com.translate.goog/x", "https://evil.example.com/x", "google translate"),
        ("https://shop.example/go?URL=https://evil.example/x", E, "parameter"),
    ],
)
def test_unwrap(url: str, inner: str, service: str) -> None:
    layers = unwrap(url)
    assert (layers[0].url, layers[1].url, layers[1].service) == (url, inner, service)


def test_mimecast_tells_only_the_host() -> None:
    (_, layer) = unwrap("https://protect-eu.mimecast.com/s/abc?domain=evil.example")
    assert (layer.url, layer.partial) == ("https://evil.example/", True)


def test_layers_are_kept_and_bounded() -> None:
    assert [
        layer.url for layer in unwrap("https://www.google.com/url?q=https://vk.com/away.php?to=http://e.example/")
    ] == [
        "https://www.google.com/url?q=https://vk.com/away.php?to=http://e.example/",
        "https://vk.com/away.php?to=http://e.example/",
        "http://e.example/",
    ]
    assert len(unwrap("https://www.google.com/url?q=" * 50 + "https://e.example/")) == MAX_LAYERS
    assert len(unwrap("https://x.example/search?url=foo&q=bar")) == 1


@given(
    st.text(alphabet="ab%2F:/?&=*_;!$-.https"),
    st.sampled_from(["/v3/__", "/v2/url?u=", "/v1/url?u=", "/?u=a1", "/L0/"]),
)
def test_unwrap_never_raises(text: str, path: str) -> None:
    for host in (
        "urldefense.com",
        "urldefense.proofpoint.com",
        "www.bing.com",
        "x.awstrack.me",
        "a.protection.sophos.com",
    ):
        url = normalise(f"https://{host}{path}{text}")
        if url is not None:
            unwrap(url)
