"""Outlook's data files (PST and OST, [MS-PST]): folders, dates and flags, and each message put together anew.

Outlook keeps no message as it came: its header is there as text, bodies and attachments are properties. What is made of
them is therefore not byte for byte what was received, and meets what came by the wire by its Message-ID. Appointments,
contacts and tasks are left out: they are no mail.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.parser import HeaderParser
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pypff

from everpost.standby.history.model import (
    MAX_MESSAGE_OCTETS,
    Found,
    HistoryFailure,
    HistoryFolder,
    LeftOut,
    Mark,
    Reading,
    Unreadable,
    inbox_last,
    item_of,
    sensible_date,
    usual_role,
)
from everpost.standby.model import ANSWERED, DRAFT, FLAGGED, FORWARDED, SEEN

MAX_FOLDERS = 10_000
MAX_DEPTH = 50
MAX_ATTACHMENTS = 1000
_TOPS = ("Top of Personal Folders", "Top of Outlook data file", "IPM_SUBTREE")
_MAIL_FOLDER = "ipf.note"
_MAIL_CLASSES = ("ipm.note", "ipm.schedule.meeting", "ipm.post", "report.ipm")
# Property tags ([MS-OXPROPS]).
_CLASS, _FLAGS, _FLAG_STATUS, _LAST_VERB, _MESSAGE_ID = 0x001A, 0x0E07, 0x1090, 0x1081, 0x1035
_SENDER, _SENDER_SMTP, _CODE_PAGE, _FOLDER_CLASS = 0x0C1F, 0x5D01, 0x3FDE, 0x3613
_DISPLAY_NAME, _RECIPIENT_TYPE, _ADDRESS, _SMTP_ADDRESS = 0x3001, 0x0C15, 0x3003, 0x39FE
_LONG_NAME, _SHORT_NAME, _METHOD, _MIME_TYPE, _CONTENT_ID = 0x3707, 0x3704, 0x3705, 0x370E, 0x3712
_READ, _UNSENT, _BY_VALUE = 0x1, 0x8, 1
_VERBS = {102: ANSWERED, 103: ANSWERED, 104: FORWARDED}
_FIELDS_OF_TYPE = {1: "To", 2: "Cc", 3: "Bcc"}
_OF_THE_BODY = re.compile(r"(content-.*|mime-version|bcc)\Z", re.IGNORECASE)
_NOT_PRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")
_ADDRESS_FORM = re.compile(r"[^\s@<>,;\"]+@[^\s@<>,;\"]+\Z")
_UTF8, _WINDOWS = 65001, 1252
_POLICY = policy.SMTP.clone(max_line_length=200, utf8=False)


class PstSource:
    """One file. Its folders are a whole mailbox, those of appointments and contacts apart."""

    is_whole = True
    is_rebuilt = True

    def __init__(self, file: Path) -> None:
        self._path = file
        self._file: Any = None
        self._folders: dict[str, Any] = {}
        self.name = f"pst:{file.resolve()}"

    def folders(self) -> list[HistoryFolder]:
        try:
            self._file = pypff.file()
            self._file.open(str(self._path))
            root = self._file.get_root_folder()
            found = []
            for top in _tops(root):
                for path, folder in self._walk(top, (), 0):
                    found.append(HistoryFolder("/".join(path), path, usual_role(path), folder.number_of_sub_messages))
        except (OSError, RuntimeError) as error:
            raise HistoryFailure(f"{self._path.name} cannot be read as an Outlook data file: {_line(error)}") from error
        return inbox_last(found)

    def _walk(self, folder: Any, path: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], Any]]:
        """The folders of mail below one that have messages in them."""
        for below in _children(folder):
            under = (*path, below.name or "?")
            where = "/".join(under)
            if _is_for_mail(below) and below.number_of_sub_messages and where not in self._folders:
                self._folders[where] = below
                yield under, below
            if depth < MAX_DEPTH and len(self._folders) < MAX_FOLDERS:
                yield from self._walk(below, under, depth + 1)

    def read(self, folder: HistoryFolder, mark: Mark) -> Iterator[Reading]:
        where = self._folders[folder.place]
        for number in range(where.number_of_sub_messages):
            label = f"{folder.place}, message {number + 1}"
            try:
                message = where.get_sub_message(number)
                item = item_of(str(message.identifier))
                if item not in mark.items:
                    yield _reading(message, label, item)
            except (OSError, RuntimeError, ValueError, LookupError) as error:
                yield Unreadable(label, _line(error))

    def close(self) -> None:
        self._folders.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


def _children(folder: Any) -> list[Any]:
    return [folder.get_sub_folder(number) for number in range(min(folder.number_of_sub_folders, MAX_FOLDERS))]


def _is_for_mail(folder: Any) -> bool:
    kind = str(_value(_properties(folder), _FOLDER_CLASS) or _MAIL_FOLDER)
    return kind.lower().startswith(_MAIL_FOLDER)


def _tops(root: Any) -> list[Any]:
    """What Outlook shows as the mailbox, in whatever language; beside it there are folders of its own."""
    first = _children(root)
    both = [*first, *(below for folder in first for below in _children(folder))]
    named = [folder for folder in both if folder.name in _TOPS and folder.number_of_sub_folders]
    return named or [folder for folder in first if any(_has_class(below) for below in _children(folder))]


def _has_class(folder: Any) -> bool:
    return str(_value(_properties(folder), _FOLDER_CLASS) or "").lower().startswith(_MAIL_FOLDER)


def _reading(message: Any, label: str, item: int) -> Reading:
    known = _properties(message)
    kind = str(_value(known, _CLASS) or "ipm.note").lower()
    if not kind.startswith(_MAIL_CLASSES):
        return LeftOut(item=item)
    content = _content(message, known)
    if len(content) > MAX_MESSAGE_OCTETS:
        return Unreadable(label, f"longer than {MAX_MESSAGE_OCTETS // 1024**2} MiB")
    at = sensible_date(_time(message.delivery_time), _time(message.client_submit_time), _time(message.creation_time))
    return Found(label, content, at, _keywords(known), item=item)


def _keywords(known: dict[int, Any]) -> frozenset[str]:
    flags = _value(known, _FLAGS) or 0
    found = {SEEN} if flags & _READ else set()
    if flags & _UNSENT:
        found.add(DRAFT)
    if _value(known, _FLAG_STATUS) == 2:
        found.add(FLAGGED)
    verb = _VERBS.get(_value(known, _LAST_VERB) or 0)
    return frozenset(found | ({verb} if verb else set()))


# ---------------------------------------------------------------------- a message


def _content(message: Any, known: dict[int, Any]) -> bytes:
    made = EmailMessage(policy=_POLICY)
    _set_header(made, message, known)
    _set_bodies(made, message, known)
    for number in range(min(message.number_of_attachments, MAX_ATTACHMENTS)):
        _attach(made, message, number)
    return made.as_bytes()


def _set_header(made: EmailMessage, message: Any, known: dict[int, Any]) -> None:
    """Fields as they came, but those of a body that is put together anew; else made from what Outlook knows."""
    text = message.transport_headers or ""
    kept: Message = HeaderParser(policy=policy.compat32).parsestr(text)
    there = set()
    for name, value in kept.items():
        if not _OF_THE_BODY.match(name) and re.fullmatch(r"[A-Za-z][!-9;-~]*", name):
            _add(made, name, str(value))
            there.add(name.lower())
    ours = {
        "From": _person(message.sender_name, _value(known, _SENDER_SMTP) or _value(known, _SENDER)),
        "Subject": message.subject,
        "Message-ID": _value(known, _MESSAGE_ID),
        **_recipients(message),
    }
    for name, value in ours.items():
        if name.lower() not in there and value:
            _add(made, name, str(value))
    sent = _time(message.client_submit_time) or _time(message.creation_time)
    if "date" not in there and sent is not None:
        _add(made, "Date", format_datetime(sent))


def _add(made: EmailMessage, name: str, value: str) -> None:
    """As one line without what could end it; fields that stand once are not doubled."""
    clean = _NOT_PRINTABLE.sub(" ", value).strip()
    try:
        made[name] = clean
    except (ValueError, IndexError, AttributeError, TypeError):  # twice, or nothing the library can write
        if name not in made:
            made.add_header("X-Outlook-" + name, clean.encode("ascii", "replace").decode())


def _recipients(message: Any) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    table = message.recipients
    for number in range(table.number_of_recipients if table is not None else 0):
        known = _properties(table, number)
        name = _FIELDS_OF_TYPE.get(_value(known, _RECIPIENT_TYPE) or 1, "To")
        person = _person(_value(known, _DISPLAY_NAME), _value(known, _SMTP_ADDRESS) or _value(known, _ADDRESS))
        if person:
            found.setdefault(name, []).append(person)
    return {name: ", ".join(people) for name, people in found.items() if name != "Bcc"}


def _person(name: object, address: object) -> str:
    """As a header field says it; Exchange's own directory names are no addresses."""
    shown, mail = (_NOT_PRINTABLE.sub(" ", str(text or "")).strip() for text in (name, address))
    if not _ADDRESS_FORM.match(mail):
        mail = shown if _ADDRESS_FORM.match(shown) else ""
    if not mail:
        return f'"{shown.translate({34: None, 92: None})}":;' if shown else ""  # a group of nobody (RFC 6854)
    try:
        return str(Address(shown if shown != mail else "", addr_spec=mail))
    except (ValueError, IndexError):
        return mail


