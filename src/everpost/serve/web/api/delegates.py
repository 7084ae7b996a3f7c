"""Who else may use a mailbox."""

from __future__ import annotations

from typing import Any

from everpost.directory.model import Rights
from everpost.directory.records import DirectoryError
from everpost.directory.sharing import Sharing
from everpost.serve.web.api.registry import Call, Section
from everpost.serve.web.api.values import Input, Nothing, Output, Text, nothing_there

section = Section(
    "Delegates",
    "Mailboxes that several people use. A delegate has one more account in the webmail, and what they do in it is on "
    "record under their own name. Each right holds the ones before it: `read`; `write`: flag, move, delete, draft; "
    "`send`: write as the mailbox.",
)


class OfMailbox(Input, frozen=True):
    """Whose mailbox; of all where none is named."""

    mailbox: Text | None = None


class NewDelegate(Input, frozen=True):
    """Who may do what. Other rights replace those there were."""

    mailbox: Text
    delegate: Text
    rights: Rights


class OldDelegate(Input, frozen=True):
    """Whose rights end."""

    mailbox: Text
    delegate: Text


class DelegateLine(Output, frozen=True):
    """Somebody who may use a mailbox besides its owner."""

    mailbox: str
    address: str
    name: str
    rights: Rights


class Delegates(Output, frozen=True):
    """By mailbox and address."""

    delegates: list[DelegateLine]


@section.get("/delegates")
async def list_delegates(call: Call[OfMailbox, Nothing]) -> Delegates:
    """Who may use a mailbox besides its owner."""
    mailbox = call.query.mailbox
    sharing = await _sharing(call, *(() if mailbox is None else (mailbox,)))
    return await _delegates(sharing, call, mailbox)


@section.post("/delegates")
async def share_mailbox(call: Call[Nothing, NewDelegate]) -> Delegates:
    """Let somebody use a mailbox, from their next request on."""
    asked = call.body
    sharing = await _sharing(call, asked.mailbox, asked.delegate)
    await sharing.share(call.organisation.id, asked.mailbox, asked.delegate, asked.rights)
    return await _delegates(sharing, call, asked.mailbox)


@section.post("/delegates/remove")
async def unshare_mailbox(call: Call[Nothing, OldDelegate]) -> Delegates:
    """Take all of somebody's rights in a mailbox away, at once."""
    asked = call.body
    sharing = await _sharing(call, asked.mailbox, asked.delegate)
    await sharing.unshare(call.organisation.id, asked.mailbox, asked.delegate)
    return await _delegates(sharing, call, asked.mailbox)


async def _sharing(call: Call[Any, Any], *mailboxes: str) -> Sharing:
    """Raises `Problem` (404) for a mailbox that the organisation does not have."""
    sharing = Sharing(call.services.database, actor=call.actor)
    for address in mailboxes:
        try:
            await sharing.mailbox(address, call.organisation.id)
        except DirectoryError:
            raise nothing_there("mailbox") from None
    return sharing


async def _delegates(sharing: Sharing, call: Call[Any, Any], mailbox: str | None) -> Delegates:
    found = await sharing.delegates(call.organisation.id, mailbox)
    return Delegates(
        delegates=[DelegateLine(mailbox=d.mailbox, address=d.address, name=d.name, rights=d.rights) for d in found]
    )
