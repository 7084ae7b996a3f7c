"""Addresses and paths: only the errors that are promised, and what was read can be written and read again."""

from __future__ import annotations

from everpost.mail.address import Address, AddressError
from everpost.wire.smtp.syntax import SyntaxFault, parse_mail, parse_rcpt

SEEDS: list[bytes] = [
    b"a@example.com",
    b'"quoted \\" local"@example.com',
    b"a.b+c@[192.0.2.1]",
    b"u@[IPv6:2001:db8::1]",
    "é.ü@bücher.example".encode(),
    b"FROM:<@a.example,@b.example:user@c.example> SIZE=10 BODY=8BITMIME RET=FULL ENVID=a+2Bb",
    b"TO:<postmaster> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bb@example.org",
    b'TO:<"a>b"@example.org>',
]


def run(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    try:
        address = Address.parse(text)
    except AddressError:
        pass
    else:
        address.key.encode()
        again = Address.parse(str(address))
        if again != address:
            raise AssertionError(f"{address!r} is read again as {again!r}")
        if any(character in str(address) for character in "\r\n\0"):
            raise AssertionError("a control character in an address")
    try:
        parse_mail(text, smtputf8=True, dsn=True, binarymime=True, auth=True)
    except SyntaxFault as fault:
        fault.reply.encode()
    try:
        parse_rcpt(text, smtputf8=True, dsn=True, hostname="mx.example.org")
    except SyntaxFault as fault:
        fault.reply.encode()
