"""The keys that sign what an organisation's domains send: made, put to use, retired; and read for signing."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

from everpost.auth.dkim_key import Algorithm
from everpost.auth.dkim_sign import SigningKey, new_signing_key
from everpost.directory.changes import change, check_domain
from everpost.directory.records import DirectoryError
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.sql import load

_SQL = load("directory")
_SELECTOR: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?){0,3}\Z")
_KEPT: Final = 1000  # organisations whose keys a process remembers


@dataclass(frozen=True, slots=True)
class DkimKeyRecord:
    """A key as it is shown. `record_name` and `record` are what has to stand in the DNS as TXT."""

    domain: str
    selector: str
    algorithm: Algorithm
    record_name: str
    record: str
    created_at: datetime
    active_from: datetime | None
    retired_at: datetime | None


class DkimKeys:
    """The verbs. `actor` stands in the audit. Raises `DirectoryError`, and what `store.database.UNAVAILABLE` lists."""

    def __init__(self, database: Database, keys: KeyRing, *, actor: str) -> None:
        self._database = database
        self._keys = keys
        self._actor = actor

    async def create(self, organisation_id: int, domain: str, selector: str, algorithm: Algorithm) -> DkimKeyRecord:
        """Make a key that signs nothing yet: its record has to be in the DNS first."""
        domain, selector = check_domain(domain), selector.lower()
        if not _SELECTOR.match(selector):
            raise DirectoryError(f"{selector[:80]!r} is no selector: letters, digits and hyphens, like ep2026a")
        key = new_signing_key(domain, selector, algorithm)
        ring = await self._keys.organisation(organisation_id)
        async with change(self._database, organisation_id, self._actor) as changed:
            domain_id = await self._domain(changed, domain)
            sealed = ring.seal(_octets(key), _context(domain_id, selector))
            await changed.execute("insert_dkim_key", domain_id, selector, algorithm.value, sealed, key.record)
            await changed.audit("dkim.created", domain, selector=selector, algorithm=algorithm.value)
        return await self._one(organisation_id, domain, selector)

    async def activate(self, organisation_id: int, domain: str, selector: str) -> DkimKeyRecord:
        """Sign with this key from now on, and no more with another of the same algorithm."""
        domain, selector = check_domain(domain), selector.lower()
        async with change(self._database, organisation_id, self._actor) as changed:
            domain_id = await self._domain(changed, domain)
            row = await changed.row("activate_dkim_key", domain_id, selector)
            if row is None:
                raise _no_key(domain, selector)
            retired = await changed.connection.fetch(
                _SQL["retire_other_dkim_keys"], organisation_id, domain_id, selector, row["algorithm"]
            )
            others = [each["selector"] for each in retired]
            await changed.audit("dkim.activated", domain, selector=selector, retired=others)
        return await self._one(organisation_id, domain, selector)

    async def retire(self, organisation_id: int, domain: str, selector: str) -> DkimKeyRecord:
        """Sign no more with this key. Its record stays in the DNS for some days."""
        domain, selector = check_domain(domain), selector.lower()
        async with change(self._database, organisation_id, self._actor) as changed:
            domain_id = await self._domain(changed, domain)
            if await changed.row("retire_dkim_key", domain_id, selector) is None:
                raise DirectoryError(f"{selector} of {domain} does not sign")
            await changed.audit("dkim.retired", domain, selector=selector)
        return await self._one(organisation_id, domain, selector)

    async def list(self, organisation_id: int, domain: str | None = None) -> list[DkimKeyRecord]:
        """All keys, by domain, the oldest first."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(
                _SQL["dkim_keys"], organisation_id, check_domain(domain) if domain is not None else None
            )
        return [_record(row) for row in rows]

    async def _one(self, organisation_id: int, domain: str, selector: str) -> DkimKeyRecord:
        for each in await self.list(organisation_id, domain):
            if each.selector == selector:
                return each
        raise _no_key(domain, selector)

    async def _domain(self, changed: Any, domain: str) -> int:
        row = await changed.row("domain_in_organisation", domain)
        if row is None:
            raise DirectoryError(f"{domain} is not a domain of this organisation")
        return int(row["id"])


class SigningKeys:
    """The keys for signing, in memory until the directory changes. One per process."""

    def __init__(self, database: Database, keys: KeyRing) -> None:
        self._database = database
        self._keys = keys
        self._kept: OrderedDict[int, tuple[SigningKey, ...]] = OrderedDict()

    def forget(self) -> None:
        """The directory has changed."""
        self._kept.clear()

    async def of(self, organisation_id: int) -> tuple[SigningKey, ...]:
        """Every key of an organisation that signs or did. Raises what `store.database.UNAVAILABLE` lists, and
        `KeyProblem` where the organisation's key is another.
        """
        known = self._kept.get(organisation_id)
        if known is None:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_SQL["dkim_keys"], organisation_id, None)
            ring = await self._keys.organisation(organisation_id) if rows else None
            known = tuple(_opened(row, ring) for row in rows if row["active_from"] is not None and ring is not None)
            self._kept[organisation_id] = known
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return known


def _opened(row: Any, ring: Any) -> SigningKey:
    key = load_der_private_key(ring.open(row["private_key"], _context(row["domain_id"], row["selector"])), None)
    assert isinstance(key, RSAPrivateKey | Ed25519PrivateKey)
    return SigningKey(row["domain"], row["selector"], key, row["active_from"], row["retired_at"])


def _record(row: Any) -> DkimKeyRecord:
    return DkimKeyRecord(
        row["domain"], row["selector"], Algorithm(row["algorithm"]), f"{row['selector']}._domainkey.{row['domain']}",
        row["record"], row["created_at"], row["active_from"], row["retired_at"],
    )  # fmt: skip


def _octets(key: SigningKey) -> bytes:
    return key.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _context(domain_id: int, selector: str) -> str:
    return f"dkim:{domain_id}:{selector}"


def _no_key(domain: str, selector: str) -> DirectoryError:
    return DirectoryError(f"{domain} has no key {selector}: `everpost domain dkim list` shows those that there are")
