"""Links on delivery copies replaced by others (time-of-click): only the addresses change, all else stays as it was."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Final

from everpost.guard.links.html import NOT_CLICKED, resolve
from everpost.guard.links.markup import Attribute, Tag, attribute_value, attributes, tokens
from everpost.guard.links.model import LinkLimits
from everpost.guard.links.normalise import WEB_SCHEMES, parse
from everpost.guard.links.text import Budget, spans

MakeAddress = Callable[[str], str | None]
"""Gives the address to stand for a normalised one; None leaves the link as it is (our own, one that is allowed)."""

_HREFS: Final = frozenset(("href", "xlink:href", "action", "formaction"))
_REFRESH = re.compile(r"([\s\d.]{0,40}[;,\s]\s{0,40}(?:url\s{0,40}=\s{0,40})?[\"']?)([^\"']+)", re.IGNORECASE)
_LINE_BREAK = re.compile(r"\r?\n")


def rewrite_html(markup: str, make_address: MakeAddress) -> str:
    """The markup with the targets of anchors, areas, forms, buttons and refreshes replaced.

    Only http, https and ftp are; mailto:, tel:, cid:, fragments, scripts and what is only loaded stay. What Outlook
    alone shows (conditional comments) is rewritten too. No bound but the length of the markup: nothing is left out.
    """
    return _rewrite(markup, make_address, lambda value: value, lambda value: value)


def rewrite_html_octets(markup: bytes, encoding: str, make_address: MakeAddress) -> bytes:
    """As `rewrite_html`, byte for byte: for a charset in which ASCII stands for itself (not UTF-16, not ISO-2022).

    `encoding` is only used to read addresses. Raises `LookupError` for one that Python does not know.
    """
    "".encode(encoding)
    text = markup.decode("latin-1")
    return _rewrite(
        text, make_address, lambda value: value.encode("latin-1").decode(encoding, "replace"), _as_ascii
    ).encode("latin-1")


def rewrite_text(text: str, make_address: MakeAddress) -> str:
    """Plain text with what mail programs make clickable (a scheme, `www.`) replaced.

    Lines get longer, never fewer, and the spaces at their ends stay (RFC 3676). An address that is broken over lines
    within `<…>` is replaced as a whole; elsewhere its first line is, as a mail program would see it.
    """
    limits = LinkLimits(characters=len(text))
    pieces: list[str] = []
    position = 0
    for span in sorted(spans(text, limits, Budget(len(text))), key=lambda span: span.start):
        address = _replacement(span.raw, "", make_address)
        if address is None or span.start < position:
            continue
        breaks = "".join(_LINE_BREAK.findall(text, span.start, span.end))
        pieces += (text[position : span.start], address, breaks)
        position = span.end
    return "".join([*pieces, text[position:]])


def _rewrite(markup: str, make_address: MakeAddress, read: Callable[[str], str], write: Callable[[str], str]) -> str:
    pieces: list[str] = []
    position, base = 0, ""
    for token in tokens(markup):
        if not isinstance(token, Tag) or token.closing or token.raw_in == "script":
            continue
        for attribute in attributes(markup, token):
            if attribute.start == attribute.end:
                continue
            value = attribute_value(read(markup[attribute.start : attribute.end]))
            if token.name == "base" and attribute.name == "href":
                address = parse(value)
                base = base or (address.url if address is not None and address.is_web else "")
                continue
            replaced = _attribute(token, attribute, value, base, make_address)
            if replaced is not None:
                written = html.escape(write(replaced))
                pieces += (markup[position : attribute.start], written if attribute.quoted else f'"{written}"')
                position = attribute.end
    return "".join([*pieces, markup[position:]])


def _attribute(tag: Tag, attribute: Attribute, value: str, base: str, make_address: MakeAddress) -> str | None:
    """The new value of an attribute; None where it stays."""
    if attribute.name in _HREFS and tag.name not in NOT_CLICKED:
        return _replacement(value, base, make_address)
    if tag.name == "meta" and attribute.name == "content":
        refresh = _REFRESH.match(value)
        address = _replacement(refresh.group(2), base, make_address) if refresh is not None else None
        return refresh.group(1) + address if refresh is not None and address is not None else None
    return None


def _replacement(raw: str, base: str, make_address: MakeAddress) -> str | None:
    url = resolve(raw, base)
    if url is None:
        return None
    address = parse(url)
    if address is None or address.scheme not in WEB_SCHEMES or not address.host:
        return None
    return make_address(url)


def _as_ascii(value: str) -> str:
    """What is put in must be writable in any charset."""
    return value.encode("ascii", "xmlcharrefreplace").decode("ascii")
