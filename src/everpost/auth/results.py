"""Authentication-Results (RFC 8601): written for readers behind us, and read or removed where others wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from everpost.mail.header import Field, Header

NAME: Final = "authentication-results"
MAX_FIELD: Final = 65_536
MAX_RESULTS: Final = 200
_MAX_DEPTH: Final = 20
_LINE: Final = 76

_KEYWORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?\Z")
_PROPERTY = re.compile(r"([A-Za-z][A-Za-z0-9\-]*)\.([A-Za-z0-9][A-Za-z0-9\-_.]*)\Z")
_TOKEN = re.compile(
    r'(?P<space>\s++)|(?P<mark>[;=/])|(?P<quoted>"(?:[^"\\]|\\.)*+")|(?P<word>[^\s;=/"()]++)', re.DOTALL
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~@]+\Z")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\ud7ff\ue000-\U0010ffff]")


class ResultsError(ValueError):
    """The field cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Property:
    """Evidence: `smtp.mailfrom=…` (RFC 8601 §2.2)."""

    kind: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class MethodResult:
    """What one method found: `method=result`, a comment that may be empty, a reason, properties in order."""

    method: str
    result: str
    comment: str = ""
    reason: str = ""
    properties: tuple[Property, ...] = ()

    def value(self, kind: str, name: str) -> str:
        """The first property of that name; empty where there is none."""
        for item in self.properties:
            if (item.kind, item.name) == (kind, name):
                return item.value
        return ""


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """A whole field: who says it, and what."""

    authserv_id: str
    results: tuple[MethodResult, ...] = ()


def format_results(results: AuthenticationResults) -> str:
    """The value of the field, folded; what strangers contributed cannot end it or add to it."""
    lines = [f"{_value(results.authserv_id)};"]
    if not results.results:
        lines.append(" none")
    for number, item in enumerate(results.results):
        end = ";" if number + 1 < len(results.results) else ""
        words = [f"{item.method}={item.result}", *_details(item)]
        words[-1] += end
        line = ""
        for word in words:
            if line and len(line) + 1 + len(word) > _LINE:
                lines.append(line)
                line = " "
            line += f" {word}"
        lines.append(line)
    return "\r\n".join(lines)


def results_field(results: AuthenticationResults) -> bytes:
    """The field to be put on top, with its line end; UTF-8 where a value is not ASCII (RFC 8601 §5)."""
    return f"Authentication-Results: {format_results(results)}\r\n".encode()


def _details(item: MethodResult) -> list[str]:
    words = [f"({_comment(item.comment)})"] if item.comment else []
    if item.reason:
        words.append(f"reason={_quoted(item.reason)}")
    words += [f"{entry.kind}.{entry.name}={_value(entry.value)}" for entry in item.properties]
    return words


def _clean(text: str, limit: int = 400) -> str:
    return _UNPRINTABLE.sub(" ", text[:limit])


def _comment(text: str) -> str:
    return re.sub(r"([()\\])", r"\\\1", _clean(text))


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", _clean(text)) + '"'


def _value(text: str) -> str:
    return text if _PLAIN_VALUE.match(text) and len(text) < 400 else _quoted(text)


def parse_results(raw: bytes) -> AuthenticationResults:
    """Read the value of a field. Raises `ResultsError`; bounded in size, results and depth of comments."""
    if len(raw) > MAX_FIELD:
        raise ResultsError("the field is too long")
    sections = _sections(_tokens(raw.decode("utf-8", "replace")))
    head = [token for token in sections[0] if token.kind != "comment"]
    if not head or head[0].kind == "mark" or len(head) > 2:
        raise ResultsError("the authserv-id is missing")
    if len(head) == 2 and head[1].text != "1":
        raise ResultsError(f"version {head[1].text[:20]} is not known")
    if len(sections) > MAX_RESULTS + 1:
        raise ResultsError("too many results")
    found = [_read_result(section) for section in sections[1:] if any(t.kind != "comment" for t in section)]
    return AuthenticationResults(head[0].text.lower(), tuple(item for item in found if item is not None))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(text):
        if text[position] == "(":
            end = _comment_end(text, position)
            tokens.append(_Token("comment", _ESCAPED.sub(r"\1", text[position + 1 : end - 1])))
            position = end
            continue
        found = _TOKEN.match(text, position)
        if found is None:
            raise ResultsError(f"{text[position : position + 10]!r} cannot be read")
        position = found.end()
        kind = found.lastgroup or ""
        if kind == "quoted":
            tokens.append(_Token("word", _ESCAPED.sub(r"\1", found[0][1:-1]), found.start(), position))
        elif kind != "space":
            tokens.append(_Token(kind, found[0], found.start(), position))
    return tokens


