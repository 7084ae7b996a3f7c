"""A small name server for the demo's world: every message of it comes from this machine, and its domains say so."""

from __future__ import annotations

import asyncio
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

GREETING: Final = "client.example.net"
"""The name that the machine's address has, and that has this address."""
DOMAINS: Final = ("example.com", "example.net", "partner.example.com")
"""Whence the demo's mail comes."""
_HERE: Final = "127.0.0.1"
_TTL: Final = 3600  # seconds


def _records() -> list[tuple[str, str, str]]:
    """(name, type, value) of everything there is."""
    found = [(f"{'.'.join(reversed(_HERE.split('.')))}.in-addr.arpa", "PTR", f"{GREETING}.")]
    for domain in (*DOMAINS, GREETING):
        found += [
            (domain, "A", _HERE),
            (domain, "MX", f"10 {domain}."),
            (domain, "TXT", f'"v=spf1 ip4:{_HERE}/8 -all"'),
            (f"_dmarc.{domain}", "TXT", '"v=DMARC1; p=none"'),
        ]
    return found


RECORDS: Final = tuple(_records())


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for `RECORDS` by UDP; there is nothing else."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._sets: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        for name, kind, value in RECORDS:
            rrset = dns.rrset.from_text(f"{name}.", _TTL, "IN", kind, value)
            self._sets[rrset.name, rrset.rdtype] = rrset
        self._names = {name for name, _ in self._sets}

    async def start(self) -> str:
        """Listen on the loopback address; returns address and port. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(_HERE, 0))
        address, port = self._transport.get_extra_info("sockname")
        return f"{address}:{port}"

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            question = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return  # no question that could be answered
        if self._transport is not None:
            self._transport.sendto(self.answer(question).to_wire(), addr)

    def answer(self, question: dns.message.Message) -> dns.message.Message:
        """What is known of the first question."""
        response = dns.message.make_response(question, recursion_available=True)
        if not question.question:
            response.set_rcode(dns.rcode.FORMERR)
            return response
        asked = question.question[0]
        found = self._sets.get((asked.name, asked.rdtype))
        if found is not None:
            response.answer.append(found)
        elif not any(name.is_subdomain(asked.name) for name in self._names):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response
