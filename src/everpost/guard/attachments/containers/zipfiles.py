"""The members of a zip: unpacked, decrypted with a password of the message, and checked for tricks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from everpost.guard.attachments import streams
from everpost.guard.attachments.binary import Malformed, little
from everpost.guard.attachments.budget import Refused
from everpost.guard.attachments.containers import zip_crypto
from everpost.guard.attachments.containers.zipdirectory import (
    BZIP2,
    DEFLATE,
    DEFLATE64,
    LZMA,
    NOT_READ,
    STORED,
    XZ,
    ZSTD,
    Entry,
    content_at,
    end_of,
    entries,
)
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind


def unzip(item: Item, context: Context) -> Iterator[Child]:
    """The members of a zip; encrypted ones with a password of the message."""
    found = [entry for entry in entries(item.data) if not entry.is_folder]
    if not found:
        raise Malformed("no members, though it begins as a zip")
    _check_overlap(item, found)
    hidden = [entry.name for entry in found if not entry.is_listed]
    if hidden and len(hidden) < len(found):
        listing = ", ".join(hidden[:5])
        context.find(FindingKind.HIDDEN_MEMBER, item.path, f"members that the directory does not list: {listing}")
    locked = [entry for entry in found if entry.is_encrypted]
    password = _password(item, locked, context) if locked else None
    for entry in found:
        yield Child(entry.name, _content(item, entry, password, context))


def _check_overlap(item: Item, found: list[Entry]) -> None:
    """Members that share octets are how a small file becomes a huge one (Fifield's zip bomb)."""
    reached, sharing = 0, 0
    for start, end in sorted((entry.offset, end_of(item.data, entry)) for entry in found):
        sharing += start < reached
        reached = max(reached, end)
    if sharing > 2 and sharing * 4 > len(found):
        raise Refused(FindingKind.BOMB, f"{sharing} of {len(found)} members share their packed octets")


def _password(item: Item, locked: list[Entry], context: Context) -> str | None:
    """What opens the smallest locked member that has content."""
    for name in (item.name, *(entry.name.rsplit("/", 1)[-1] for entry in locked[:5])):
        context.passwords.add_name(name)
    probe = min((entry for entry in locked if entry.packed > 12), key=lambda entry: entry.packed, default=locked[0])
    packed = item.data[content_at(item.data, probe) : end_of(item.data, probe)]

    def opens(password: str) -> bool:
        return _decrypts(probe, packed, password, context)

    password = context.passwords.opens(opens)
    if password is None:
        context.find(FindingKind.ENCRYPTED, item.path, f"{len(locked)} of its members are encrypted: {probe.name}")
        return None
    context.opened_with(item.path, password)
    return password


def _decrypts(entry: Entry, packed: bytes, password: str, context: Context) -> bool:
    key = password.encode()
    if entry.aes:
        return zip_crypto.aes_opens(packed, entry.aes[4], key)
    check = (entry.time >> 8) if entry.has_descriptor else entry.crc >> 24
    if not zip_crypto.classic_opens(packed, key, check):
        return False
    if len(packed) > 256 * 1024:  # one octet has matched; the whole would take too long to make sure
        return True
    try:
        plain = _unpack(entry, zip_crypto.classic_decrypt(packed, key), context)
    except streams.Torn:
        return False
    return zlib.crc32(plain) == entry.crc or entry.crc == 0


def _content(item: Item, entry: Entry, password: str | None, context: Context) -> bytes | None:
    where = f"{item.path} › {entry.name}"
    if entry.is_encrypted and password is None:
        return None
    if entry.method in NOT_READ:
        context.find(FindingKind.NOT_UNPACKED, where, f"packed with {NOT_READ[entry.method]}")
        return None
    try:
        packed = item.data[content_at(item.data, entry) : end_of(item.data, entry)]
        if entry.is_encrypted and password is not None:
            packed = _decrypted(entry, packed, password, where, context)
        context.budget.declared(len(packed), entry.size)
        return _unpack(entry, packed, context)
    except streams.Torn as torn:
        context.find(FindingKind.DAMAGED, where, f"unpacked as far as it goes: {torn}")
        return torn.data
    except Malformed as error:
        context.find(FindingKind.DAMAGED, where, str(error))
        return None


def _decrypted(entry: Entry, packed: bytes, password: str, where: str, context: Context) -> bytes:
    key = password.encode()
    if entry.aes:
        return zip_crypto.aes_decrypt(packed, entry.aes[4], key)
    if len(packed) > zip_crypto.CLASSIC_OCTETS:
        shown = zip_crypto.CLASSIC_OCTETS // 1024
        context.find(FindingKind.NOT_UNPACKED, where, f"only the first {shown} kB were decrypted")
    return zip_crypto.classic_decrypt(packed, key)


def _unpack(entry: Entry, packed: bytes, context: Context) -> bytes:
    budget = context.budget
    if entry.method == STORED:
        return budget.collect((packed,), len(packed))
    if entry.method == DEFLATE:
        return streams.inflate(packed, budget)
    if entry.method == DEFLATE64:
        return streams.inflate64(packed, budget)
    if entry.method == BZIP2:
        return streams.bunzip(packed, budget)
    if entry.method == LZMA:
        return _unlzma(entry, packed, context)
    if entry.method == XZ:
        return streams.unxz(packed, budget)
    if entry.method == ZSTD:
        return streams.unzstd(packed, budget)
    raise Malformed(f"packed with an unknown method ({entry.method})")


def _unlzma(entry: Entry, packed: bytes, context: Context) -> bytes:
    """A version, the size of the properties, the properties, the data (APPNOTE §5.8)."""
    size = little(packed, 2, 2)
    if size != 5:
        raise Malformed("LZMA properties of an unknown size")
    filters = [streams.lzma1_filter(packed[4:9], entry.size)]
    return streams.raw_lzma(packed[9:], context.budget, filters, entry.size or None)