_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)


def _comment_end(text: str, position: int) -> int:
    depth = 0
    for found in _IN_COMMENT.finditer(text, position):
        if found[0] == "(":
            depth += 1
            if depth > _MAX_DEPTH:
                raise ResultsError("comments are nested too deep")
        elif found[0] == ")":
            depth -= 1
            if depth == 0:
                return found.end()
    raise ResultsError("a comment does not end")


def _sections(tokens: Iterable[_Token]) -> list[list[_Token]]:
    sections: list[list[_Token]] = [[]]
    for token in tokens:
        if token == _Token("mark", ";"):
            sections.append([])
        else:
            sections[-1].append(token)
    return sections


def _read_result(section: list[_Token]) -> MethodResult | None:
    """One result; None for "none" (RFC 8601 §2.2)."""
    comment = next((token.text for token in section if token.kind == "comment"), "")
    tokens = [token for token in section if token.kind != "comment"]
    if len(tokens) == 1 and tokens[0].text.lower() == "none":
        return None
    if len(tokens) >= 3 and tokens[1] == _Token("mark", "/"):
        del tokens[1:3]  # the version of the method
    if len(tokens) < 3 or tokens[1] != _Token("mark", "="):
        raise ResultsError("a result is no method=result")
    method, result = tokens[0].text.lower(), tokens[2].text.lower()
    if _KEYWORD.match(method) is None or _KEYWORD.match(result) is None:
        raise ResultsError("a result is no method=result")
    reason, properties = _read_properties(tokens[3:])
    return MethodResult(method, result, comment, reason, properties)


def _read_properties(tokens: list[_Token]) -> tuple[str, tuple[Property, ...]]:
    reason = ""
    properties: list[Property] = []
    position = 0
    while position < len(tokens):
        if position + 2 >= len(tokens) or tokens[position + 1] != _Token("mark", "="):
            raise ResultsError("a property is no name=value")
        name, value = tokens[position].text, tokens[position + 2].text
        position += 3
        while position < len(tokens) and tokens[position].start == tokens[position - 1].end:
            value += tokens[position].text  # base64 and paths have "=" and "/" inside
            position += 1
        found = _PROPERTY.match(name)
        if name.lower() == "reason":
            reason = value
        elif found is not None:
            properties.append(Property(found[1].lower(), found[2].lower(), value))
        else:
            raise ResultsError(f"{name[:40]!r} is no property")
    return reason, tuple(properties)


def foreign_fields(header: Header, authserv_ids: Iterable[str], *, every: bool = False) -> tuple[Field, ...]:
    """The fields that arrived with our name on them and have to go (RFC 8601 §5), or `every` one there is.

    One that cannot be read goes as well: somebody else may read our name out of it.
    """
    ours = {name.lower() for name in authserv_ids}
    fields = header.all(NAME)
    return fields if every else tuple(field for field in fields if _is_claimed(field.raw, ours))


def _is_claimed(raw: bytes, ours: set[str]) -> bool:
    try:
        authserv_id = parse_results(raw).authserv_id
    except ResultsError:
        return True
    return authserv_id in ours


def without_fields(data: bytes, fields: Iterable[Field]) -> bytes:
    """The octets without those fields, of which the offsets are."""
    parts: list[bytes] = []
    position = 0
    for item in sorted(fields, key=lambda item: item.start):
        parts.append(data[position : item.start])
        position = item.end
    return b"".join((*parts, data[position:]))


def merged_results(header: Header, authserv_id: str) -> bytes:
    """All that the fields of one authserv-id say, as one value for ARC (RFC 8617 §4.1.1), wording kept."""
    parts: list[bytes] = []
    for item in header.all(NAME):
        try:
            found = parse_results(item.raw).authserv_id
        except ResultsError:
            continue
        if found == authserv_id.lower():
            parts.append(item.raw.partition(b";")[2].strip().removesuffix(b";"))
    return b"; ".join((authserv_id.encode("ascii"), *parts)) if parts else authserv_id.encode("ascii") + b"; none"
