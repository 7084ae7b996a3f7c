"""What is remarkable about the links of a message: facts with evidence, no scores."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from everpost.guard.links.linklist import LinkList
from everpost.guard.links.lookalike import LikenessKind, Protected, lookalike
from everpost.guard.links.model import Link, LinkFinding, LinkFindingKind, LinkSource
from everpost.guard.links.normalise import (
    INVISIBLE,
    Address,
    ascii_host,
    has_known_suffix,
    ip_of,
    normalise,
    parse,
    registered_domain,
    unicode_host,
)
from everpost.guard.links.skeleton import is_mixed
from everpost.guard.links.unwrap import Layer, unwrap

MAX_FINDINGS: Final = 300
_K = LinkFindingKind
_PASSIVE_SOURCES = frozenset((LinkSource.HTML_SRC, LinkSource.HTML_OTHER))
_OF_PASSIVE = frozenset((_K.LISTED, _K.LOOKALIKE, _K.SUBDOMAIN_TRICK, _K.MIXED_SCRIPT, _K.DATA_URI))
_SCRIPT_SCHEMES = frozenset(("javascript", "vbscript", "jscript", "livescript"))
_RISKY_SCHEMES = frozenset(
    (
        "file",
        "smb",
        "nfs",
        "ldap",
        "ldaps",
        "search",
        "search-ms",
        "shell",
        "blob",
        "view-source",
        "mhtml",
        "jar",
        "res",
    )
)
_HARMLESS_SCHEMES = frozenset(("ms-settings", "msteams", "ms-windows-store"))
_PORTS = frozenset((80, 443, 8080, 8443))
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[^\\s][\t\r\n]+[^\\s]")
_SHOWN_HOST = re.compile(
    r"(?:(https?|ftp)://|(www)\.)?([\w\-]{1,63}(?:\.[\w\-]{1,63}){1,8})(?=[/:?#]|\Z)", re.IGNORECASE
)
_FILE_SUFFIXES = frozenset(("md", "py", "sh", "rs", "pl", "zip", "mov", "ps", "so", "app", "cc", "ai", "im", "in"))
_EXECUTABLE = re.compile(
    r"\.(apk|app|appinstaller|appref-ms|bat|chm|cmd|cpl|deb|dmg|docm|exe|hta|img|iqy|iso|jar|jnlp|js|jse|lnk|msc|msi|msix|msp"
    r"|one|pif|pkg|pptm|ps1|reg|rpm|scf|scr|settingcontent-ms|svg|udl|url|vbe|vbs|vhdx?|wsf|wsh|xlam|xll|xlsb|xlsm)\Z",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"\.(7z|ace|arj|bz2|cab|gz|lzh|rar|tar|tgz|xz|z|zip|zst)\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LinkContext:
    """What links are compared with. `allowed` entries silence what is said of the addresses they cover.

    `own_hosts` are ours (webmail, time-of-click addresses): nothing is said of links to them.
    """

    protected: Protected | None = None
    blocked: tuple[LinkList, ...] = ()
    allowed: tuple[LinkList, ...] = ()
    own_hosts: frozenset[str] = frozenset()


_EMPTY = LinkContext()


def judge_links(
    links: Iterable[Link], context: LinkContext = _EMPTY, *, truncated: bool = False
) -> tuple[LinkFinding, ...]:
    """The findings, each kind once per address, at most 300. Never raises; about 40 µs per link.

    `truncated` (of `FoundLinks`) becomes a finding of its own: what was not looked at may be what matters.
    """
    found: dict[tuple[LinkFindingKind, str], LinkFinding] = {}
    if truncated:
        found[_K.TOO_MANY, ""] = LinkFinding(_K.TOO_MANY, "", "more links or more text than is looked at")
    for link in links:
        for finding in _judge(link, context):
            if link.source in _PASSIVE_SOURCES and finding.kind not in _OF_PASSIVE:
                continue
            found.setdefault((finding.kind, finding.url), finding)
        if len(found) >= MAX_FINDINGS:
            break
    return tuple(found.values())[:MAX_FINDINGS]


def _judge(link: Link, context: LinkContext) -> Iterator[LinkFinding]:
    layers = unwrap(link.url)
    addresses = [(layer, address) for layer in layers if (address := parse(layer.url)) is not None]
    if not addresses or addresses[-1][1].host in context.own_hosts:
        return
    if any(listed.match_address(addresses[-1][1]) for listed in context.allowed):
        return
    yield from _of_scheme(addresses[0][1])
    yield from _of_writing(link, addresses[0][1])
    if link.shown:
        yield from _of_shown(link, [address for _, address in addresses], context)
    for layer, address in addresses:
        if address.host and not any(listed.match_address(address) for listed in context.allowed):
            yield from _of_layer(layer, address, context)


# ----------------------------------------------------------------- of the link


def _of_scheme(address: Address) -> Iterator[LinkFinding]:
    scheme, url = address.scheme, address.url
    if scheme == "data":
        yield LinkFinding(_K.DATA_URI, url, f"the link carries its page in itself: {url[:60]}")
    elif scheme in _SCRIPT_SCHEMES:
        yield LinkFinding(_K.JAVASCRIPT_URI, url, f"the link runs a script: {url[:60]}")
    elif scheme in _RISKY_SCHEMES or (scheme.startswith("ms-") and scheme not in _HARMLESS_SCHEMES):
        yield LinkFinding(_K.RISKY_SCHEME, url, f"the link opens a program or a file share: {url[:60]}")


def _of_writing(link: Link, address: Address) -> Iterator[LinkFinding]:
    """How it is written rather than where it leads."""
    url, raw = link.url, link.raw
    if link.source is LinkSource.DEFANGED:
        yield LinkFinding(_K.DEFANGED, url, f"written so that no program sees a link: {url[:80]}")
    elif link.source is LinkSource.QR:
        yield LinkFinding(_K.QR_LINK, url, f"a QR code holds the address {url[:80]}")
    written = parse(raw) or address
    if written.userinfo and written.host:
        shown = written.userinfo[:60]
        yield LinkFinding(_K.USERINFO, url, f"begins with {shown!r}, but leads to {written.host}")
    if INVISIBLE.search(raw) or _CONTROL.search(raw):
        yield LinkFinding(_K.HIDDEN_CHARACTERS, url, f"invisible characters inside the address of {address.host}")
    if address.is_ip and ":" not in address.host and address.host not in raw:
        yield LinkFinding(_K.ODD_IP_HOST, url, f"{raw[:60]!r} is the IP address {address.host} in disguise")


def _of_shown(link: Link, addresses: list[Address], context: LinkContext) -> Iterator[LinkFinding]:
    """A text that reads as an address of another domain than any the link leads through."""
    text = INVISIBLE.sub("", link.shown).strip("<>()[]\"' ")
    match = _SHOWN_HOST.match(text)
    if match is None or not addresses[0].host or (" " in text and not (match.group(1) or match.group(2))):
        return
    host = ascii_host(match.group(0)[match.start(2) if match.group(2) else match.start(3) :])
    sure = match.group(1) or match.group(2) or host.rpartition(".")[2] not in _FILE_SUFFIXES
    domain = registered_domain(host)
    if not sure or domain is None or not has_known_suffix(host):
        return
    targets = {registered_domain(address.host) for address in addresses}
    shown = normalise(text.split(maxsplit=1)[0]) if match.group(1) else None
    inside = (
        {registered_domain(inner.host) for layer in unwrap(shown) if (inner := parse(layer.url))} if shown else {domain}
    )
    if (inside | {domain}) & targets:
        return
    target = addresses[-1].host
    item = context.protected.covers(host) if context.protected is not None else None
    if item is not None:
        yield LinkFinding(_K.SHOWN_PROTECTED_DOMAIN, link.url, f"shows {host} ({item.kind}), but leads to {target}")
    else:
        yield LinkFinding(_K.SHOWN_OTHER_DOMAIN, link.url, f"shows {host}, but leads to {target}")


# ---------------------------------------------------------------- of one layer


def _of_layer(layer: Layer, address: Address, context: LinkContext) -> Iterator[LinkFinding]:
    url, host = address.url, address.host
    for listed in context.blocked:
        match = listed.match_address(address)
        if match is not None:
            yield LinkFinding(_K.LISTED, url, f"{match.value} ({match.kind}) is on the list {match.list_name!r}")
    if layer.service and layer.service != "parameter":
        yield LinkFinding(_K.REDIRECTOR, url, f"reached through {layer.service}")
    if address.is_ip:
        ip = ip_of(host)
        private = "private " if ip is not None and ip.is_private else ""
        yield LinkFinding(_K.IP_HOST, url, f"leads to the bare {private}IP address {host}")
    else:
        yield from _of_name(address, context)
    if address.port is not None and address.port not in _PORTS and address.scheme != "ftp":
        yield LinkFinding(_K.ODD_PORT, url, f"leads to port {address.port} of {host}")
    name = address.path.rpartition("/")[2]
    extension = _EXECUTABLE.search(name)
    if extension is not None:
        yield LinkFinding(_K.EXECUTABLE_TARGET, url, f"leads to a .{extension.group(1).lower()} file on {host}")
    archive = _ARCHIVE.search(name)
    if archive is not None:
        yield LinkFinding(_K.ARCHIVE_TARGET, url, f"leads to a .{archive.group(1).lower()} file on {host}")


def _of_name(address: Address, context: LinkContext) -> Iterator[LinkFinding]:
    url, host = address.url, address.host
    domain = registered_domain(host) or host
    readable = unicode_host(host)
    if readable != host:
        yield LinkFinding(_K.PUNYCODE, url, f"{host} reads {readable}")
        if any(is_mixed(label) for label in readable.split(".")):
            yield LinkFinding(_K.MIXED_SCRIPT, url, f"{readable} ({host}) mixes scripts in one word")
    likeness = lookalike(host, context.protected) if context.protected is not None else None
    if likeness is not None:
        subdomain = likeness.kind is LikenessKind.SUBDOMAIN
        yield LinkFinding(_K.SUBDOMAIN_TRICK if subdomain else _K.LOOKALIKE, url, likeness.evidence)
    if host in _names("shorteners") or domain in _names("shorteners"):
        yield LinkFinding(_K.SHORTENER, url, f"{host} says nothing of where it leads")
    free = _free_suffix(host)
    if free:
        yield LinkFinding(_K.FREE_HOSTING, url, f"{host}: anybody gets a page below {free}")


def _free_suffix(host: str) -> str:
    labels = host.split(".")
    for at in range(max(0, len(labels) - 5), len(labels) - 1):
        suffix = ".".join(labels[at:])
        if suffix in _names("free_hosting"):
            return suffix
    return ""


@cache
def _names(kind: str) -> frozenset[str]:
    text = files("everpost.guard.links").joinpath(f"data/{kind}.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
