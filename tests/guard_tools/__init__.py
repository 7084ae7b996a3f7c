"""What the tests of the guard share."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from everpost.guard.case import Case
from everpost.guard.model import Way
from everpost.mail.address import Address
from everpost.mail.header import parse_header

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def case_of(message: bytes, **values: Any) -> Case:
    """A stranger's message to somebody at example.org, unless `values` say otherwise."""
    given: dict[str, Any] = {
        "way": Way.INBOUND, "client": ip_address("192.0.2.1"), "helo": "mx.example.com", "login": None,
        "reverse_path": Address.parse("ann@example.com"), "recipients": (Address.parse("bob@example.org"),),
        "organisation_ids": frozenset({1}), "own_domains": frozenset({"example.org"}),
        "header": parse_header(message), "size": len(message), "received_at": NOW, "open": lambda: (message,),
    }  # fmt: skip
    return Case(**{**given, **values})
