"""PushSubscription/* (RFC 8620 §7.2). The server opens no connections to addresses that clients name: every creation
is refused with the reason. Push is by the event source (§7.3).
"""

from __future__ import annotations

from typing import Any

import msgspec

from everpost.serve.web.jmap.context import Arguments, Context
from everpost.wire.jmap.arguments import Id
from everpost.wire.jmap.core import MethodError, SetError


class _Get(msgspec.Struct, forbid_unknown_fields=True):
    ids: list[Id] | None = None
    properties: list[str] | None = None


class _Set(msgspec.Struct, forbid_unknown_fields=True):
    create: dict[Id, dict[str, Any]] | None = None
    update: dict[Id, dict[str, Any]] | None = None
    destroy: list[Id] | None = None


async def get(_: Context, arguments: Arguments) -> Arguments:
    """There are none."""
    try:
        asked = msgspec.convert(arguments, _Get)
    except msgspec.ValidationError as error:
        raise MethodError("invalidArguments", str(error)) from error
    return {"list": [], "notFound": list(dict.fromkeys(asked.ids or ()))}


async def change(_: Context, arguments: Arguments) -> Arguments:
    """Refuses everything, and says why."""
    try:
        asked = msgspec.convert(arguments, _Set)
    except msgspec.ValidationError as error:
        raise MethodError("invalidArguments", str(error)) from error
    missing = SetError("notFound").as_json()
    return {
        "created": {},
        "updated": {},
        "destroyed": [],
        "notCreated": {name: _refusal(properties).as_json() for name, properties in (asked.create or {}).items()},
        "notUpdated": dict.fromkeys(asked.update or {}, missing),
        "notDestroyed": dict.fromkeys(asked.destroy or (), missing),
    }


def _refusal(properties: dict[str, Any]) -> SetError:
    if not str(properties.get("url", "")).startswith("https://"):
        return SetError("invalidProperties", "url begins with https://", properties=("url",))
    return SetError("forbidden", "this server pushes through its event source only")
