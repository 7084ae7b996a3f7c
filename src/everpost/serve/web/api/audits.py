"""Who did what, and the proof that nobody changed it afterwards."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec

from everpost.identity.administrators import INSTALLATION
from everpost.serve.web.api.door import Door
from everpost.serve.web.api.messages import EventShown
from everpost.serve.web.api.registry import Access, Call, Section
from everpost.serve.web.api.values import Id, Input, Nothing, Output, Text, parse_id, refusal
from everpost.store.audit import verify_chain
from everpost.store.ids import encode_id
from everpost.store.sql import load

_SQL = load("api")
LOOKED_AT = 20_000
"""So many events a page looks at."""
VERIFY_S = 50.0
section = Section("Audit", "A hash-chained record of every change.")
_verifying = asyncio.Lock()


class AuditOf(Input, frozen=True):
    """Whose: that of an organisation, or (for administrators of the whole installation) that of the installation."""

    organisation: Text | None = None
    installation: bool = False


class AuditQuery(AuditOf, frozen=True):
    """Which events."""

    action: Annotated[Text | None, msgspec.Meta(description="Only actions that begin with this, like `queue.`.")] = None
    subject: Text | None = None
    acceptances: Annotated[bool, msgspec.Meta(description="Each acceptance of mail too.")] = False
    before: Annotated[Id | None, msgspec.Meta(description="The `next` of the page before.")] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100


class AuditPage(Output, frozen=True):
    """Events, the latest first. `next` leads to the page after it (which may be an empty one); null at the end."""

    events: list[EventShown]
    next: str | None


class AuditVerdict(Output, frozen=True):
    """`broken_at`: the first link that does not fit. `head` is the hash of the last one that does."""

    intact: bool
    links: int
    broken_at: int | None
    head: str


@section.get("/audit", access=Access.ADMINISTRATOR)
async def list_audit(call: Call[AuditQuery, Nothing]) -> AuditPage:
    """The latest events."""
    asked, key = call.query, await _whose(call, call.query)
    before = None if asked.before is None else parse_id(asked.before, "event")
    async with call.services.database.connection() as connection:
        rows = await connection.fetch(
            _SQL["audit_page"],
            key, before, asked.action, asked.subject, asked.acceptances, LOOKED_AT, asked.limit,
        )  # fmt: skip
        if len(rows) == asked.limit:
            following = rows[-1]["id"]
        else:
            lowest = await connection.fetchrow(_SQL["audit_lowest"], key, before, LOOKED_AT)
            following = None if lowest["complete"] else lowest["id"]
    events = [
        EventShown(id=encode_id(row["id"]), at=row["at"], actor=row["actor"], action=row["action"],
                   subject=row["subject"], detail=row["detail"])
        for row in rows
    ]  # fmt: skip
    return AuditPage(events=events, next=None if following is None else encode_id(following))


@section.get("/audit/verify", access=Access.ADMINISTRATOR)
async def verify_audit(call: Call[AuditOf, Nothing]) -> AuditVerdict:
    """Walk the chain from its start: whether something was changed, taken out or put in.

    One at a time, for at most 50 s; `everpost audit verify` walks the longest ones.
    """
    key = await _whose(call, call.query)
    if _verifying.locked():
        raise refusal(429, "busy", "A chain is being verified already", "Wait until that has ended.")
    try:
        async with _verifying, asyncio.timeout(VERIFY_S):
            verdict = await verify_chain(call.services.database, key)
    except TimeoutError:
        raise refusal(503, "too-long", "The chain is too long", "Use `everpost audit verify`.") from None
    return AuditVerdict(
        intact=verdict.broken_at is None, links=verdict.links, broken_at=verdict.broken_at, head=verdict.head
    )


async def _whose(call: Call[Any, Nothing], asked: AuditOf) -> int:
    if not asked.installation:
        return (await Door(call.services).organisation(call.administrator, asked.organisation)).id
    if call.administrator.organisation_id != INSTALLATION:
        raise refusal(403, "installation-only", "That is for administrators of the whole installation")
    return INSTALLATION
