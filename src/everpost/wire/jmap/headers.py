"""Header fields as properties: "header:Name:asForm:all" (RFC 8621 §4.1.2, §4.1.3), both ways."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from everpost.mail.address import Address, AddressError
from everpost.mail.charset import clean, decode_loosely
from everpost.mail.header import (
    Field,
    Header,
    HeaderAddress,
    HeaderGroup,
    as_addresses,
    as_date,
    as_message_ids,
    as_text,
    as_urls,
    encode_text,
    flatten,
)

_STRUCTURED_TEXT = frozenset(["subject", "comments", "keywords", "list-id"])
_ADDRESSES = frozenset(
    [
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "resent-from",
        "resent-sender",
        "resent-reply-to",
        "resent-to",
        "resent-cc",
        "resent-bcc",
    ]
)
_IDS = frozenset(["message-id", "in-reply-to", "references", "resent-message-id"])
_DATES = frozenset(("date", "resent-date"))
_URLS = frozenset(["list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive"])


class Form(enum.StrEnum):
    """The parsed forms of RFC 8621 §4.1.2."""

    RAW = "asRaw"
    TEXT = "asText"
    ADDRESSES = "asAddresses"
    GROUPED = "asGroupedAddresses"
    MESSAGE_IDS = "asMessageIds"
    DATE = "asDate"
    URLS = "asURLs"


@dataclass(frozen=True, slots=True)
class HeaderProperty:
    """One such property, read. `text` is as the client wrote it."""

    text: str
    name: str
    form: Form = Form.RAW
    all: bool = False


def read_property(text: str) -> HeaderProperty | None:
    """None where it is no header property, or asks a form that the field does not have."""
    parts = text.split(":")
    if parts[0] != "header" or not 2 <= len(parts) <= 4 or len(text) > 255:
        return None
    name, rest = parts[1], parts[2:]
    if not name or not all("!" <= letter <= "~" for letter in name):
        return None
    everything = bool(rest) and rest[-1] == "all"
    if everything:
        rest = rest[:-1]
    if len(rest) > 1:
        return None
    try:
        form = Form(rest[0]) if rest else Form.RAW
    except ValueError:
        return None
    return HeaderProperty(text, name, form, everything) if _allowed(name.lower(), form) else None


def _allowed(key: str, form: Form) -> bool:
    """RFC 8621 §4.1.2: a form is refused for a standard field that it is not defined for."""
    standard = _ADDRESSES | _IDS | _DATES | _URLS
    match form:
        case Form.RAW:
            return True
        case Form.TEXT:
            return key in _STRUCTURED_TEXT or key not in standard
        case Form.ADDRESSES | Form.GROUPED:
            return key in _ADDRESSES or key not in standard | _STRUCTURED_TEXT
        case Form.MESSAGE_IDS:
            return key in _IDS or key not in standard | _STRUCTURED_TEXT
        case Form.DATE:
            return key in _DATES or key not in standard | _STRUCTURED_TEXT
        case Form.URLS:
            return key in _URLS or key not in standard | _STRUCTURED_TEXT


def render_property(header: Header, wanted: HeaderProperty) -> Any:
    """The value of a header property: of the last such field, or of all."""
    fields = header.all(wanted.name)
    if wanted.all:
        return [render_field(field, wanted.form) for field in fields]
    return render_field(fields[-1], wanted.form) if fields else None


def render_field(field: Field, form: Form) -> Any:
    raw = field.raw
    match form:
        case Form.RAW:
            return clean_raw(raw)
        case Form.TEXT:
            return as_text(raw)
        case Form.ADDRESSES:
            return [render_address(address) for address in flatten(as_addresses(raw))]
        case Form.GROUPED:
            return _grouped(as_addresses(raw))
        case Form.MESSAGE_IDS:
            return list(as_message_ids(raw)) or None
        case Form.DATE:
            return render_date(as_date(raw))
        case Form.URLS:
            return list(as_urls(raw)) or None


def clean_raw(raw: bytes) -> str:
    """The Raw form: octets that are no text replaced, NUL taken out (RFC 8621 §4.1.2.1)."""
    return decode_loosely(raw).replace("\0", "")


def render_date(date: datetime | None) -> str | None:
    """A Date of RFC 8620 §1.4, in the zone it was written in."""
    if date is None:
        return None
    text = date.replace(microsecond=0).isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def render_address(address: HeaderAddress) -> dict[str, str | None]:
    return {"name": address.name, "email": address.address}


def _grouped(items: tuple[HeaderAddress | HeaderGroup, ...]) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    loose: list[dict[str, str | None]] | None = None
    for item in items:
        if isinstance(item, HeaderGroup):
            groups.append({"name": item.name, "addresses": [render_address(address) for address in item.addresses]})
            loose = None
        else:
            if loose is None:
                loose = []
                groups.append({"name": None, "addresses": loose})
            loose.append(render_address(item))
    return groups


# ---------------------------------------------------------------------- writing


def write_field(name: str, form: Form, value: Any) -> bytes:
    """The octets after "Name:" for a value in a form; raises `ValueError` for a value that is none of it."""
    match form:
        case Form.RAW:
            return _write_raw(value)
        case Form.TEXT:
            return b" " + encode_text(_text(value), first_line=len(name) + 2)
        case Form.ADDRESSES:
            return b" " + b",\r\n ".join(write_address(item) for item in as_list(value))
        case Form.GROUPED:
            return b" " + b",\r\n ".join(_write_group(item) for item in as_list(value))
        case Form.MESSAGE_IDS:
            return b" " + b"\r\n ".join(b"<" + _word(item) + b">" for item in as_list(value))
        case Form.DATE:
            return b" " + format_datetime(read_date(value)).encode("ascii")
        case Form.URLS:
            return b" " + b",\r\n ".join(b"<" + _word(item) + b">" for item in as_list(value))


def _write_raw(value: Any) -> bytes:
    """Folded by the client or not at all; nothing in it can begin another field."""
    text = _text(value)
    for line in text.split("\r\n")[1:]:
        if not line.strip() or line[0] not in " \t":
            raise ValueError("a raw field has to be folded properly")
    flat = text.replace("\r\n", "")
    if clean(flat.replace("\t", " ")) != flat.replace("\t", " "):
        raise ValueError("a raw field has no control characters")
    octets = text.encode("utf-8")
    if any(len(line) > 900 for line in octets.split(b"\r\n")):
        raise ValueError("a line of a raw field is too long")
    return octets if octets[:1] in (b" ", b"\t") else b" " + octets


def write_address(item: Any) -> bytes:
    """One mailbox. Drafts may hold what is no address yet, but nothing that could become another."""
    if not isinstance(item, dict) or not item.keys() <= {"name", "email"}:
        raise ValueError("an address has a name and an email")
    email, name = item.get("email"), item.get("name")
    if not isinstance(email, str) or not email or len(email) > 320:
        raise ValueError("an address needs an email")
    if clean(email) != email or (any(letter in ' <>,;:()"\\' for letter in email) and not _is_address(email)):
        raise ValueError(f"{email[:60]!r} cannot be an address")
    spec = b"<" + email.encode("utf-8", "strict") + b">"
    if not name:
        return spec
    return _display_name(_text(name)) + spec


def _is_address(email: str) -> bool:
    try:
        Address.parse(email)
    except AddressError:
        return False
    return True


def _display_name(name: str) -> bytes:
    name = clean(name.replace("\r", " ").replace("\n", " ")).strip()[:1000]
    if not name:
        return b""
    if name.isascii() and "=?" not in name and len(name) <= 200:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}" '.encode("ascii")
    if name.isascii():  # a comma or colon is safe in an encoded word only: make it one
        name += "\u200b"
    return encode_text(name, first_line=10) + b"\r\n "


def _write_group(item: Any) -> bytes:
    if not isinstance(item, dict) or not item.keys() <= {"name", "addresses"}:
        raise ValueError("a group has a name and addresses")
    members = b",\r\n ".join(write_address(address) for address in as_list(item.get("addresses")))
    if item.get("name") is None:
        return members
    return (_display_name(_text(item["name"])).rstrip() or b'""') + b": " + members + b";"


def read_date(value: Any) -> datetime:
    """A Date of RFC 8620 §1.4; raises `ValueError`."""
    if not isinstance(value, str) or len(value) > 40 or "T" not in value:
        raise ValueError("a date is written as in RFC 3339")
    date = datetime.fromisoformat(value)
    if date.tzinfo is None or not 1900 <= date.year <= 9998:
        raise ValueError("a date has a zone, and a year after 1900")
    return date.replace(microsecond=0)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100_000:
        raise ValueError("a text is expected")
    return value.encode("utf-8", "replace").decode("utf-8")


def as_list(value: Any, limit: int = 10_000) -> list[Any]:
    """A list of at most `limit` values; raises `ValueError`."""
    if not isinstance(value, list) or len(value) > limit:
        raise ValueError("a list is expected")
    return value


def _word(value: Any) -> bytes:
    text = _text(value)
    if not text or len(text) > 900 or clean(text) != text or any(letter in " \t<>" for letter in text):
        raise ValueError(f"{text[:60]!r} cannot be an id")
    return text.encode("utf-8")
