"""A request: parsing, result references, creation ids (RFC 8620 §3.3–§3.7, §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from everpost.wire.jmap.core import (
    CAPABILITIES,
    CORE,
    MAX_CALLS_IN_REQUEST,
    MAX_DEPTH,
    MAX_SIZE_REQUEST,
    MethodError,
    RequestError,
    is_id,
)

MAX_CREATED_IDS: Final = 10_000
_MAX_PATH: Final = 255
_MAX_REFERENCED: Final = 50_000


class Invocation(msgspec.Struct, array_like=True, frozen=True):
    """One method call or response: name, arguments, the client's id for it."""

    name: str
    arguments: dict[str, Any]
    call_id: str


class Request(msgspec.Struct, rename="camel", frozen=True):
    """The Request object (RFC 8620 §3.3)."""

    using: list[str]
    method_calls: list[Invocation]
    created_ids: dict[str, str] | None = None


class _Reference(msgspec.Struct, rename="camel", frozen=True):
    result_of: str
    name: str
    path: str


def parse_request(body: bytes) -> Request:
    """Raises `RequestError`: notJSON, notRequest, unknownCapability, limit."""
    if len(body) > MAX_SIZE_REQUEST:
        raise RequestError("limit", "the request is too large", limit="maxSizeRequest")
    return check_request(read_json(body))


def read_json(text: bytes | str) -> Any:
    """I-JSON that does not nest too deep. Raises `RequestError`: notJSON, notRequest."""
    try:
        raw = msgspec.json.decode(text)
        if isinstance(text, bytes):
            text.decode("utf-8")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, UnicodeEncodeError, ValueError) as error:
        raise RequestError("notJSON", "the request is not I-JSON") from error
    if _too_deep(raw):
        raise RequestError("notRequest", f"values nest at most {MAX_DEPTH} deep")
    return raw


def check_request(raw: Any) -> Request:
    """Raises `RequestError`: notRequest, unknownCapability, limit."""
    try:
        request = msgspec.convert(raw, Request)
    except msgspec.ValidationError as error:
        raise RequestError("notRequest", str(error)) from error
    unknown = [name for name in request.using if name not in CAPABILITIES]
    if unknown:
        raise RequestError("unknownCapability", f"unknown: {', '.join(unknown)[:200]}")
    if len(request.method_calls) > MAX_CALLS_IN_REQUEST:
        raise RequestError("limit", "too many method calls", limit="maxCallsInRequest")
    return request


def _too_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return True
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(inner for inner in item.values() if isinstance(inner, (dict, list)))
            elif isinstance(item, list):
                below.extend(inner for inner in item if isinstance(inner, (dict, list)))
        level = below
    return False


class Dialogue:
    """What the calls of one request have answered and created so far."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.responses: list[Invocation] = []
        self.created: dict[str, str] = {}
        for key, value in list((request.created_ids or {}).items())[:MAX_CREATED_IDS]:
            if is_id(key) and is_id(value):
                self.created[key] = value

    def uses(self, capability: str) -> bool:
        """Whether the client asked for a capability; the core needs no asking for Core/echo alone."""
        return capability in self.request.using or (capability == CORE and bool(self.request.using))

    def answer(self, call: Invocation, name: str, arguments: dict[str, Any]) -> None:
        self.responses.append(Invocation(name, arguments, call.call_id))

    def arguments_of(self, call: Invocation) -> dict[str, Any]:
        """The arguments with every "#name" replaced by what it refers to (RFC 8620 §3.7).

        Raises `MethodError`: invalidArguments, invalidResultReference.
        """
        resolved: dict[str, Any] = {}
        for name, value in call.arguments.items():
            if not name.startswith("#"):
                resolved[name] = value
                continue
            if name[1:] in call.arguments:
                raise MethodError("invalidArguments", f"{name[1:80]} is given twice")
            resolved[name[1:]] = self._look_up(value)
        return resolved

    def _look_up(self, value: Any) -> Any:
        try:
            reference = msgspec.convert(value, _Reference)
        except msgspec.ValidationError as error:
            raise MethodError("invalidResultReference", str(error)) from error
        for response in self.responses:
            if response.call_id == reference.result_of:
                if response.name != reference.name:
                    break
                return _evaluate(response.arguments, reference.path)
        raise MethodError("invalidResultReference", "no such response")

    def real_id(self, text: str) -> str:
        """An id, or the id behind "#creation"; raises `KeyError` for one that was not created."""
        return self.created[text[1:]] if text.startswith("#") else text

    def remember(self, creation_id: str, real: str) -> None:
        if len(self.created) < MAX_CREATED_IDS:
            self.created[creation_id] = real


def _evaluate(value: Any, path: str) -> Any:
    """A JSON pointer (RFC 6901) with "*" for all items of an array."""
    if len(path) > _MAX_PATH or (path and not path.startswith("/")):
        raise MethodError("invalidResultReference", "not a pointer")
    tokens = [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]
    return _step(value, tokens)


def _step(value: Any, tokens: list[str]) -> Any:
    for number, token in enumerate(tokens):
        if token == "*" and isinstance(value, list):  # noqa: S105
            found: list[Any] = []
            for item in value:
                inner = _step(item, tokens[number + 1 :])
                found.extend(inner) if isinstance(inner, list) else found.append(inner)
                if len(found) > _MAX_REFERENCED:
                    raise MethodError("invalidResultReference", "too many values")
            return found
        if (
            isinstance(value, list)
            and token.isascii()
            and token.isdigit()
            and len(token) < 7
            and int(token) < len(value)
        ):
            value = value[int(token)]
        elif isinstance(value, dict) and token in value:
            value = value[token]
        else:
            raise MethodError("invalidResultReference", "the path leads nowhere")
    return value


def patched(current: dict[str, bool], patch: dict[str, Any], name: str, real: Callable[[str], str]) -> dict[str, bool]:
    """A set of keys (mailboxIds, keywords) after an update, which replaces it whole or names keys: "name/key".

    Raises `ValueError` for anything else: an invalid patch (RFC 8620 §5.3).
    """
    if name in patch:
        if any(key.startswith(f"{name}/") for key in patch):
            raise ValueError(f"{name} is set both whole and in part")
        whole = patch[name]
        if not isinstance(whole, dict) or any(value is not True for value in whole.values()):
            raise ValueError(f"{name} is a map to true")
        return {real(key): True for key in whole}
    result = dict(current)
    for path, value in patch.items():
        if not path.startswith(f"{name}/"):
            continue
        key = path[len(name) + 1 :]
        if "/" in key:
            raise ValueError(f"{path[:80]} leads nowhere")
        key = real(key.replace("~1", "/").replace("~0", "~"))
        if value is True:
            result[key] = True
        elif value is None:
            result.pop(key, None)
        else:
            raise ValueError(f"{path[:80]} is true or null")
    return result
