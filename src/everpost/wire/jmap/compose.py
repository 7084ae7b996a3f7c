"""An Email object to be created → the octets of a message (RFC 8621 §4.6). Lines end in CRLF and nothing else does."""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final

from everpost.mail.charset import clean
from everpost.mail.header import encode_text
from everpost.wire.jmap.core import SetError
from everpost.wire.jmap.headers import Form, as_list, read_property, write_field

MAX_PARTS: Final = 200
MAX_PART_DEPTH: Final = 20
_FIELDS: Final = {
    "from": ("From", Form.ADDRESSES), "sender": ("Sender", Form.ADDRESSES), "replyTo": ("Reply-To", Form.ADDRESSES),
    "to": ("To", Form.ADDRESSES), "cc": ("Cc", Form.ADDRESSES), "bcc": ("Bcc", Form.ADDRESSES),
    "subject": ("Subject", Form.TEXT), "sentAt": ("Date", Form.DATE), "messageId": ("Message-ID", Form.MESSAGE_IDS),
    "inReplyTo": ("In-Reply-To", Form.MESSAGE_IDS), "references": ("References", Form.MESSAGE_IDS),
}  # fmt: skip
_BODY = frozenset(("bodyStructure", "bodyValues", "textBody", "htmlBody", "attachments"))
_ELSEWHERE = frozenset(("mailboxIds", "keywords", "receivedAt"))
_PART = frozenset(
    (
        "partId",
        "blobId",
        "size",
        "name",
        "type",
        "charset",
        "disposition",
        "cid",
        "language",
        "location",
        "subParts",
        "headers",
    )
)
_MADE_HERE = frozenset(
    ("mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
     "content-language", "content-location")
)  # fmt: skip
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+\-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+\-]{0,126}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]{1,100}\Z")
_METHOD = re.compile(r"^METHOD:([A-Z]{1,20})\s*$", re.MULTILINE)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Leaf:
    """What a part's content is: text that came with the request, or the octets of a blob."""

    text: str | None = None
    blob_id: str | None = None


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part of a message to be made."""

    type: str
    leaf: Leaf | None = None
    children: tuple[NewPart, ...] = ()
    fields: tuple[tuple[str, bytes], ...] = ()
    name: str | None = None
    disposition: str | None = None
    cid: str | None = None
    language: tuple[str, ...] = ()
    location: str | None = None

    def blob_ids(self) -> list[str]:
        found = [self.leaf.blob_id] if self.leaf is not None and self.leaf.blob_id is not None else []
        for child in self.children:
            found += child.blob_ids()
        return found


@dataclass(frozen=True, slots=True)
class NewEmail:
    """A creation, checked: its header fields in order, and its parts."""

    fields: tuple[tuple[str, bytes], ...]
    root: NewPart

    def has(self, name: str) -> bool:
        """Whether the message gets such a field; those of the root part stand in the same header."""
        return any(field_name.lower() == name for field_name, _ in (*self.fields, *self.root.fields))


def read_email(properties: dict[str, Any]) -> NewEmail:
    """Raises `SetError` (invalidProperties) naming what is wrong. What is not of the message itself is passed over."""
    fields: list[tuple[str, bytes]] = []
    for name, value in properties.items():
        if name in _BODY or name in _ELSEWHERE:
            continue
        fields += _read_field(name, value)
    names = [name.lower() for name, _ in fields]
    for name in dict.fromkeys(names):
        if names.count(name) > 1 and len(_spellings(properties, name)) > 1:
            raise SetError("invalidProperties", f"{name} is given in two ways", properties=_spellings(properties, name))
    root = _Parts(properties, frozenset(names)).root()
    return NewEmail(tuple(fields), root)


def _names(key: str) -> str | None:
    if key in _FIELDS:
        return _FIELDS[key][0].lower()
    wanted = read_property(key)
    return wanted.name.lower() if wanted else None


def _spellings(properties: dict[str, Any], name: str) -> tuple[str, ...]:
    return tuple(key for key, value in properties.items() if value is not None and _names(key) == name)


def _read_field(key: str, value: Any, part: str = "") -> list[tuple[str, bytes]]:
    """The fields that a property makes; `part` is where the part stands whose property it is."""
    wanted, told = read_property(key), f"{part}/{key[:255]}" if part else key[:255]
    if key in _FIELDS and not part:
        name, form, everything = *_FIELDS[key], False
    elif wanted is not None:
        name, form, everything = wanted.name, wanted.form, wanted.all
        if name.lower() in _MADE_HERE or (not part and name.lower().startswith("content-")):
            raise SetError("invalidProperties", f"{name} is made by the server", properties=(told,))
    else:
        raise SetError("invalidProperties", "cannot be set", properties=(told,))
    if value is None or value == []:
        return []
    try:
        values = as_list(value, 100) if everything else [value]
        return [(name, write_field(name, form, item)) for item in values]
    except ValueError as error:
        raise SetError("invalidProperties", str(error), properties=(told,)) from error


@dataclass(slots=True)
class _Parts:
    properties: dict[str, Any]
    of_message: frozenset[str]  # fields that the message has already, in lower case
    count: int = field(default=0)

    def root(self) -> NewPart:
        properties = self.properties
        if properties.get("bodyStructure") is not None:
            others = tuple(name for name in ("textBody", "htmlBody", "attachments") if properties.get(name) is not None)
            if others:
                raise SetError("invalidProperties", "bodyStructure excludes them", properties=others)
            return self.part(properties["bodyStructure"], "bodyStructure")
        text = self._one("textBody", "text/plain")
        html = self._one("htmlBody", "text/html")
        attached = _items(properties, "attachments")
        files = [self.part(item, f"attachments/{number}") for number, item in enumerate(attached)]
        return _assemble(text, html, files)

    def _one(self, name: str, kind: str) -> NewPart | None:
        items = _items(self.properties, name)
        if not items:
            return None
        if len(items) > 1:
            raise SetError("invalidProperties", f"one part of type {kind} is expected", properties=(name,))
        part = self.part({"type": kind} | items[0] if isinstance(items[0], dict) else items[0], f"{name}/0")
        if part.type != kind:
            raise SetError("invalidProperties", f"a part of type {kind} is expected", properties=(f"{name}/0/type",))
        return part

    def part(self, item: Any, about: str, depth: int = 1) -> NewPart:
        self.count += 1
        if not isinstance(item, dict) or self.count > MAX_PARTS or depth > MAX_PART_DEPTH:
            raise SetError("invalidProperties", "no part, too many or too deep", properties=(about,))
        kind = str(item.get("type") or ("multipart/mixed" if item.get("subParts") else "text/plain")).lower()
        if not _TYPE.match(kind):
            raise SetError("invalidProperties", "not a media type", properties=(f"{about}/type",))
        fields = self._fields(item, about, is_root=about == "bodyStructure")
        if kind.startswith("multipart/"):
            children = item.get("subParts")
            if not isinstance(children, list) or not children:
                raise SetError("invalidProperties", "a multipart has subParts", properties=(f"{about}/subParts",))
            parts = tuple(
                self.part(child, f"{about}/subParts/{number}", depth + 1) for number, child in enumerate(children)
            )
            return NewPart(kind, None, parts, fields)
        return NewPart(
            kind, self._leaf(item, kind, about), (), fields, _text(item, "name", about),
            _token(item, "disposition", about), _text(item, "cid", about),
            tuple(_languages(item, about)), _text(item, "location", about),
        )  # fmt: skip

    def _fields(self, item: dict[str, Any], about: str, *, is_root: bool) -> tuple[tuple[str, bytes], ...]:
        """The fields of a part; no field is told twice, nor by the message and its root part."""
        found: list[tuple[str, bytes]] = []
        told = set(self.of_message) if is_root else set()
        for key, value in item.items():
            if key == "headers" and value:
                raise SetError("invalidProperties", "set fields one by one", properties=(f"{about}/headers",))
            if key in _PART:
                continue
            fields = _read_field(key, value, about)
            if any(name.lower() in told for name, _ in fields):
                raise SetError("invalidProperties", "this field is given twice", properties=(f"{about}/{key[:255]}",))
            told |= {name.lower() for name, _ in fields}
            found += fields
        return tuple(found)

    def _leaf(self, item: dict[str, Any], kind: str, about: str) -> Leaf:
        part_id, blob_id = item.get("partId"), item.get("blobId")
        if (part_id is None) == (blob_id is None):
            names = (f"{about}/partId", f"{about}/blobId")
            raise SetError("invalidProperties", "a part has either partId or blobId", properties=names)
        if blob_id is not None:
            if not isinstance(blob_id, str):
                raise SetError("invalidProperties", "blobId is an id", properties=(f"{about}/blobId",))
            return Leaf(blob_id=blob_id)
        values = self.properties.get("bodyValues")
        value = values.get(part_id) if isinstance(values, dict) and isinstance(part_id, str) else None
        if not isinstance(value, dict) or not isinstance(value.get("value"), str):
            raise SetError("invalidProperties", "bodyValues has no such part", properties=(f"{about}/partId",))
        flaws = [f"bodyValues/{part_id}/{name}" for name in ("isEncodingProblem", "isTruncated") if value.get(name)]
        if flaws:
            raise SetError("invalidProperties", "a body must be whole", properties=tuple(flaws))
        if not kind.startswith("text/"):
            raise SetError("invalidProperties", "bodyValues holds texts", properties=(f"{about}/type",))
        unwanted = tuple(f"{about}/{name}" for name in ("charset", "size") if item.get(name) is not None)
        if unwanted:
            raise SetError("invalidProperties", "not together with partId", properties=unwanted)
        return Leaf(text=value["value"])


def _items(properties: dict[str, Any], name: str) -> list[Any]:
    items = properties.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise SetError("invalidProperties", "a list is expected", properties=(name,))
    return items


def _text(item: dict[str, Any], name: str, about: str) -> str | None:
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 500 or (name != "name" and any(c in " <>\t" for c in value)):
        raise SetError("invalidProperties", f"{name} cannot be this", properties=(about,))
    return clean(value.replace("\r", " ").replace("\n", " "))


def _token(item: dict[str, Any], name: str, about: str) -> str | None:
    value = item.get(name)
    if value is not None and (not isinstance(value, str) or not _TOKEN.match(value)):
        raise SetError("invalidProperties", f"{name} cannot be this", properties=(about,))
    return value


def _languages(item: dict[str, Any], about: str) -> list[str]:
    value = item.get("language") or []
    if not isinstance(value, list) or not all(isinstance(tag, str) and _TOKEN.match(tag) for tag in value[:50]):
        raise SetError("invalidProperties", "language cannot be this", properties=(about,))
    return value[:50]


def _assemble(text: NewPart | None, html: NewPart | None, files: list[NewPart]) -> NewPart:
    """alternative(text, related(html, inline images)), and files beside it."""
    inline = [part for part in files if html is not None and part.cid and part.disposition == "inline"]
    others = [part for part in files if part not in inline]
    if html is not None and inline:
        html = NewPart("multipart/related", children=(html, *inline))
    bodies = tuple(part for part in (text, html) if part is not None)
    body = NewPart("multipart/alternative", children=bodies) if len(bodies) == 2 else bodies[0] if bodies else None
    if body is None:
        body = NewPart("text/plain", Leaf(text=""))
    return NewPart("multipart/mixed", children=(body, *others)) if others else body


def compose(email: NewEmail, blobs: Callable[[str], bytes], *, date: datetime, message_id: str) -> bytes:
    """The message. `date` and `message_id` stand where the creation has none of its own."""
    fields = list(email.fields)
    if not email.has("date"):
        fields.append(("Date", b" " + format_datetime(date.replace(microsecond=0)).encode("ascii")))
    if not email.has("message-id"):
        fields.append(("Message-ID", b" <" + message_id.encode("ascii") + b">"))
    fields.append(("MIME-Version", b" 1.0"))
    head = b"".join(name.encode("ascii") + b":" + raw + b"\r\n" for name, raw in fields)
    return head + _write(email.root, blobs)


def _write(part: NewPart, blobs: Callable[[str], bytes]) -> bytes:
    """The MIME fields of a part, an empty line, and its body."""
    own = b"".join(name.encode("ascii") + b":" + raw + b"\r\n" for name, raw in part.fields)
    if part.children:
        pieces = [_write(child, blobs) for child in part.children]
        boundary = b"=_" + hashlib.sha256(b"".join(pieces)).hexdigest()[:40].encode("ascii")
        head = b"Content-Type: " + part.type.encode("ascii") + b';\r\n boundary="' + boundary + b'"\r\n'
        inner = b"".join(b"--" + boundary + b"\r\n" + piece + b"\r\n" for piece in pieces)
        return own + head + b"\r\n" + inner + b"--" + boundary + b"--\r\n"
    assert part.leaf is not None
    if part.leaf.text is not None:
        encoding, body = _encode_text(part.leaf.text)
        charset = b"; charset=us-ascii" if part.leaf.text.isascii() else b"; charset=utf-8"
        charset += _method(part.type, part.leaf.text)
    else:
        assert part.leaf.blob_id is not None
        encoding, body = _encode_octets(part.type, blobs(part.leaf.blob_id))
        charset = b""
    head = b"Content-Type: " + part.type.encode("ascii") + charset + b"\r\n"
    head += b"Content-Transfer-Encoding: " + encoding + b"\r\n" + _describe(part)
    return own + head + b"\r\n" + body


def _method(kind: str, text: str) -> bytes:
    """What a calendar object is sent for stands in its media type, too (RFC 6047 §2.4)."""
    match = _METHOD.search(text[:4096]) if kind == "text/calendar" else None
    return b"; method=" + match[1].encode("ascii") if match else b""


def _describe(part: NewPart) -> bytes:
    lines = []
    if part.disposition or part.name:
        line = b"Content-Disposition: " + (part.disposition or "attachment").encode("ascii")
        lines.append(line + (_filename(part.name) if part.name else b""))
    if part.cid:
        lines.append(b"Content-ID: <" + part.cid.encode("utf-8", "replace") + b">")
    if part.language:
        lines.append(b"Content-Language: " + ", ".join(part.language).encode("ascii"))
    if part.location:
        lines.append(b"Content-Location: " + encode_text(part.location, first_line=18))
    return b"".join(line + b"\r\n" for line in lines)


def _filename(name: str) -> bytes:
    """RFC 2183, RFC 2231: in pieces, so that no line is too long."""
    if name.isascii() and len(name) <= 60 and name.isprintable():
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return b';\r\n filename="' + escaped.encode("ascii") + b'"'
    octets = name.encode("utf-8", "replace")
    coded = [chr(o) if (chr(o).isalnum() and o < 128) or o in b"-._" else f"%{o:02X}" for o in octets]
    lines, line = [], ""
    for piece in coded:
        if len(line) + len(piece) > 50:
            lines.append(line)
            line = ""
        line += piece
    lines.append(line)
    lines[0] = "utf-8''" + lines[0]
    return b"".join(f";\r\n filename*{number}*={line}".encode("ascii") for number, line in enumerate(lines))


def _encode_text(text: str) -> tuple[bytes, bytes]:
    octets = clean(text, keep_lines=True).encode("utf-8", "replace")
    if octets.isascii() and max(map(len, octets.split(b"\n"))) <= 78 and b"\r" not in octets:
        return b"7bit", octets.replace(b"\n", b"\r\n")
    foreign = sum(octet > 126 for octet in octets[:4096])
    if foreign * 6 > min(len(octets), 4096):
        return b"base64", _base64(octets.replace(b"\n", b"\r\n"))
    quoted = binascii.b2a_qp(octets, istext=True)
    return b"quoted-printable", _BARE.sub(b"\r\n", quoted)


def _encode_octets(kind: str, octets: bytes) -> tuple[bytes, bytes]:
    """An embedded message must not be encoded (RFC 2046 §5.2.1)."""
    if kind == "message/rfc822":
        plain = _BARE.sub(b"\r\n", octets)
        return (b"7bit" if plain.isascii() else b"8bit"), plain
    return b"base64", _base64(octets)


def _base64(octets: bytes) -> bytes:
    letters = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join(letters[start : start + 76] for start in range(0, len(letters), 76))
