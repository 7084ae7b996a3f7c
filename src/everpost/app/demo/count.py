"""Counting from outside: what was sent against what stands in the standby (JMAP) and on the primary (IMAP).

Nothing here reads the product's own ledger or uses its digests: a copy is known by the mailbox it stands in and by
SHA-256 over its body and five chosen header fields.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import imapclient

_FIELDS = (b"from", b"to", b"subject", b"date", b"message-id")
_BATCH = 200


@dataclass(frozen=True, slots=True)
class Copy:
    """One message in one mailbox. `ident` is its Message-ID field, to tell an altered copy from a lost one."""

    mailbox: str
    digest: str
    ident: bytes


def copy_of(mailbox: str, raw: bytes) -> Copy:
    """The copy that `raw` is when it stands in `mailbox`."""
    head, _, body = raw.partition(b"\r\n\r\n")
    fields = re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")
    chosen = [
        b" ".join(field.split())
        for name in _FIELDS
        for field in fields
        if field.partition(b":")[0].strip().lower() == name
    ]
    digest = hashlib.sha256(b"\n".join([*chosen, body.rstrip(b"\r\n")])).hexdigest()
    ident = next((field for field in chosen if field.lower().startswith(b"message-id:")), b"")
    return Copy(mailbox, digest, ident.partition(b":")[2].strip())


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong at one place."""

    lost: int
    duplicated: int
    altered: int
    unexpected: int


def compare(expected: Iterable[Copy], found: Iterable[Copy]) -> Difference:
    """A missing copy with a Message-ID that stands there under another digest is altered, any other is lost."""
    wanted, there = Counter(expected), Counter(found)
    missing, extra = wanted - there, there - wanted
    duplicated = sum(count for copy, count in extra.items() if copy in wanted)
    strangers = Counter({(copy.mailbox, copy.ident): 0 for copy in extra if copy not in wanted})
    for copy, count in extra.items():
        if copy not in wanted:
            strangers[copy.mailbox, copy.ident] += count
    altered = 0
    for copy, count in missing.items():
        changed = min(count, strangers[copy.mailbox, copy.ident]) if copy.ident else 0
        strangers[copy.mailbox, copy.ident] -= changed
        altered += changed
    return Difference(missing.total() - altered, duplicated, altered, strangers.total())


@dataclass(frozen=True, slots=True)
class OnPrimary:
    """A copy on the primary, with its folder and flags."""

    copy: Copy
    folder: str
    flags: frozenset[str]


def read_primary(port: int, users: Iterable[str], password: str) -> list[OnPrimary]:
    """Every message of every folder of every user, by IMAP."""
    found = []
    for user in users:
        with imapclient.IMAPClient("127.0.0.1", port, ssl=False, timeout=60) as client:
            client.login(f"{user}*gateway", password)
            for _, _, folder in client.list_folders():
                client.select_folder(folder, readonly=True)
                uids = client.search()
                for start in range(0, len(uids), _BATCH):
                    rows = client.fetch(uids[start : start + _BATCH], ["BODY.PEEK[]", "FLAGS"])
                    for row in rows.values():
                        flags = frozenset(flag.decode() for flag in row[b"FLAGS"])
                        found.append(OnPrimary(copy_of(user, row[b"BODY[]"]), folder, flags))
    return found
