"""What rules look at: a message with what was found out about it, and the people it is for. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from everpost.guard.case import Case
from everpost.guard.dlp.content import Searched
from everpost.guard.dlp.texts import text_of
from everpost.guard.model import Judgement, Verdict, Way
from everpost.mail.addresslist import as_addresses, flatten
from everpost.mail.header import Header, as_text

MAX_BODY = 262_144
"""Characters of the texts that patterns are looked for in."""
_SIGNED = frozenset({"multipart/signed"})
_SEALED = frozenset(
    {"multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime", "application/pgp-encrypted"}
)


@dataclass(frozen=True)
class Facts:
    """Worked out when they are first asked for: most rules need few."""

    case: Case
    verdict: Verdict
    country: str = ""

    @property
    def way(self) -> Way:
        return self.case.way

    @property
    def header(self) -> Header:
        return self.case.header

    @property
    def client(self) -> IPv4Address | IPv6Address | None:
        return self.case.client

    @property
    def at(self) -> datetime:
        return self.case.received_at

    @property
    def judgement(self) -> Judgement:
        return self.verdict.judgement

    @cached_property
    def sender(self) -> str:
        return str(self.case.reverse_path).lower() if self.case.reverse_path else ""

    @cached_property
    def authors(self) -> tuple[str, ...]:
        """Addresses of From, in lower case."""
        found = [each for field in self.header.all("from") for each in flatten(as_addresses(field.raw))]
        return tuple(each.address.lower() for each in found if each.address)

    @cached_property
    def subject(self) -> str:
        field = self.header.last("subject")
        return as_text(field.raw) if field else ""

    @cached_property
    def body(self) -> str:
        contents = self.case.contents
        if contents is None:
            return ""
        return "\n".join((*contents.texts, *contents.htmls))[:MAX_BODY]

    @cached_property
    def searched(self) -> Searched:
        """Texts of the message and of its files, to be looked through for what must not leave."""
        text = text_of(self.case.contents) if self.case.contents else ""
        return Searched(self.header, self.subject, text)

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.case.contents.files) if self.case.contents else ()

    @cached_property
    def file_types(self) -> tuple[str, ...]:
        return tuple(each.type for each in self.case.contents.files) if self.case.contents else ()

    @cached_property
    def signals(self) -> frozenset[str]:
        return frozenset(each.kind for each in self.verdict.signals)

    @cached_property
    def sealed(self) -> frozenset[str]:
        """`signed`, `encrypted` (S/MIME, PGP) and `tls`, as far as they are so."""
        found = set()
        field = self.header.last("content-type")
        kind = as_text(field.raw).partition(";")[0].strip().lower() if field else ""
        if kind in _SIGNED:
            found.add("signed")
        if kind in _SEALED or "-----BEGIN PGP MESSAGE-----" in self.body:
            found.add("encrypted")
        if self.case.tls:
            found.add("tls")
        return frozenset(found)

    def fields(self, name: str) -> tuple[str, ...]:
        """The texts of all header fields of a name."""
        return tuple(as_text(field.raw) for field in self.header.all(name))
