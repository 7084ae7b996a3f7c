"""Messages of JMAP over WebSocket (RFC 8887 §4): read, and written. Pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from everpost.wire.jmap.core import MAX_SIZE_REQUEST, RequestError
from everpost.wire.jmap.request import Request, check_request, read_json

PROTOCOL: Final = "jmap"
MAX_TYPES: Final = 100
MAX_REQUEST_ID: Final = 255


class PushEnable(msgspec.Struct, rename="camel", frozen=True):
    """WebSocketPushEnable (§4.3.5.2). `data_types` None: all."""

    data_types: list[str] | None = None
    push_state: str | None = None


class PushDisable(msgspec.Struct, frozen=True):
    """WebSocketPushDisable (§4.3.5.3)."""


class Numbered(msgspec.Struct, frozen=True):
    """A request and the client's id for it."""

    id: str | None
    request: Request


class WebSocketError(Exception):
    """A message that is refused: what the RequestError says, and to which message it belongs."""

    def __init__(self, error: RequestError, request_id: str | None) -> None:
        super().__init__(error.detail)
        self.error = error
        self.request_id = request_id


def read_message(text: str) -> Numbered | PushEnable | PushDisable:
    """Raises `WebSocketError`."""
    raw: dict[str, Any] = {}
    try:
        raw = _object(text)
        return _read(raw)
    except RequestError as error:
        request_id = raw.get("id")
        raise WebSocketError(error, request_id if isinstance(request_id, str) else None) from error


def _object(text: str) -> dict[str, Any]:
    if len(text) > MAX_SIZE_REQUEST or len(text.encode("utf-8", "replace")) > MAX_SIZE_REQUEST:
        raise RequestError("limit", "the request is too large", limit="maxSizeRequest")
    raw = read_json(text)
    if not isinstance(raw, dict):
        raise RequestError("notRequest", "a message is an object")
    return raw


def _read(raw: dict[str, Any]) -> Numbered | PushEnable | PushDisable:
    match raw.get("@type"):
        case "Request":
            request_id = raw.get("id")
            if request_id is not None and (not isinstance(request_id, str) or len(request_id) > MAX_REQUEST_ID):
                raise RequestError("notRequest", f"an id is a text of at most {MAX_REQUEST_ID} letters")
            return Numbered(request_id, check_request(raw))
        case "WebSocketPushEnable":
            return _push_enable(raw)
        case "WebSocketPushDisable":
            return PushDisable()
        case _:
            raise RequestError("notRequest", "@type is Request, WebSocketPushEnable or WebSocketPushDisable")


def _push_enable(raw: dict[str, Any]) -> PushEnable:
    try:
        found = msgspec.convert(raw, PushEnable)
    except msgspec.ValidationError as error:
        raise RequestError("notRequest", str(error)) from error
    if found.data_types is not None and len(found.data_types) > MAX_TYPES:
        raise RequestError("notRequest", f"at most {MAX_TYPES} types")
    return found


def response_message(response: bytes, request_id: str | None) -> str:
    """A Response object, encoded, as a message (§4.3.2)."""
    head = b'{"@type":"Response",'
    if request_id is not None:
        head += b'"requestId":' + msgspec.json.encode(request_id) + b","
    return (head + response.lstrip()[1:]).decode("utf-8")


def error_message(error: RequestError, request_id: str | None) -> str:
    """A RequestError (§4.3.4)."""
    found: dict[str, Any] = {
        "@type": "RequestError", "requestId": request_id, "type": error.kind, "status": error.status,
        "detail": error.detail,
    }  # fmt: skip
    return msgspec.json.encode(found | ({"limit": error.limit} if error.limit else {})).decode("utf-8")


def state_change_message(changed: dict[str, dict[str, str]], push_state: str) -> str:
    """A StateChange (§4.3.5.1)."""
    found = {"@type": "StateChange", "changed": changed, "pushState": push_state}
    return msgspec.json.encode(found).decode("utf-8")
