"""Capabilities, limits and errors of JMAP (RFC 8620 §2, §3.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

CORE: Final = "urn:ietf:params:jmap:core"
MAIL: Final = "urn:ietf:params:jmap:mail"
SUBMISSION: Final = "urn:ietf:params:jmap:submission"
VACATION: Final = "urn:ietf:params:jmap:vacationresponse"
BLOB: Final = "urn:ietf:params:jmap:blob"  # RFC 9404
QUOTA: Final = "urn:ietf:params:jmap:quota"  # RFC 9425
CONTACTS: Final = "urn:ietf:params:jmap:contacts"  # RFC 9610
WEBSOCKET: Final = "urn:ietf:params:jmap:websocket"  # RFC 8887
FILTERS: Final = "urn:everpost:jmap:filters"  # docs/jmap-filters.md
QUARANTINE: Final = "urn:everpost:jmap:quarantine"  # docs/jmap-quarantine.md
SETTINGS: Final = "urn:everpost:jmap:settings"  # docs/jmap-settings.md
CAPABILITIES: Final = frozenset(
    (CORE, MAIL, SUBMISSION, VACATION, BLOB, QUOTA, CONTACTS, WEBSOCKET, FILTERS, QUARANTINE, SETTINGS)
)

MAX_SIZE_REQUEST: Final = 10_000_000
MAX_SIZE_UPLOAD: Final = 50_000_000
MAX_CONCURRENT_REQUESTS: Final = 8
MAX_CONCURRENT_UPLOAD: Final = 4
MAX_CALLS_IN_REQUEST: Final = 32
MAX_OBJECTS_IN_GET: Final = 500
MAX_OBJECTS_IN_SET: Final = 500
MAX_ID: Final = 255
MAX_DATA_SOURCES: Final = 64
MAX_BLOB_SET_OCTETS: Final = 50_000_000
"""What Blob/upload puts together at most (RFC 9404)."""
MAX_ANSWER_OCTETS: Final = 64_000_000
"""All method responses of one request together; what would exceed it is refused (requestTooLarge)."""
MAX_DEPTH: Final = 64

_ID = re.compile(r"[A-Za-z0-9_\-]{1,255}\Z")


def is_id(text: object) -> bool:
    """Whether something is an Id (RFC 8620 §1.2)."""
    return isinstance(text, str) and _ID.match(text) is not None


class RequestError(Exception):
    """The whole request is refused (RFC 8620 §3.6.1)."""

    def __init__(self, kind: str, detail: str, *, limit: str | None = None, status: int = 400) -> None:
        super().__init__(detail)
        self.kind = f"urn:ietf:params:jmap:error:{kind}"
        self.detail = detail
        self.limit = limit
        self.status = status


class MethodError(Exception):
    """One method call is refused (RFC 8620 §3.6.2). `kind` is the error's type."""

    def __init__(self, kind: str, description: str = "") -> None:
        super().__init__(f"{kind}: {description}" if description else kind)
        self.kind = kind
        self.description = description

    def as_arguments(self) -> dict[str, Any]:
        return {"type": self.kind} | ({"description": self.description} if self.description else {})


class SetError(Exception):
    """One object of a /set is refused (RFC 8620 §5.3). `extra` holds what some types tell besides."""

    def __init__(
        self, kind: str, description: str = "", *, properties: tuple[str, ...] = (), extra: Mapping[str, Any] = {}
    ) -> None:
        super().__init__(f"{kind}: {description}" if description else kind)
        self.kind = kind
        self.description = description
        self.properties = properties
        self.extra = extra

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": self.kind}
        if self.description:
            found["description"] = self.description
        if self.properties:
            found["properties"] = list(self.properties)
        return found | dict(self.extra)


def core_capability() -> dict[str, Any]:
    """The limits of RFC 8620 §2."""
    return {
        "maxSizeUpload": MAX_SIZE_UPLOAD,
        "maxConcurrentUpload": MAX_CONCURRENT_UPLOAD,
        "maxSizeRequest": MAX_SIZE_REQUEST,
        "maxConcurrentRequests": MAX_CONCURRENT_REQUESTS,
        "maxCallsInRequest": MAX_CALLS_IN_REQUEST,
        "maxObjectsInGet": MAX_OBJECTS_IN_GET,
        "maxObjectsInSet": MAX_OBJECTS_IN_SET,
        "collationAlgorithms": [],
    }
