"""Identity/* (RFC 8621 §6): one for each address of the mailbox, and what a person makes besides."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from everpost.mail.address import Address
from everpost.serve.web.jmap.context import (
    Arguments,
    Context,
    check_creation_ids,
    read_changes,
    set_answer,
)
from everpost.serve.web.names import state_of
from everpost.standby.changes import CannotCalculate
from everpost.standby.settings import (
    MAX_IDENTITIES,
    MAX_SIGNATURE,
    StoredIdentity,
    delete_identity,
    save_identity,
    stored_identities,
)
from everpost.standby.submit import identity_id, read_addresses
from everpost.standby.work import Work
from everpost.store.database import Connection
from everpost.store.ids import encode_id
from everpost.store.sql import load
from everpost.wire.jmap.arguments import Get, Set, properties_of
from everpost.wire.jmap.core import MethodError, SetError
from everpost.wire.jmap.headers import write_address

_DIRECTORY = load("directory")
_IDENTITY = frozenset(("id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"))
_FIELDS = {
    "name": "name", "replyTo": "reply_to", "bcc": "bcc", "textSignature": "text_signature",
    "htmlSignature": "html_signature",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """As it is shown: `own` ones were made by the person and may go."""

    stored: StoredIdentity
    own: bool

    @property
    def id(self) -> str:
        return self.stored.id

    @property
    def address(self) -> Address:
        return Address.parse(self.stored.email)


@dataclass(frozen=True, slots=True)
class _Known:
    """All identities of a mailbox; `mark` changes with its addresses, which no change log tells of."""

    by_id: dict[str, Identity]
    mark: str


async def _known(context: Context, connection: Connection) -> _Known:
    """Of each address, the default one first; then those made besides, while their address is still there."""
    account = context.account
    rows = await connection.fetch(_DIRECTORY["addresses_of_mailbox"], account.organisation_id, account.mailbox_id)
    stored = await stored_identities(connection, account)
    found: dict[str, Identity] = {}
    for row in rows:
        text = identity_id(row["key"])
        plain = StoredIdentity(text, row["written"], context.visitor.mailbox.name, None, None, "", "")
        found[text] = Identity(replace(stored.pop(text, plain), email=row["written"]), own=False)
    for identity in stored.values():
        if identity.id.startswith("J"):
            found[identity.id] = Identity(identity, own=True)
    mark = hashlib.blake2b("\n".join(row["key"] for row in rows).encode("utf-8", "replace"), digest_size=5).hexdigest()
    return _Known(found, mark)


async def identity_of(context: Context, wanted: Any) -> Identity:
    """Raises `SetError` where there is none of that id."""
    async with context.services.database.connection() as connection:
        known = await _known(context, connection)
    if not isinstance(wanted, str) or wanted not in known.by_id:
        raise SetError("invalidProperties", "there is no such identity", properties=("identityId",))
    return known.by_id[wanted]


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Identity/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _IDENTITY)
    state = await context.standby.state(context.account)
    async with context.services.database.connection() as connection:
        known = await _known(context, connection)
    ids = list(known.by_id) if asked.ids is None else list(dict.fromkeys(asked.ids))
    rows = [_shown(known.by_id[text], wanted) for text in ids if text in known.by_id]
    missing = [text for text in ids if text not in known.by_id]
    return {"accountId": asked.account_id, "state": f"{state}.{known.mark}", "list": rows, "notFound": missing}


def _shown(identity: Identity, wanted: frozenset[str]) -> dict[str, Any]:
    stored = identity.stored
    row = {
        "id": stored.id, "name": stored.name, "email": stored.email, "replyTo": stored.reply_to, "bcc": stored.bcc,
        "textSignature": stored.text_signature, "htmlSignature": stored.html_signature, "mayDelete": identity.own,
    }  # fmt: skip
    return {name: row[name] for name in wanted}


async def changes(context: Context, arguments: Arguments) -> Arguments:
    """Identity/changes. Where the mailbox got or lost an address, everything has to be asked for anew."""
    asked, most = read_changes(context, arguments)
    since, _, mark = asked.since_state.partition(".")
    async with context.services.database.connection() as connection:
        known = await _known(context, connection)
    try:
        if mark != known.mark:
            raise CannotCalculate  # noqa: TRY301
        found = await context.standby.noted(context.account, "Identity", state_of(since), most)
    except CannotCalculate:
        raise MethodError("cannotCalculateChanges") from None
    return {
        "accountId": asked.account_id, "oldState": asked.since_state, "newState": f"{found.new}.{mark}",
        "hasMoreChanges": found.more, "created": found.created, "updated": found.updated,
        "destroyed": found.destroyed,
    }  # fmt: skip


async def change(context: Context, arguments: Arguments) -> Arguments:
    """Identity/set."""
    asked = context.read_to_change(arguments, Set)
    check_creation_ids(asked.create)
    ids = {name: "J" + encode_id(await context.standby.new_id()) for name in asked.create or {}}
    async with context.standby.work(context.account, context.visitor.actor, context.gate) as (work, _):
        known = await _known(context, work.connection)
        old = f"{work.first_modseq}.{known.mark}"
        if asked.if_in_state is not None and asked.if_in_state != old:
            raise MethodError("stateMismatch")
        answer = set_answer(context, 0, 0) | {"oldState": old}
        for name, properties in (asked.create or {}).items():
            try:
                answer["created"][name] = await _create(context, work, known, ids[name], properties)
                context.dialogue.remember(name, ids[name])
            except SetError as error:
                answer["notCreated"][name] = error.as_json()
        for text, patch in (asked.update or {}).items():
            try:
                await _update(work, known, _real(context, text), patch)
                answer["updated"][text] = None
            except SetError as error:
                answer["notUpdated"][text] = error.as_json()
        for text in dict.fromkeys(asked.destroy or ()):
            try:
                await _destroy(work, known, _real(context, text))
                answer["destroyed"].append(text)
            except SetError as error:
                answer["notDestroyed"][text] = error.as_json()
        answer["newState"] = f"{work.modseq}.{known.mark}"
    return answer


def _real(context: Context, text: str) -> str:
    try:
        return context.dialogue.real_id(text)
    except KeyError:
        return ""


async def _create(
    context: Context, work: Work, known: _Known, new_id: str, properties: dict[str, Any]
) -> dict[str, Any]:
    email = properties.get("email")
    values = _values({name: value for name, value in properties.items() if name != "email"})
    good, _ = read_addresses((email,) if isinstance(email, str) else ())
    if not good:
        raise SetError("invalidProperties", "an identity has an address", properties=("email",))
    if await context.standby.owned(context.account, good) != frozenset(good):
        raise SetError("forbiddenFrom", "that is not an address of yours")
    if len(known.by_id) >= MAX_IDENTITIES:
        raise SetError("overQuota", f"at most {MAX_IDENTITIES} identities")
    plain = StoredIdentity(new_id, str(good[0]), "", None, None, "", "")
    identity = Identity(replace(plain, **values), own=True)
    await save_identity(work, identity.stored, "created")
    known.by_id[new_id] = identity
    unsaid = frozenset(name for name in _IDENTITY if name not in properties)
    return _shown(identity, unsaid | {"id"})


async def _update(work: Work, known: _Known, text: str, patch: dict[str, Any]) -> None:
    identity = known.by_id.get(text)
    if identity is None:
        raise SetError("notFound")
    same = _shown(identity, _IDENTITY)
    values = _values({name: value for name, value in patch.items() if name not in same or same[name] != value})
    stored = replace(identity.stored, **values)
    if stored != identity.stored:
        await save_identity(work, stored, "updated")
        known.by_id[text] = Identity(stored, identity.own)


async def _destroy(work: Work, known: _Known, text: str) -> None:
    identity = known.by_id.get(text)
    if identity is None:
        raise SetError("notFound")
    if not identity.own:
        raise SetError("forbidden", "an address of the mailbox keeps its identity")
    await delete_identity(work, text)
    del known.by_id[text]


def _values(properties: dict[str, Any]) -> dict[str, Any]:
    """As they are stored; raises `SetError`."""
    unknown = tuple(name[:80] for name in properties if name not in _FIELDS)
    if unknown:
        raise SetError("invalidProperties", "cannot be set", properties=unknown)
    return {_FIELDS[name]: _value(name, value) for name, value in properties.items()}


def _value(name: str, value: Any) -> Any:
    if name in ("replyTo", "bcc"):
        if value is None:
            return None
        try:
            if not isinstance(value, list) or len(value) > 100:
                raise ValueError  # noqa: TRY301
            for item in value:
                write_address(item)
                if "\0" in (item.get("name") or ""):
                    raise ValueError  # noqa: TRY301
        except (ValueError, UnicodeError):
            raise SetError("invalidProperties", "a list of addresses", properties=(name,)) from None
        return [{"name": item.get("name") or None, "email": item["email"]} for item in value]
    limit = 500 if name == "name" else MAX_SIGNATURE
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise SetError("invalidProperties", f"a text of at most {limit} letters", properties=(name,))
    return value
