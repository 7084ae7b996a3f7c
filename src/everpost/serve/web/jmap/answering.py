"""Gives the automatic answers of people who are away (RFC 8621 §8, RFC 3834). A role: one process at a time.

While a primary is the master of a mailbox, it is the primary that answers; the standby only remembers where it stands.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.directory.model import Resolved, Unresolved
from everpost.intake.accept import IntakeUnavailable
from everpost.intake.own import own_submission, routed
from everpost.intake.submission import Owner, Receipt
from everpost.mail.address import Address
from everpost.mail.compose import build_message
from everpost.mail.header import parse_header
from everpost.serve.web.jmap.sending import SendingServices
from everpost.serve.web.services import Routes
from everpost.standby.answers import TOLD_AGAIN_DAYS, whom_to_answer
from everpost.standby.model import Role
from everpost.standby.settings import Vacation
from everpost.standby.text import visible_text
from everpost.standby.values import Account
from everpost.store.blobs import NoSuchBlob
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("answers")
_DIRECTORY = load("directory")
MAILBOXES_AT_ONCE = 50
MESSAGES_AT_ONCE = 100
_HEADER_OCTETS = 128 * 1024
_DEFAULT_TEXT = "I am away at the moment and will read your message when I am back."


class _ToldAlready(Exception):
    """The sender was answered a short while ago."""


class VacationResponder:
    """`run_once` answers what came since the last time."""

    def __init__(self, services: SendingServices, routes: Routes, hostname: str) -> None:
        self._services = services
        self._routes = routes
        self._hostname = hostname

    async def run_once(self) -> int:
        """How many answers were given. Raises what `store.database.UNAVAILABLE` lists."""
        async with self._services.database.connection() as connection:
            rows = await connection.fetch(_SQL["waiting"], MAILBOXES_AT_ONCE)
        return sum([await self._answer_mailbox(row) for row in rows])

    async def _answer_mailbox(self, row: Any) -> int:
        account = Account(row["organisation_id"], row["mailbox_id"])
        key = (account.organisation_id, account.mailbox_id)
        vacation = Vacation(
            row["enabled"], row["from_date"], row["to_date"], row["subject"], row["text_body"], row["html_body"]
        )
        async with self._services.database.connection() as connection:
            came = await connection.fetch(
                _SQL["came"], *key, row["answered_modseq"], row["modseq"], Role.INBOX.folder_id, MESSAGES_AT_ONCE
            )
            addresses = await connection.fetch(_DIRECTORY["addresses_of_mailbox"], *key)
        place = await self._services.directory.place(*key)
        answers = 0
        if addresses and self._routes.table.standby_is_master(place):
            own = {item["key"] for item in addresses}
            sender = Address.parse(addresses[0]["written"])
            for message in came:
                if vacation.answers_at(message["received_at"]):
                    answers += await self._answer(account, vacation, message, own, sender, row["name"])
        reached = came[-1]["modseq"] if len(came) == MESSAGES_AT_ONCE else row["modseq"]
        async with self._services.database.connection() as connection:
            await connection.execute(_SQL["answered"], *key, reached)
        return answers

    async def _answer(
        self, account: Account, vacation: Vacation, message: Any, own: set[str], sender: Address, name: str
    ) -> bool:
        try:
            head = await self._services.standby.blobs.read(
                account.organisation_id, message["blob_id"], limit=_HEADER_OCTETS
            )
        except (NoSuchBlob, KeyProblem, DamagedBlob):
            return False
        to = whom_to_answer(parse_header(head[:_HEADER_OCTETS]), message["reverse_path"], own)
        if to is None:
            return False
        resolution = await self._services.directory.resolve(to)
        if not isinstance(resolution, Resolved) and resolution is not Unresolved.NOT_OURS:
            return False
        content = await self._compose(vacation, message, sender, name, to)
        owner = Owner(account.organisation_id)
        now = datetime.now(UTC)

        async def remember(connection: Connection, _: Receipt, /) -> None:
            told = await connection.fetchval(
                _SQL["tell"], account.organisation_id, account.mailbox_id, to.key, now,
                now - timedelta(days=TOLD_AGAIN_DAYS),
            )  # fmt: skip
            if told is None:
                raise _ToldAlready

        try:
            await self._services.intake.accept(
                own_submission(content, (routed(to, resolution),), owner, self._hostname), remember
            )
        except _ToldAlready:
            return False
        except IntakeUnavailable as error:
            log.warning("answering.unavailable", error=str(error))
            return False
        return True

    async def _compose(self, vacation: Vacation, message: Any, sender: Address, name: str, to: Address) -> bytes:
        text = vacation.text_body or (visible_text(vacation.html_body) if vacation.html_body else _DEFAULT_TEXT)
        headers = {"Auto-Submitted": "auto-replied"}  # RFC 3834 §3.1.7
        if message["message_id"]:
            cited = f"<{message['message_id']}>"
            headers |= {"In-Reply-To": cited, "References": cited}
        return build_message(
            sender=sender,
            recipients=(to,),
            subject=vacation.subject or f"Auto: {message['subject']}"[:500],
            text=text,
            html=vacation.html_body,
            message_id=f"{encode_id(await self._services.database.ids.new())}@{self._hostname}",
            date=datetime.now(UTC),
            sender_name=name,
            headers=headers,
        )
