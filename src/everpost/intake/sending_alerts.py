"""Tells administrators when somebody begins to send more than is usual: once a day for each sender, by all processes
together.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import structlog

from everpost.continuity.alerts import AlertKind, raise_alert
from everpost.guard.kinds import SENDING_LIMIT, SENDING_LIMIT_DEFER, SENDING_LIMIT_QUARANTINE
from everpost.guard.model import Disposition
from everpost.intake.submission import Submission
from everpost.store.database import UNAVAILABLE, Connection, Database
from everpost.store.sql import load

log = structlog.get_logger()
_SQL = load("sending")
_WANTED: Final = {
    SENDING_LIMIT.name: (None, "Such mail goes, with a mark."),
    SENDING_LIMIT_QUARANTINE.name: (Disposition.QUARANTINE, "Such mail is kept in quarantine until it is released."),
    SENDING_LIMIT_DEFER.name: (Disposition.DEFER, "Such mail has to wait: it is not taken for now."),
}
_ADVICE: Final = (
    "If this is not what they wanted to send, the account or the server is in somebody else's hands: change its"
    " password, end its sessions, and look at what was sent. If it is (a newsletter, an application), allow it by a"
    " rule, or raise the limits in [guard.sending]."
)
QUIET: Final = timedelta(hours=1)  # before the database is asked again whether it is time to tell
_MOST: Final = 1000  # senders that are remembered here


class SendingAlerts:
    """One per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: dict[tuple[int, str], datetime] = {}

    async def look(self, submission: Submission) -> None:
        """Raise an alert where the guard found a limit exceeded, and no rule allows that. Never raises: who could not
        be told of one message is told of the next.
        """
        assert submission.assessment is not None
        verdict, owner = submission.assessment.verdict, submission.owner
        if owner is None:
            return
        for each in verdict.signals:
            if each.kind not in _WANTED:
                continue
            disposition, consequence = _WANTED[each.kind]
            if disposition is None or disposition is verdict.disposition:
                name = each.evidence.partition(": ")[0]
                text = f"{each.evidence}.\n\n{consequence} {_ADVICE}"
                await self._tell(owner.organisation_id, name, text, submission.received_at)

    async def _tell(self, organisation_id: int, name: str, text: str, at: datetime) -> None:
        key = (organisation_id, name)
        if (asked := self._asked.get(key)) is not None and at - asked < QUIET:
            return
        try:
            async with self._database.transaction() as connection:
                if await connection.fetchval(_SQL["tell"], organisation_id, name, at) is not None:
                    alert_id = await self._database.ids.new()
                    subject = f"Much more mail than usual is sent by {await _shown(connection, organisation_id, name)}"
                    await raise_alert(
                        connection, alert_id, organisation_id, AlertKind.SENDING_LIMIT, subject[:200], text
                    )
                    log.warning("sending.told", organisation=organisation_id, sender=name)
        except UNAVAILABLE as error:
            log.warning("sending.not_told", sender=name, error=str(error) or type(error).__name__)
            return
        if len(self._asked) >= _MOST:
            self._asked.clear()
        self._asked[key] = at


async def _shown(connection: Connection, organisation_id: int, name: str) -> str:
    """With the name of a primary, of which the guard knows the number."""
    kind, _, number = name.partition(" ")
    if kind != "primary" or not number.isdigit():
        return name
    found = await connection.fetchval(_SQL["primary_name"], organisation_id, int(number))
    return f"primary {found or number}"
