"""The values of the package: a link and where it stood, the bounds of the search, what a link is found to be."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LinkSource(StrEnum):
    """Where a link stood. The order is that of weight: the first is kept where an address was found twice."""

    HTML_HREF = "html_href"
    HTML_FORM = "html_form"
    HTML_META_REFRESH = "html_meta_refresh"
    TEXT = "text"
    DEFANGED = "defanged"
    BARE_DOMAIN = "bare_domain"
    QR = "qr"
    ATTACHMENT = "attachment"
    HTML_SRC = "html_src"
    HTML_OTHER = "html_other"  # in a comment, a script, a style or an attribute that is no link: nobody clicks on it


@dataclass(frozen=True, slots=True)
class Link:
    """One address. `url` is normalised, `raw` as it stood (cut to 2,048 characters), `shown` what a reader sees of it.

    `shown` is the text between the tags of an HTML link, at most 200 characters, and empty elsewhere.
    """

    url: str
    raw: str
    source: LinkSource
    shown: str = ""


@dataclass(frozen=True, slots=True)
class LinkLimits:
    """Bounds of one search. Characters of one text or HTML part, different links of all, characters of one address."""

    characters: int = 1_000_000
    links: int = 1000
    candidates: int = 20_000
    url: int = 8192


@dataclass(frozen=True, slots=True)
class FoundLinks:
    """The links in the order found, each once per address and shown text; `truncated` tells that a bound was met."""

    links: tuple[Link, ...]
    truncated: bool = False


class LinkFindingKind(StrEnum):
    """What is remarkable about a link. docs/guard-links.md says what each means."""

    SHOWN_OTHER_DOMAIN = "shown_other_domain"
    SHOWN_PROTECTED_DOMAIN = "shown_protected_domain"
    USERINFO = "userinfo"
    IP_HOST = "ip_host"
    ODD_IP_HOST = "odd_ip_host"
    PUNYCODE = "punycode"
    MIXED_SCRIPT = "mixed_script"
    HIDDEN_CHARACTERS = "hidden_characters"
    LOOKALIKE = "lookalike"
    SUBDOMAIN_TRICK = "subdomain_trick"
    LISTED = "listed"
    REDIRECTOR = "redirector"
    DATA_URI = "data_uri"
    JAVASCRIPT_URI = "javascript_uri"
    RISKY_SCHEME = "risky_scheme"
    EXECUTABLE_TARGET = "executable_target"
    ARCHIVE_TARGET = "archive_target"
    ODD_PORT = "odd_port"
    DEFANGED = "defanged"
    FREE_HOSTING = "free_hosting"
    SHORTENER = "shortener"
    QR_LINK = "qr_link"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class LinkFinding:
    """One remarkable thing about one address (its normalised form), with a sentence a person can read."""

    kind: LinkFindingKind
    url: str
    evidence: str
