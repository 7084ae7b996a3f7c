"""Whether an automatic answer may be given, and to whom (RFC 3834, RFC 5230 §4.5, §4.6). Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from everpost.mail.address import Address, AddressError
from everpost.mail.header import Header, as_addresses, as_text, flatten

TOLD_AGAIN_DAYS: Final = 7
"""Who was answered is not answered again for so long."""
_LISTS = ("list-id", "list-help", "list-subscribe", "list-unsubscribe", "list-post", "list-owner", "list-archive")
_MACHINES = frozenset(
    ("mailer-daemon", "listserv", "majordomo", "postmaster", "noreply", "no-reply", "donotreply", "do-not-reply",
     "bounce", "bounces", "root", "nobody")
)  # fmt: skip
_ADDRESSED = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_MAX_ADDRESSES = 1000


def whom_to_answer(header: Header, reverse_path: str | None, own: Collection[str]) -> Address | None:
    """None where no person expects an answer: bounces, lists, machines, mail that does not name the mailbox.

    `own` are the keys of the mailbox's addresses (`Address.key`).
    """
    if not reverse_path or _is_automatic(header):
        return None
    try:
        sender = Address.parse(reverse_path)
    except AddressError:
        return None
    local = sender.local.lower()
    if local in _MACHINES or local.startswith("owner-") or local.endswith(("-request", "-owner", "-bounces")):
        return None
    if sender.key in own or not _names_one_of(header, own):
        return None
    return sender


def _is_automatic(header: Header) -> bool:
    submitted, precedence = _word(header, "auto-submitted"), _word(header, "precedence")
    if submitted not in ("", "no") or precedence in ("bulk", "list", "junk"):
        return True
    if header.first("x-auto-response-suppress") is not None or not header.complete:
        return True
    return any(header.first(name) is not None for name in _LISTS)


def _word(header: Header, name: str) -> str:
    field = header.first(name)
    return as_text(field.raw).partition(";")[0].strip().lower() if field else ""


def _names_one_of(header: Header, own: Collection[str]) -> bool:
    for name in _ADDRESSED:
        for field in header.all(name)[:5]:
            for item in flatten(as_addresses(field.raw))[:_MAX_ADDRESSES]:
                try:
                    address = Address.parse(item.address)
                except AddressError:
                    continue
                plain = Address(address.local.split("+", 1)[0] or address.local, address.domain)
                if address.key in own or plain.key in own:
                    return True
    return False