def _set_bodies(made: EmailMessage, message: Any, known: dict[int, Any]) -> None:
    page = _value(known, _CODE_PAGE) or _WINDOWS
    plain, html = message.plain_text_body, message.html_body
    if plain is not None or html is None:
        made.set_content(_lines(_decoded(plain or b"", _UTF8)), cte="quoted-printable")
    if html is not None:
        text = _lines(_decoded(html, page))
        if plain is None:
            made.set_content(text, subtype="html", cte="quoted-printable")
        else:
            made.add_alternative(text, subtype="html", cte="quoted-printable")
    elif plain is None and (rtf := message.rtf_body) is not None:
        made.add_attachment(rtf, maintype="text", subtype="rtf", filename="message.rtf")


def _decoded(octets: bytes, page: int) -> str:
    names = ["utf-8"] if page in (_UTF8, 20127) else [f"cp{page}", {28591: "latin-1"}.get(page, "cp1252"), "utf-8"]
    for name in names:
        try:
            return octets.decode(name)
        except (LookupError, ValueError):
            continue
    return octets.decode("cp1252", "replace")


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


class _NoAttachment(Exception):
    """It cannot be read; the message says why."""


def _attach(made: EmailMessage, message: Any, number: int) -> None:
    """What cannot be read leaves a note in its place: nothing is left out in silence."""
    name = f"attachment {number + 1}"
    known: dict[int, Any] = {}
    try:
        attachment = message.get_attachment(number)
        known = _properties(attachment)
        name = _NOT_PRINTABLE.sub(" ", str(_value(known, _LONG_NAME) or _value(known, _SHORT_NAME) or name))[:200]
        data = _data(attachment, known)
    except (OSError, RuntimeError, ValueError, _NoAttachment) as error:
        text = f"{name} could not be read from the Outlook data file: {_line(error)}\n"
        made.add_attachment(text, filename=f"{name}.txt")
        return
    main, _, sub = _media_type(str(_value(known, _MIME_TYPE) or mimetypes.guess_type(name)[0] or "")).partition("/")
    content_id = _NOT_PRINTABLE.sub("", str(_value(known, _CONTENT_ID) or "")).strip("<> ")
    cid = f"<{content_id}>" if content_id and content_id.isascii() else None
    made.add_attachment(data, maintype=main, subtype=sub, filename=name, cid=cid)


