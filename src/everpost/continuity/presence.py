"""Asking a primary whether a delivery in doubt stands there already: the answer to a lost 250."""

from __future__ import annotations

import structlog

from everpost.continuity.imap import ImapFailure, ImapRefusal, ImapSession
from everpost.directory.primary import load_primaries
from everpost.mail.address import Address
from everpost.queue.model import Delivery, ReadyMessage, Sighting
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.store.ids import encode_id
from everpost.store.sql import load

log = structlog.get_logger()
_DIRECTORY = load("directory")


class ImapPresence:
    """Looks for our Received field with the message's queue id. For the queue's worker."""

    def __init__(self, database: Database, keys: KeyRing, hostname: str, timeout_s: float = 20.0) -> None:
        self._database = database
        self._keys = keys
        self._hostname = hostname
        self._timeout_s = timeout_s

    async def __call__(self, message: ReadyMessage, delivery: Delivery) -> Sighting:
        """Where a primary has no IMAP connector, nobody can ever look: rather twice than never."""
        try:
            there = await self._look(delivery, encode_id(message.message_id))
        except (ImapFailure, ImapRefusal, LookupError, ValueError) as error:
            log.warning("presence.not_known", id=encode_id(message.message_id), why=str(error))
            return Sighting.UNKNOWN
        return Sighting.THERE if there else Sighting.ABSENT

    async def _look(self, delivery: Delivery, trace_id: str) -> bool:
        organisation_id = delivery.key.organisation_id
        async with self._database.connection() as connection:
            rows = await connection.fetch(_DIRECTORY["mailbox_place"], organisation_id, [delivery.mailbox_id])
            primaries = await load_primaries(connection, self._keys, organisation_id)
        primary = next((primary for primary in primaries if primary.id == delivery.primary_id), None)
        address = rows[0]["default_address"] if rows else None
        if primary is None or primary.settings.imap is None or address is None:
            return False
        connector = primary.settings.imap
        session = await ImapSession.open(
            connector,
            connector.login(Address.parse(address)),
            primary.secrets.imap_password,
            hostname=self._hostname,
            timeout_s=self._timeout_s,
        )
        try:
            box = session.mailbox
            folders = await session.run(box.folders)
            copies = await session.run(box.find, "Received", trace_id, [folder.name for folder in folders])
        finally:
            await session.close()
        return any(trace_id in copy.trace_ids for copy in copies)
