"""The parts of a message as EmailBodyPart and EmailBodyValue (RFC 8621 §4.1.4, §4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from everpost.mail.content import decode_body, decode_text
from everpost.mail.header import Header, parse_header_at
from everpost.mail.part import Part
from everpost.wire.jmap.headers import clean_raw, read_property, render_property

BODY_VALUE_OCTETS: Final = 1024 * 1024
"""No body value is longer; what is cut says so."""
PART_PROPERTIES: Final = frozenset(
    (
        "partId",
        "blobId",
        "size",
        "headers",
        "name",
        "type",
        "charset",
        "disposition",
        "cid",
        "language",
        "location",
        "subParts",
    )
)
DEFAULT_PART_PROPERTIES: Final = (
    "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language", "location",
)  # fmt: skip
EXACT_SIZE_OCTETS: Final = 64 * 1024 * 1024
_IDENTITY = frozenset(("7bit", "8bit", "binary"))


@dataclass(slots=True)
class Sizes:
    """Decodes parts to know their size, until `left` octets are used up; then it is reckoned from the encoding."""

    left: int = EXACT_SIZE_OCTETS

    def of(self, data: bytes, part: Part) -> int:
        if part.encoding in _IDENTITY:
            return part.size
        if part.body_end > len(data) or part.size > self.left:
            breaks = 2 * (part.size // 78)
            return max(0, (part.size - breaks) * 3 // 4) if part.encoding == "base64" else part.size
        self.left -= part.size
        return len(decode_body(data, part))


def part_blob_id(message_blob_id: str, number: int) -> str:
    """The blob id of a part: the message's, and the place of the part in the walk of its structure."""
    return f"{message_blob_id}-{number}"


class BodyRenderer:
    """Renders the parts of one message. `data` may be cut off where nothing after it is needed."""

    def __init__(
        self, data: bytes, root: Part, message_blob_id: str, properties: tuple[str, ...], sizes: Sizes
    ) -> None:
        self._data = data
        self._properties = properties
        self._sizes = sizes
        self._blob = message_blob_id
        self._numbers = {id(part): number for number, part in enumerate(root.walk())}
        self._header_properties = [
            wanted for name in properties if (wanted := read_property(name)) is not None
        ]  # fmt: skip

    def part(self, part: Part, *, nested: bool = False) -> dict[str, Any]:
        """One EmailBodyPart; with its subParts where `nested` (bodyStructure)."""
        found: dict[str, Any] = {}
        header = self._header(part) if self._header_properties or "headers" in self._properties else None
        for name in self._properties:
            if name in PART_PROPERTIES and name not in ("headers", "subParts"):
                found[name] = self._value(part, name)
        if header is not None:
            for wanted in self._header_properties:
                found[wanted.text] = render_property(header, wanted)
            if "headers" in self._properties:
                found["headers"] = render_headers(header)
        if nested and part.is_multipart:
            found["subParts"] = [self.part(child, nested=True) for child in part.children]
        elif "subParts" in self._properties:
            found["subParts"] = None
        return found

    def _value(self, part: Part, name: str) -> Any:
        leaf = not part.is_multipart
        match name:
            case "partId":
                return part.part_id if leaf else None
            case "blobId":
                return part_blob_id(self._blob, self._numbers[id(part)]) if leaf else None
            case "size":
                return self._sizes.of(self._data, part) if leaf else 0
            case "name":
                return part.filename
            case "language":
                return list(part.language) or None
            case _:
                return getattr(part, name)

    def _header(self, part: Part) -> Header:
        return parse_header_at(self._data, part.header_start, part.body_start)


def render_headers(header: Header) -> list[dict[str, str]]:
    """The `headers` property: every field in order, in the Raw form."""
    return [{"name": field.name, "value": clean_raw(field.raw)} for field in header.fields]


def body_value(data: bytes, part: Part, max_octets: int) -> dict[str, Any]:
    """An EmailBodyValue of at most `max_octets` octets of UTF-8 (0: our own bound)."""
    text, problem = decode_text(data, part, limit=BODY_VALUE_OCTETS)
    limit = min(max_octets, BODY_VALUE_OCTETS) if max_octets else BODY_VALUE_OCTETS
    cut, truncated = _cut(text, limit)
    if not truncated and part.size > BODY_VALUE_OCTETS:
        truncated = len(decode_body(data, part, limit=BODY_VALUE_OCTETS + 1)) > BODY_VALUE_OCTETS
    if truncated and part.type == "text/html":
        cut = _outside_tag(cut)
    return {"value": cut, "isEncodingProblem": problem, "isTruncated": truncated}


def _cut(text: str, limit: int) -> tuple[str, bool]:
    """Never inside a character (RFC 8621 §4.2)."""
    if len(text) * 4 <= limit:
        return text, False
    octets = text.encode("utf-8", "replace")
    if len(octets) <= limit:
        return text, False
    return octets[:limit].decode("utf-8", "ignore"), True


def _outside_tag(text: str) -> str:
    """HTML is not cut inside a tag (RFC 8621 §4.2)."""
    opened = text.rfind("<")
    return text[:opened] if opened > text.rfind(">") else text