def _data(attachment: Any, known: dict[int, Any]) -> bytes:
    if (_value(known, _METHOD) or _BY_VALUE) != _BY_VALUE:
        raise _NoAttachment("it is an object of Outlook's own")
    size = attachment.get_size()
    if size > MAX_MESSAGE_OCTETS:
        raise _NoAttachment("it is too large")
    return bytes(attachment.read_buffer(size)) if size else b""


def _media_type(declared: str) -> str:
    declared = declared.lower()
    known = re.fullmatch(r"[a-z0-9.+-]+/[a-z0-9.+-]+", declared) and not declared.startswith(("multipart/", "message/"))
    return declared if known else "application/octet-stream"


# ---------------------------------------------------------------------- properties


def _properties(thing: Any, record_set: int = 0) -> dict[int, Any]:
    """Entries by tag."""
    if thing.number_of_record_sets <= record_set:
        return {}
    rows = thing.get_record_set(record_set)
    return {entry.entry_type: entry for entry in (rows.get_entry(n) for n in range(rows.number_of_entries))}


def _value(known: dict[int, Any], tag: int) -> Any:
    """A text or a number; None where there is none, or none that can be read."""
    entry = known.get(tag)
    if entry is None:
        return None
    try:
        if entry.value_type in (0x1E, 0x1F):
            return entry.data_as_string
        return entry.data_as_integer if entry.value_type in (0x2, 0x3, 0xB, 0x14) else None
    except (OSError, RuntimeError, ValueError):
        return None


def _time(moment: datetime | None) -> datetime | None:
    """Outlook keeps UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None else None


def _line(error: Exception) -> str:
    return _NOT_PRINTABLE.sub(" ", str(error) or type(error).__name__)[:200]
