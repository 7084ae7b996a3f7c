"""Authentication-Results: written, read, and removed where it is not ours."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everpost.auth.results import (
    AuthenticationResults,
    MethodResult,
    Property,
    ResultsError,
    foreign_fields,
    merged_results,
    parse_results,
    results_field,
    without_fields,
)
from everpost.mail.header import parse_header


def test_examples_of_rfc_8601() -> None:
    """Appendix B."""
    assert parse_results(b" example.org 1; none") == AuthenticationResults("example.org")
    found = parse_results(
        b" example.com;\r\n\tauth=pass (cram-md5) smtp.auth=sender@example.net;\r\n spf=pass smtp.mailfrom=example.net"
    )
    assert found.authserv_id == "example.com"
    assert found.results == (
        MethodResult("auth", "pass", "cram-md5", properties=(Property("smtp", "auth", "sender@example.net"),)),
        MethodResult("spf", "pass", properties=(Property("smtp", "mailfrom", "example.net"),)),
    )
    commented = parse_results(b"foo.example.net (foobar) 1 (baz); dkim (Because) / 1 (One yay) = (wait) fail")
    assert commented.results[0].method == "dkim"
    assert commented.results[0].result == "fail"


def test_values_with_marks_and_quotes() -> None:
    found = parse_results(b'mx; dkim=pass reason="good; \\"fine\\"" header.b=aB/cd+e= header.i=@example.org header.a=x')
    (item,) = found.results
    assert item.reason == 'good; "fine"'
    assert item.value("header", "b") == "aB/cd+e="
    assert item.value("header", "i") == "@example.org"
    assert item.value("header", "a") == "x"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b";",
        b"; spf=pass",
        b"mx 2; none",
        b"mx two words; none",
        b"mx; spf",
        b"mx; spf=",
        b"mx; =pass",
        b"mx; spf=pass smtp.mailfrom",
        b"mx; spf=pass nodot=x",
        b"mx (; none",
        b"mx " + b"(" * 50 + b")" * 50 + b"; none",
        b'mx; spf=pass reason="open',
        b"mx; " + b"spf=pass; " * 300,
        b"x" * 70_000,
    ],
)
def test_what_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(ResultsError):
        parse_results(raw)


TEXT = st.text(max_size=40)
PROPERTIES = st.builds(Property, st.just("smtp"), st.sampled_from(["mailfrom", "helo"]), TEXT)
RESULTS = st.builds(
    MethodResult,
    st.sampled_from(["spf", "dkim", "x-own"]),
    st.sampled_from(["pass", "fail"]),
    TEXT,
    TEXT,
    st.lists(PROPERTIES, max_size=4).map(tuple),
)


@given(st.lists(RESULTS, max_size=5).map(tuple))
def test_strangers_text_cannot_add_results(results: tuple[MethodResult, ...]) -> None:
    field = results_field(AuthenticationResults("mx.example.org", results))
    header = parse_header(field + b"\r\n")
    assert len(header.fields) == 1
    found = parse_results(header.fields[0].raw)
    assert found.authserv_id == "mx.example.org"
    assert [(item.method, item.result) for item in found.results] == [(item.method, item.result) for item in results]
    for item, again in zip(results, found.results, strict=True):
        assert [p.name for p in again.properties] == [p.name for p in item.properties]


MESSAGE = (
    b"Received: x\r\nAuthentication-Results: MX.Example.org; spf=pass\r\nAuthentication-Results: (a) mx.example.org\r\n"
    b" 1; dkim=pass\r\nAuthentication-Results: other.example; spf=pass\r\nAuthentication-Results: ((\r\n"
    b"Subject: s\r\n\r\n"
)


def test_what_claims_to_be_ours_is_removed() -> None:
    header = parse_header(MESSAGE)
    left = without_fields(MESSAGE, foreign_fields(header, ["mx.example.org"]))
    assert left == b"Received: x\r\nAuthentication-Results: other.example; spf=pass\r\nSubject: s\r\n\r\n"
    assert without_fields(MESSAGE, foreign_fields(header, [], every=True)) == b"Received: x\r\nSubject: s\r\n\r\n"


def test_merged() -> None:
    assert merged_results(parse_header(MESSAGE), "mx.example.org") == b"mx.example.org; spf=pass; dkim=pass"
    assert merged_results(parse_header(MESSAGE), "none.example") == b"none.example; none"
