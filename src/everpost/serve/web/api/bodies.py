"""From bytes and parameters to values, with errors that name the field."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from everpost.serve.web.api.values import refusal
from everpost.serve.web.bodies import BadBody, read_json_octets
from everpost.serve.web.problems import Problem

T = TypeVar("T", bound=msgspec.Struct)
MAX_BODY = 65_536
MAX_PARAMETERS = 50
_AT = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAMED = re.compile(r"\AObject (?:contains unknown|missing required) field `([^`]*)`")


async def read_body(request: Request, kind: type[T]) -> T:
    """The body as a value. Raises `Problem`: 400 (with `field` where one is wrong), 408, 413, 415."""
    try:
        body = await read_json_octets(request, MAX_BODY)
    except BadBody as error:
        raise _refused(error) from None
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise refusal(400, "not-json", "The body is no JSON") from None


def _refused(error: BadBody) -> Problem:
    if error.status == 413:
        return refusal(413, "too-large", error.title)
    if error.status == 408:
        return refusal(408, "too-slow", error.title)
    return refusal(error.status, "not-json", error.title)


def read_parameters(request: Request) -> dict[str, str]:
    """What stands after `?`. Each may be given once."""
    pairs = request.query_params.multi_items()
    if len(pairs) > MAX_PARAMETERS:
        raise refusal(400, "invalid", f"There are at most {MAX_PARAMETERS} parameters")
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise refusal(400, "invalid", f"{name[:100]} is given twice", field=name[:100])
        found[name] = value
    return found


def convert(parameters: dict[str, Any], kind: type[T]) -> T:
    """Parameters as a value. Raises `Problem`."""
    try:
        return msgspec.convert(parameters, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None


def invalid(message: str) -> Problem:
    """What msgspec has to say, with the field by itself."""
    at, named = _AT.search(message), _NAMED.match(message)
    path = [at.group(1)] if at and at.group(1) else []
    if named:
        path.append(named.group(1))
    text = message[: at.start()] if at else message
    name = ".".join(path)[:200]
    detail = f"{name}: {text}" if name and not named else text
    return refusal(400, "invalid", "That cannot be meant", detail[:500], **({"field": name} if name else {}))
