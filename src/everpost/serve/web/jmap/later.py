"""Sends what people told to be sent later, when its time has come. A role: one process at a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import structlog

from everpost.directory.model import Place
from everpost.intake.submission import Receipt
from everpost.mail.address import Address
from everpost.serve.web.jmap.sending import Author, HeldBack, SendingServices, make_ready, send
from everpost.standby import outbox
from everpost.standby.outbox import Due
from everpost.standby.settings import stored_identities
from everpost.standby.submit import identity_id
from everpost.store.database import Connection
from everpost.store.sql import load
from everpost.wire.jmap.core import SetError

log = structlog.get_logger()
_SQL = load("standby")
_DIRECTORY = load("directory")
AT_ONCE = 100
HELD_BACK = timedelta(minutes=5)
"""When the guard is asked again that will not have a message now."""
_TRY_AGAIN = frozenset(("serverUnavailable",))


class _Cancelled(Exception):
    """Somebody was faster."""


class DelayedSender:
    """`run_once` sends what is due. What cannot be sent any more is final, and says why in its deliveryStatus."""

    def __init__(self, services: SendingServices) -> None:
        self._services = services

    async def run_once(self) -> int:
        """How many were sent. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._services.database.connection() as connection:
            items = await outbox.due(connection, datetime.now(UTC), AT_ONCE)
        return sum([await self._send(item) for item in items])

    async def _send(self, item: Due) -> bool:
        try:
            return await self._send_now(item)
        except _Cancelled:
            return False
        except SetError as error:
            if isinstance(error, HeldBack):
                await self._postpone(item, error)
                return False
            if error.kind in _TRY_AGAIN:
                return False
            log.warning("later.refused", submission=item.id, error=str(error))
            await self._fail(item, error.description or error.kind)
        except LookupError as error:
            await self._fail(item, str(error))
        return False

    async def _send_now(self, item: Due) -> bool:
        account = item.account
        place = await self._services.directory.place(account.organisation_id, account.mailbox_id)
        async with self._services.database.connection() as connection:
            address = await self._identity(connection, item)
            message = await connection.fetchrow(_SQL["message_to_send"], account.organisation_id, item.entry_id)
        if message is None:
            raise LookupError("the message is gone")
        ready = await make_ready(self._services, account, message["blob_id"], address, item.envelope)

        async def put_on_record(connection: Connection, receipt: Receipt, /) -> None:
            async with self._services.standby.work_within(connection, account, item.actor) as work:
                if not await outbox.finish(work, item.id, receipt.message_ids[0]):
                    raise _Cancelled
                work.submitted(item.entry_id, message["message_id"], receipt.message_ids[0])

        await send(self._services, _author(item, place), ready, put_on_record)
        return True

    async def _identity(self, connection: Connection, item: Due) -> Address:
        """Raises `LookupError` where the mailbox has it no more."""
        key = (item.account.organisation_id, item.account.mailbox_id)
        for row in await connection.fetch(_DIRECTORY["addresses_of_mailbox"], *key):
            if identity_id(row["key"]) == item.identity:
                return Address.parse(row["written"])
        stored = await stored_identities(connection, item.account)
        if item.identity not in stored:
            raise LookupError("the identity is gone")
        return Address.parse(stored[item.identity].email)

    async def _postpone(self, item: Due, error: HeldBack) -> None:
        log.info("later.held_back", submission=item.id, error=str(error))
        async with self._services.standby.work(item.account, "everpost") as (work, _):
            await outbox.postpone(work, item.id, datetime.now(UTC) + HELD_BACK)

    async def _fail(self, item: Due, why: str) -> None:
        async with self._services.standby.work(item.account, "everpost") as (work, _):
            await outbox.finish(work, item.id, None, why[:500])


def _author(item: Due, place: Place) -> Author:
    return Author(item.account, place, item.actor, "0.0.0.0")  # noqa: S104 (says "unknown", binds nothing)
