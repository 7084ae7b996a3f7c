"""What an organisation has to say at the end of its mail to the world. Pure."""

from __future__ import annotations

import html
import re
import unicodedata
from typing import Final

from everpost.guard.banners import BannerText
from everpost.guard.case import Case
from everpost.guard.model import Way
from everpost.mail.addresslist import as_addresses, flatten

_STYLE: Final = "border-top:1px solid #999;margin:16px 0 0;padding:8px 0 0;color:#555;font:12px/1.4 sans-serif"
_TAG: Final = re.compile(r"<[^<>]*+>")
_BETWEEN: Final = re.compile(r"[\W_]+")


def disclaimer_of(case: Case) -> BannerText | None:
    """What copies of a message get at their end; None where they get nothing.

    It is for people elsewhere, from an author of ours. Reports stay as they are, and what somebody has signed with
    DKIM already: that signature would break.
    """
    text = case.copies.disclaimer.strip()
    if not text or case.way is not Way.OUTBOUND or case.reverse_path is None or case.header.keyed("dkim-signature"):
        return None
    outside = any(each.domain.lower() not in case.own_domains for each in case.recipients)
    if not outside or not _is_ours(case):
        return None
    lines = text.splitlines()
    plain = "".join(f"{line.rstrip()}\r\n" for line in lines)
    shown = "<br>".join(html.escape(line) for line in lines)
    return BannerText(plain, _in_ascii(plain), f'<div style="{_STYLE}">{shown}</div>\r\n')


def _in_ascii(text: str) -> str:
    """Letters without their accents, where there is no other way to write them."""
    parts = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("€", "EUR").replace("–", "-"))
    bare = "".join(letter for letter in parts if not unicodedata.combining(letter))
    return bare.encode("ascii", "replace").decode("ascii")


def _is_ours(case: Case) -> bool:
    authors = [each for field in case.header.all("from")[:5] for each in flatten(as_addresses(field.raw))]
    return any(each.address.rpartition("@")[2].lower() in case.own_domains for each in authors[:20])


def says_so(text: str, disclaimer: BannerText) -> bool:
    """Whether a text holds it already: an answer that cites what was sent before."""
    return _letters(disclaimer.text) in _letters(text)


def page_says_so(markup: str, disclaimer: BannerText) -> bool:
    """The same, of HTML."""
    return says_so(html.unescape(_TAG.sub(" ", markup)), disclaimer)


def _letters(text: str) -> str:
    """Without what mail programs change in what they cite: spaces, line ends, marks before lines."""
    return _BETWEEN.sub("", text.casefold())
