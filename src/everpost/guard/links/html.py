"""Links in HTML: anchors with what they show, forms, refreshes, pictures and frames; addresses in the visible text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from everpost.guard.links.markup import Attribute, Tag, Text, attribute_value, attributes, tokens
from everpost.guard.links.model import Link, LinkLimits, LinkSource
from everpost.guard.links.normalise import has_known_suffix, has_scheme, parse
from everpost.guard.links.text import Budget, find_in_text, spans

MAX_SHOWN: Final = 200
MAX_RAW: Final = 2048
IGNORED_SCHEMES: Final = ("mailto:", "tel:", "sms:", "cid:", "mid:", "callto:", "geo:", "about:", "xmpp:", "sip:")
NOT_CLICKED: Final = frozenset(("base", "link", "use", "image", "img", "script", "feimage", "pattern"))
"""Elements whose `href` is no link."""
_FORMS = frozenset(("action", "formaction"))
_LOADED = frozenset(("src", "background", "data", "poster", "lowsrc", "dynsrc"))
_WATCHED = ("href", "src", "action", "background", "data", "poster", "content", "srcdoc")
_VOCABULARIES = frozenset(("www.w3.org", "schemas.microsoft.com", "schemas.openxmlformats.org", "purl.org"))
_BLOCKS = frozenset(
    (
        "address", "article", "blockquote", "body", "br", "center", "dd", "div", "dl", "dt", "fieldset",
        "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li", "main", "nav",
        "ol", "option", "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
    )
)  # fmt: skip
_REFRESH = re.compile(r"[\s\d.]{0,40}[;,\s]\s{0,40}(?:url\s{0,40}=\s{0,40})?[\"']?([^\"']+)", re.IGNORECASE)
_PLAIN_HOST = re.compile(r"[\w.\-]{1,253}+(?=[:/?#\\]|\Z)")


def find_in_html(markup: str, limits: LinkLimits, budget: Budget) -> Iterator[Link]:
    """All links of one HTML part, in order; what is only loaded or stands in no tag comes as such."""
    return _Reader(markup[: limits.characters], limits, budget).links()


class _Reader:
    """One pass over one part."""

    def __init__(self, markup: str, limits: LinkLimits, budget: Budget, *, nested: bool = False) -> None:
        self.markup, self.limits, self.budget, self.nested = markup, limits, budget, nested
        self.base = ""
        self.anchor: tuple[str, str] | None = None  # address and raw value of the anchor that is open
        self.shown: list[str] = []
        self.visible: list[str] = []
        self.seen: set[str] = set()  # values of attributes
        self.written: list[str] = []  # addresses in the visible text

    def links(self) -> Iterator[Link]:
        for token in tokens(self.markup):
            if isinstance(token, Text):
                self._text(token)
            elif token.closing:
                yield from self._closing(token)
            else:
                yield from self._opening(token)
        yield from self._close_anchor()
        for span in islice(find_in_text("".join(self.visible), self.limits, self.budget), self.limits.links):
            self.written.append(span.raw)
            yield from _link(span.raw, span.raw, span.source)
        yield from self._elsewhere()

    def _text(self, token: Text) -> None:
        if token.raw_in and token.raw_in not in ("comment", "textarea"):
            return
        text = self.markup[token.start : token.end]
        if "&" in text:
            text = html.unescape(text)
        if self.anchor is not None:
            self.shown.append(text[: MAX_SHOWN * 4])
        else:
            self.visible.append(text)

    def _closing(self, tag: Tag) -> Iterator[Link]:
        if tag.name == "a":
            yield from self._close_anchor()
        elif tag.name in _BLOCKS:
            self._break()

    def _opening(self, tag: Tag) -> Iterator[Link]:
        if tag.name in _BLOCKS:
            self._break()
        start, end = tag.attributes_at
        if end - start < 5:
            return
        text = self.markup[start:end].lower()
        if any(name in text for name in _WATCHED) and self.budget.spend():
            for attribute in attributes(self.markup, tag):
                if attribute.end > attribute.start:
                    yield from self._attribute(tag, attribute)

    def _break(self) -> None:
        (self.shown if self.anchor is not None else self.visible).append("\n")

    def _attribute(self, tag: Tag, attribute: Attribute) -> Iterator[Link]:
        name = attribute.name
        if name in ("href", "xlink:href"):
            yield from self._href(tag, self._value(attribute))
        elif name in _FORMS:
            yield from self._found(self._value(attribute), LinkSource.HTML_FORM)
        elif name in _LOADED:
            yield from self._found(self._value(attribute), LinkSource.HTML_SRC)
        elif name == "content" and tag.name == "meta":
            refresh = _REFRESH.match(self._value(attribute))
            if refresh is not None:
                yield from self._found(refresh.group(1), LinkSource.HTML_META_REFRESH)
        elif name == "srcdoc" and not self.nested:
            yield from _Reader(self._value(attribute), self.limits, self.budget, nested=True).links()

    def _value(self, attribute: Attribute) -> str:
        return attribute_value(self.markup[attribute.start : attribute.end])

    def _href(self, tag: Tag, raw: str) -> Iterator[Link]:
        if tag.name == "base":
            address = parse(raw)
            self.base = self.base or (address.url if address is not None and address.is_web else "")
        elif tag.name in NOT_CLICKED:
            yield from self._found(raw, LinkSource.HTML_SRC)
        elif tag.name == "a":
            yield from self._close_anchor()
            url = self._resolve(raw)
            self.anchor = (url, raw) if url else None
        else:
            yield from self._found(raw, LinkSource.HTML_HREF)

    def _close_anchor(self) -> Iterator[Link]:
        if self.anchor is None:
            return
        (url, raw), shown = self.anchor, " ".join("".join(self.shown).split())[:MAX_SHOWN]
        self.anchor, self.shown = None, []
        yield Link(url, raw[:MAX_RAW], LinkSource.HTML_HREF, shown)

    def _found(self, raw: str, source: LinkSource) -> Iterator[Link]:
        url = self._resolve(raw)
        if url and not (source is LinkSource.HTML_SRC and url.startswith("data:image/")):
            yield Link(url, raw[:MAX_RAW], source)

    def _resolve(self, raw: str) -> str | None:
        self.seen.add(raw)
        return resolve(raw, self.base)

    def _elsewhere(self) -> Iterator[Link]:
        """Addresses anywhere in the source that no tag gave: comments, scripts, and what we may read wrongly."""
        text = attribute_value(self.markup)
        for span in spans(text, self.limits, self.budget, in_markup=True):
            if span.raw in self.seen or any(written.startswith(span.raw) for written in self.written):
                continue
            self.seen.add(span.raw)
            address = parse(span.raw)
            if address is not None and address.host not in _VOCABULARIES:
                yield from _link(span.raw, span.raw, LinkSource.HTML_OTHER)


def resolve(raw: str, base: str) -> str | None:
    """Where a click on this value leads: the normalised address; None for what leads out of no mail program.

    Without a base, `//host/…` and `www.host/…` are taken for https and http, as mail programs do.
    """
    text = raw[: MAX_RAW * 4].lstrip("".join(map(chr, range(33))))
    if not text or text[0] == "#" or text[:10].lower().startswith(IGNORED_SCHEMES):
        return None
    if text[:2].replace("\\", "/") == "//":
        text = "https:" + text
    elif not base and not has_scheme(text.replace("\t", "").replace("\n", "").replace("\r", "")):
        host = _PLAIN_HOST.match(text)
        if host is None or not has_known_suffix(host.group()):
            return None
        text = "http://" + text
    elif not base and (host := _PLAIN_HOST.match(text)) is not None and has_known_suffix(host.group()):
        text = "http://" + text  # example.com:8080/x, which reads as a scheme
    address = parse(text, base)
    return address.url if address is not None and (address.host or address.path) else None


def _link(raw: str, written: str, source: LinkSource) -> Iterator[Link]:
    address = parse(raw)
    if address is not None and (address.host or not address.is_web):
        yield Link(address.url, written[:MAX_RAW], source)
