"""A stranger's HTML made harmless for the message frame. The browser cleans it again, and the frame runs nothing."""

from __future__ import annotations

import html as markup
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import nh3

from everpost.serve.web.markup import well_formed

MAX_HTML: Final = 2_000_000
"""Characters of one body that are looked at; what comes after is cut off."""

_TAGS: Final = frozenset(
    [
        "a",
        "abbr",
        "address",
        "article",
        "aside",
        "b",
        "bdi",
        "bdo",
        "big",
        "blockquote",
        "br",
        "caption",
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "dir",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "font",
        "footer",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "label",
        "li",
        "main",
        "mark",
        "nav",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "time",
        "tr",
        "tt",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)
_GONE_WITH_CONTENT: Final = frozenset(
    [
        "script",
        "style",
        "title",
        "head",
        "template",
        "noscript",
        "noembed",
        "noframes",
        "iframe",
        "object",
        "embed",
        "applet",
        "svg",
        "math",
        "xmp",
        "plaintext",
        "textarea",
        "select",
        "option",
        "button",
        "audio",
        "video",
        "canvas",
        "frameset",
    ]
)
_EVERYWHERE: Final = {"align", "valign", "bgcolor", "color", "dir", "lang", "title", "style", "width", "height"}
_ATTRIBUTES: Final = {
    "*": _EVERYWHERE,
    "a": {"href"},
    "img": {"src", "alt", "border", "hspace", "vspace", "srcset"},
    "table": {"border", "cellpadding", "cellspacing", "background", "summary"},
    "td": {"colspan", "rowspan", "nowrap", "background", "headers", "scope"},
    "th": {"colspan", "rowspan", "nowrap", "background", "headers", "scope"},
    "tr": {"background"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"face", "size"},
    "ol": {"start", "type", "reversed"},
    "ul": {"type"},
    "li": {"value", "type"},
    "time": {"datetime"},
    "details": {"open"},
}
_STYLES: Final = frozenset(
    [
        "background",
        "background-color",
        "border",
        "border-bottom",
        "border-bottom-color",
        "border-bottom-style",
        "border-bottom-width",
        "border-collapse",
        "border-color",
        "border-left",
        "border-left-color",
        "border-left-style",
        "border-left-width",
        "border-radius",
        "border-right",
        "border-right-color",
        "border-right-style",
        "border-right-width",
        "border-spacing",
        "border-style",
        "border-top",
        "border-top-color",
        "border-top-style",
        "border-top-width",
        "border-width",
        "box-sizing",
        "caption-side",
        "clear",
        "color",
        "direction",
        "display",
        "float",
        "font",
        "font-family",
        "font-size",
        "font-style",
        "font-variant",
        "font-weight",
        "height",
        "letter-spacing",
        "line-height",
        "list-style",
        "list-style-position",
        "list-style-type",
        "margin",
        "margin-bottom",
        "margin-left",
        "margin-right",
        "margin-top",
        "max-height",
        "max-width",
        "min-height",
        "min-width",
        "overflow",
        "overflow-wrap",
        "padding",
        "padding-bottom",
        "padding-left",
        "padding-right",
        "padding-top",
        "table-layout",
        "text-align",
        "text-decoration",
        "text-indent",
        "text-transform",
        "unicode-bidi",
        "vertical-align",
        "visibility",
        "white-space",
        "width",
        "word-break",
        "word-spacing",
        "word-wrap",
    ]
)
_SCHEMES: Final = {"http", "https", "mailto", "tel", "cid", "data"}
_DECLARATION: Final = re.compile(r"\s*([a-z-]{1,40})\s*:\s*([^\\<>{}@;]{1,1000})\Z")
_FUNCTION: Final = re.compile(r"([a-z-]*)\(")
_HARMLESS_FUNCTIONS: Final = frozenset(("rgb", "rgba", "hsl", "hsla", "calc", "min", "max"))
_INLINE_IMAGE: Final = re.compile(r"data:image/(?:png|gif|jpe?g|webp);base64,[A-Za-z0-9+/=\s]*\Z", re.IGNORECASE)
_REMOTE: Final = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
_LINK: Final = re.compile(r"\s*(?:https?://|mailto:|tel:)", re.IGNORECASE)
_WRITTEN: Final = re.compile(r' ([a-z]+)="([^"]*)"')
_TINY: Final = re.compile(r"\s*0*[0-2](?:\.\d*)?\s*(?:px)?\s*(?:!\s*important\s*)?\Z", re.IGNORECASE)
_HIDDEN: Final = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0*\.?0*\s*(?:[;!]|\Z)"
    r"|(?<![a-z-])(?:max-)?(?:width|height)\s*:\s*0*[0-2](?:\.\d*)?(?:px)?\s*(?:[;!]|\Z)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """HTML for the frame, how many things of others it would have fetched, and how many pictures only tracked."""

    html: str
    blocked_remote: int
    trackers: int


def render_html(html: str, *, cid: Mapping[str, str], remote: Callable[[str], str | None] | None = None) -> Rendered:
    """The body of a message, cleaned.

    `cid` maps the content ids of the message's own parts to addresses of this server (RFC 2392). Pictures of other
    servers become what `remote` says (an address of ours: the browser never talks to a stranger); where it says None,
    and without it, they are left out and counted. Those that nobody could see are left out in any case.
    """
    filter_ = _Filter(cid, remote)
    clean = nh3.clean(
        well_formed(html[:MAX_HTML], _TAGS, filter_.is_wanted),
        tags=set(_TAGS),
        clean_content_tags=set(_GONE_WITH_CONTENT),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=filter_,
        url_schemes=set(_SCHEMES),
        filter_style_properties=set(_STYLES),
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Rendered(clean, filter_.blocked, filter_.trackers)


class _Filter:
    """Decides about attributes, one by one."""

    def __init__(self, cid: Mapping[str, str], remote: Callable[[str], str | None] | None) -> None:
        self._cid = cid
        self._remote = remote
        self.blocked = 0
        self.trackers = 0

    def __call__(self, tag: str, name: str, value: str) -> str | None:
        if name in ("src", "background"):
            return self._picture(value)
        if name == "srcset":
            return None
        if name == "href":
            return value if _LINK.match(value) else None
        if name == "style":
            return self._style(value)
        return value

    def is_wanted(self, tag: str, attributes: str) -> bool:
        """Not a picture of another server that is too small to be seen, or hidden: it tells when the mail was read."""
        if tag != "img":
            return True
        found = {name: markup.unescape(value) for name, value in _WRITTEN.findall(attributes)}
        if not _REMOTE.match(found.get("src", "")) or not _is_invisible(found):
            return True
        self.trackers += 1
        return False

    def _picture(self, value: str) -> str | None:
        address = value.strip()
        if address[:4].lower() == "cid:":
            return self._cid.get(address[4:].strip("<> "))
        if _INLINE_IMAGE.match(address):
            return address
        if not _REMOTE.match(address):
            return None
        ours = self._remote(_absolute(address)) if self._remote is not None else None
        self.blocked += ours is None
        return ours

    def _style(self, value: str) -> str | None:
        kept = []
        for declaration in value.split(";"):
            match = _DECLARATION.match(declaration.lower() if "(" in declaration else declaration)
            if match is None or match[1].lower() not in _STYLES:
                continue
            functions = set(_FUNCTION.findall(match[2].lower()))
            if functions <= _HARMLESS_FUNCTIONS:
                kept.append(declaration.strip())
            elif "url" in functions:
                self.blocked += 1
        return ";".join(kept) or None


def _is_invisible(attributes: Mapping[str, str]) -> bool:
    """At most two pixels wide or high, or hidden by its style."""
    sizes = (attributes[name] for name in ("width", "height") if name in attributes)
    return any(map(_TINY.match, sizes)) or bool(_HIDDEN.search(attributes.get("style", "")))


def _absolute(address: str) -> str:
    """With a scheme, and written as it goes over the wire."""
    full = f"https:{address}" if address.startswith("//") else address
    return quote(full, safe="!#$%&'()*+,/:;=?@[]~-._")
