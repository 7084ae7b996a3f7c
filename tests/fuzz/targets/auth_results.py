"""Authentication-Results of strangers: what is read can be written and read again."""

from __future__ import annotations

from everpost.auth.results import ResultsError, foreign_fields, parse_results, results_field, without_fields
from everpost.mail.header import parse_header

SEEDS: list[bytes] = [
    b'example.com 1; auth=pass (cram-md5) smtp.auth=sender@example.net; spf=fail reason="a \\" b" smtp.mailfrom=x.org',
    b"mx (c) ; dkim / 1 = pass (2048-bit key) header.d=example.org header.b=aB/cd+e= ; dmarc=pass header.from=x ; none",
    b"Received: x\r\nAuthentication-Results: mx; none\r\n\tfolded\r\nSubject: y\r\n\r\n",
]


def run(data: bytes) -> None:
    try:
        found = parse_results(data)
    except ResultsError:
        pass
    else:
        header = parse_header(results_field(found) + b"\r\n")
        assert len(header.fields) == 1
        again = parse_results(header.fields[0].raw)
        assert [(item.method, item.result) for item in again.results] == [
            (item.method, item.result) for item in found.results
        ]
    header = parse_header(data)
    left = parse_header(without_fields(data, foreign_fields(header, (), every=True)))
    assert not left.all("authentication-results")
