"""Arguments of SMTP commands: paths and parameters (RFC 5321 §4.1, RFC 3461, RFC 1870, RFC 6152, RFC 6531)."""

from __future__ import annotations

import re

from everpost.mail.address import Address, AddressError
from everpost.mail.envelope import Body, Notify, Recipient, Ret, Sender
from everpost.mail.reply import Reply

MAX_HELLO_OCTETS = 255
MAX_ENVID_OCTETS = 100  # RFC 3461 §4.4
MAX_ORCPT_OCTETS = 500  # RFC 3461 §4.2
_HELLO = re.compile(r"[\x21-\x7e]+\Z")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-]*\Z")
_XCHAR = re.compile(r"\+([0-9A-F]{2})")
_XTEXT = re.compile(r"(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*\Z")
_ATOM = re.compile(r"[A-Za-z0-9\-]+\Z")
_SIMPLE_PATH = re.compile(r'<([^<>@"\\\s:,]+@[^<>@"\\\s,]+)>')


class SyntaxFault(ValueError):
    """The argument cannot be taken; `reply` says so to the client."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text)
        self.reply = reply


def _fault(code: int, text: str, detail: tuple[int, int]) -> SyntaxFault:
    return SyntaxFault(Reply(code, text, detail))


def parse_hello(argument: str) -> str:
    """The name given with EHLO or HELO: any word of printable ASCII, at most 255 octets; raises `SyntaxFault`."""
    name = argument.strip(" ").partition(" ")[0]
    if len(name) > MAX_HELLO_OCTETS or not _HELLO.match(name):
        raise _fault(501, "A host name or address literal is needed", (5, 4))
    return name


def parse_path(text: str, *, detail: tuple[int, int]) -> tuple[str, str]:
    """Split `<path> rest`; the path comes without brackets and without a source route (RFC 5321 appendix C)."""
    simple = _SIMPLE_PATH.match(text)
    if simple is not None:
        path, end = simple.group(1), simple.end()
    else:
        end = _path_end(text, detail)
        path = text[1 : end - 1]
        if path.startswith("@"):
            path = _without_route(path, detail)
    rest = text[end:]
    if rest and not rest.startswith(" "):
        raise _fault(501, "A space is needed after the path", (5, 4))
    return path, rest


def _path_end(text: str, detail: tuple[int, int]) -> int:
    if not text.startswith("<"):
        raise _fault(501, "The address must stand in angle brackets", detail)
    quoted = False
    position = 1
    while position < len(text):
        character = text[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            return position + 1
        position += 1
    raise _fault(501, "The address has no closing bracket", detail)


def _without_route(path: str, detail: tuple[int, int]) -> str:
    bracketed = False
    for position, character in enumerate(path):
        if character in "[]":
            bracketed = character == "["
        elif character == ":" and not bracketed:
            return path[position + 1 :]
    raise _fault(501, "Malformed source route", detail)


def _parameters(text: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for word in text.split():
        keyword, equals, value = word.partition("=")
        keyword = keyword.upper()
        if not _KEYWORD.match(keyword) or (equals and not value):
            raise _fault(501, "Malformed parameter", (5, 4))
        if keyword in found:
            raise _fault(501, f"Parameter {keyword[:40]} given twice", (5, 4))
        found[keyword] = value if equals else None
    return found


def _after(argument: str, word: str) -> str:
    if argument[: len(word)].upper() != word:
        raise _fault(501, f"Expected {word}<address>", (5, 4))
    return argument[len(word) :].lstrip(" ")  # a space here is forbidden and common


def parse_mail(argument: str, *, smtputf8: bool, dsn: bool, binarymime: bool, auth: bool) -> Sender:
    """Read the argument of MAIL; parameters that are not offered are refused. Raises `SyntaxFault`."""
    path, rest = parse_path(_after(argument, "FROM:"), detail=(1, 7))
    parameters = _parameters(rest) if rest else {}
    utf8 = "SMTPUTF8" in parameters and smtputf8
    if not utf8 and not argument.isascii():
        raise _fault(553, "SMTPUTF8 is needed for this address", (6, 7))
    address = None if not path else _address(path, (1, 7))
    if not parameters:
        return Sender(address)
    size: int | None = None
    body = Body.SEVEN_BIT
    ret: Ret | None = None
    envid: str | None = None
    for keyword, value in parameters.items():
        if keyword == "SIZE":
            size = _size(value)
        elif keyword == "BODY":
            body = _body(value, binarymime=binarymime)
        elif keyword == "SMTPUTF8" and smtputf8:
            if value is not None:
                raise _fault(501, "SMTPUTF8 takes no value", (5, 4))
        elif keyword == "RET" and dsn:
            ret = _ret(value)
        elif keyword == "ENVID" and dsn:
            envid = _xtext(value, MAX_ENVID_OCTETS, keyword)
        elif keyword == "AUTH" and auth:
            _xtext(value, MAX_ORCPT_OCTETS, keyword)  # RFC 4954 §5: taken, and treated as <>
        else:
            raise _fault(555, f"Parameter {keyword[:40]} not known here", (5, 4))
    return Sender(address, size, body, utf8, ret, envid)


def parse_rcpt(argument: str, *, smtputf8: bool, dsn: bool, hostname: str) -> Recipient:
    """Read the argument of RCPT. `<postmaster>` alone means that of `hostname` (RFC 5321 §4.5.1)."""
    path, rest = parse_path(_after(argument, "TO:"), detail=(1, 3))
    if not smtputf8 and not argument.isascii():
        raise _fault(553, "SMTPUTF8 is needed for this address", (6, 7))
    if not path:
        raise _fault(501, "A recipient cannot be empty", (1, 3))
    address = Address(path, hostname) if path.lower() == "postmaster" else _address(path, (1, 3))
    if not rest:
        return Recipient(address)
    notify: Notify | None = None
    orcpt: str | None = None
    for keyword, value in _parameters(rest).items():
        if keyword == "NOTIFY" and dsn:
            notify = _notify(value)
        elif keyword == "ORCPT" and dsn:
            orcpt = _orcpt(value, utf8=smtputf8)
        else:
            raise _fault(555, f"Parameter {keyword[:40]} not known here", (5, 4))
    return Recipient(address, notify, orcpt)


def _address(path: str, detail: tuple[int, int]) -> Address:
    try:
        return Address.parse(path)
    except AddressError as error:
        raise _fault(501, f"Bad address: {error}", detail) from error


def _size(value: str | None) -> int:
    if value is None or len(value) > 20 or not (value.isascii() and value.isdigit()):
        raise _fault(501, "SIZE needs a number", (5, 4))
    return int(value)


def _body(value: str | None, *, binarymime: bool) -> Body:
    try:
        body = Body((value or "").upper())
    except ValueError:
        raise _fault(501, "Unknown BODY value", (5, 4)) from None
    if body is Body.BINARY and not binarymime:
        raise _fault(555, "BINARYMIME is not offered", (5, 4))
    return body


def _ret(value: str | None) -> Ret:
    try:
        return Ret((value or "").upper())
    except ValueError:
        raise _fault(501, "RET needs FULL or HDRS", (5, 4)) from None


def _notify(value: str | None) -> Notify:
    notify = Notify.NEVER
    words = (value or "").upper().split(",")
    if words == ["NEVER"]:
        return notify
    for word in words:
        if word not in ("SUCCESS", "FAILURE", "DELAY"):
            raise _fault(501, "NOTIFY needs NEVER alone, or SUCCESS, FAILURE, DELAY", (5, 4))
        notify |= Notify[word]
    return notify


def _orcpt(value: str | None, *, utf8: bool) -> str:
    kind, semicolon, address = (value or "").partition(";")
    if not semicolon or not address or not _ATOM.match(kind):
        raise _fault(501, "ORCPT needs type;address", (5, 4))
    if utf8 and not address.isascii() and len(address.encode()) <= MAX_ORCPT_OCTETS:
        return f"{kind};{address}"  # RFC 6533 §3
    return f"{kind};{_xtext(address, MAX_ORCPT_OCTETS, 'ORCPT')}"


def _xtext(value: str | None, limit: int, keyword: str) -> str:
    """Decode xtext (RFC 3461 §4). What decodes to a control character is refused: it goes into reports."""
    if value is None or len(value) > limit or not _XTEXT.match(value):
        raise _fault(501, f"Malformed {keyword}", (5, 4))
    decoded = _XCHAR.sub(lambda match: chr(int(match.group(1), 16)), value)
    if not all(" " <= character <= "~" for character in decoded):
        raise _fault(501, f"Malformed {keyword}", (5, 4))
    return decoded


def encode_xtext(value: str) -> str:
    """Encode as xtext (RFC 3461 §4); raises `ValueError` for anything but printable ASCII."""
    if not all(" " <= character <= "~" for character in value):
        raise ValueError("only printable ASCII can be xtext")
    return "".join(c if c not in "+= " else f"+{ord(c):02X}" for c in value)
