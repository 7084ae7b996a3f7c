"""Quota/* (RFC 9425): what a person may upload. Mail has no limit here: nothing is turned away for its size in all."""

from __future__ import annotations

from typing import Any

from everpost.serve.web.jmap.context import Arguments, Context
from everpost.standby.service import MAX_UPLOADED_OCTETS
from everpost.wire.jmap.arguments import Get, Query, properties_of
from everpost.wire.jmap.core import MethodError

UPLOADS = "uploads"
_PROPERTIES = frozenset(
    ("id", "resourceType", "used", "hardLimit", "scope", "name", "types", "warnLimit", "softLimit", "description")
)


async def _quota(context: Context) -> dict[str, Any]:
    return {
        "id": UPLOADS, "resourceType": "octets", "used": await context.standby.uploaded(context.account),
        "hardLimit": MAX_UPLOADED_OCTETS, "scope": "account", "name": "Uploads", "types": ["Email"],
        "warnLimit": None, "softLimit": None,
        "description": "Files on their way into messages; they are forgotten after a day.",
    }  # fmt: skip


async def get(context: Context, arguments: Arguments) -> Arguments:
    """Quota/get."""
    asked = context.read(arguments, Get)
    wanted = properties_of(asked.properties, _PROPERTIES)
    quota = await _quota(context)
    ids = [UPLOADS] if asked.ids is None else list(dict.fromkeys(asked.ids))
    rows = [{name: quota[name] for name in wanted} for text in ids if text == UPLOADS]
    missing = [text for text in ids if text != UPLOADS]
    return {"accountId": asked.account_id, "state": str(quota["used"]), "list": rows, "notFound": missing}


async def query(context: Context, arguments: Arguments) -> Arguments:
    """Quota/query."""
    asked = context.read(arguments, Query)
    quota = await _quota(context)
    found = [UPLOADS]
    for name, value in (asked.filter or {}).items():
        match name:
            case "name":
                keep = isinstance(value, str) and value.lower() in quota["name"].lower()
            case "scope" | "resourceType":
                keep = value == quota[name]
            case "type":
                keep = value in quota["types"]
            case _:
                raise MethodError("unsupportedFilter", name[:80])
        found = found if keep else []
    if any(comparator.get("property") not in ("name", "used") for comparator in asked.sort or []):
        raise MethodError("unsupportedSort")
    answer: Arguments = {
        "accountId": asked.account_id, "queryState": str(quota["used"]), "canCalculateChanges": False, "position": 0,
        "ids": found,
    }  # fmt: skip
    return answer | ({"total": len(found)} if asked.calculate_total else {})
