"""Filter/apply: filters on what stands in a folder already, through the ordinary change of a mailbox."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.mail.header import parse_header
from everpost.serve.web.jmap.context import Arguments, Context
from everpost.serve.web.names import NOTHING
from everpost.standby.filing import filters_of
from everpost.standby.filters import Facts, Field, Filing, Filter, decide, list_id_of
from everpost.standby.values import BadValue, Entry, NoSuchThing
from everpost.standby.work import Held, Work
from everpost.store.blobs import NoSuchBlob
from everpost.store.sql import load
from everpost.wire.jmap.arguments import FilterApply
from everpost.wire.jmap.core import MethodError

_SQL = load("filters")
MAX_APPLIED = 500
"""Messages that one call looks at, the newest of the folder."""
_HEADER_OCTETS = 128 * 1024


async def apply(context: Context, arguments: Arguments) -> Arguments:
    """Filter/apply. Labels and folders only: nothing that came long ago is passed on."""
    asked = context.read_to_change(arguments, FilterApply)
    folder_id = context.number(asked.mailbox_id)
    if folder_id not in {folder.id for folder in await context.standby.folders(context.account, counts=False)}:
        raise MethodError("invalidArguments", "there is no such folder")
    filters = await _chosen(context, asked.ids)
    key = (context.account.organisation_id, context.account.mailbox_id)
    async with context.services.database.connection() as connection:
        rows = await connection.fetch(_SQL["newest_in_folder"], *key, folder_id, MAX_APPLIED + 1)
    entries = await context.standby.entries(context.account, [row["message_id"] for row in rows[:MAX_APPLIED]])
    wanted = await _decide(context, filters, list(entries.values()))
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        changed = await _file(work, folder_id, wanted)
    return {
        "accountId": asked.account_id, "oldState": str(work.first_modseq), "newState": str(work.modseq),
        "examined": len(entries), "changed": changed, "hasMore": len(rows) > MAX_APPLIED,
    }  # fmt: skip


async def _chosen(context: Context, ids: Sequence[str] | None) -> list[Filter]:
    """In the order in which they act; those that were named, or all that are on. Raises `MethodError`."""
    async with context.services.database.connection() as connection:
        filters = await filters_of(connection, context.account)
    if ids is None:
        return filters
    numbers = {context.number(text) for text in ids}
    if NOTHING in numbers or not numbers <= {each.id for each in filters}:
        raise MethodError("invalidArguments", "there is no such filter")
    return [each for each in filters if each.id in numbers]


async def _decide(context: Context, filters: list[Filter], entries: list[Entry]) -> dict[int, Filing]:
    asks_for_list = any(c.field is Field.LIST_ID for each in filters if each.enabled for c in each.conditions)
    found: dict[int, Filing] = {}
    for entry in entries:
        list_id = await _list_id(context, entry) if asks_for_list else ""
        filing = decide(filters, Facts(entry.summary, entry.size, list_id))
        if filing:
            found[entry.id] = filing
    return found


async def _list_id(context: Context, entry: Entry) -> str:
    try:
        head = await context.standby.blobs.read(
            context.account.organisation_id, entry.blob_id, limit=_HEADER_OCTETS
        )  # fmt: skip
    except (NoSuchBlob, KeyProblem, DamagedBlob):
        return ""
    return list_id_of(parse_header(head[:_HEADER_OCTETS]))


async def _file(work: Work, folder_id: int, wanted: Mapping[int, Filing]) -> int:
    """How many were changed; one that was moved or is gone meanwhile is left alone."""
    before = work.modseq
    changed = 0
    await work.load(wanted)
    for entry_id, filing in wanted.items():
        with contextlib.suppress(NoSuchThing, BadValue):  # it is gone, or has as many labels as it may have
            held = await work.entry(entry_id)
            if folder_id in held.folder_ids:
                folders = await _folders(work, held, folder_id, filing)
                await work.update(entry_id, keywords=held.keywords | filing.keywords, folder_ids=folders)
        changed += work.modseq > before
        before = work.modseq
    return changed


async def _folders(work: Work, held: Held, source: int, filing: Filing) -> set[int] | None:
    """Where it stands afterwards; None: where it stands now."""
    target = filing.folder_id
    if target is None or target == source or target not in await work.folders():
        return None
    return {target, *held.folder_ids} - {source}
