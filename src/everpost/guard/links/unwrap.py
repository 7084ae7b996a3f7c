"""Redirectors undone without the network: the address that a link carries inside, layer by layer."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from everpost.guard.links.normalise import Address, parse

MAX_LAYERS: Final = 6
_MAX_PARAMETERS = 60
_ABSOLUTE = re.compile(r"(?:https?|ftp):[/\\]{1,3}[^\s/\\]", re.IGNORECASE)
_INSIDE_PATH = re.compile(r"[/=](https?)(?::|%3A)(?:/{1,2}|%2F(?:/|%2F)?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Layer:
    """One address on the way. `service` says what wrapped it: "" for the outermost, "parameter" where a page that
    is no known redirector carries an address, else the redirector's name. `partial`: only the host is known."""

    url: str
    service: str = ""
    partial: bool = False


def unwrap(url: str, most: int = MAX_LAYERS) -> tuple[Layer, ...]:
    """The address and those inside it, outermost first; at most `most` of them. Never raises."""
    layers = [Layer(url)]
    seen = {url}
    while len(layers) < most:
        address = parse(layers[-1].url)
        inner = _inner(address) if address is not None and address.is_web else None
        if inner is None or inner.url in seen:
            break
        seen.add(inner.url)
        layers.append(inner)
    return tuple(layers)


@dataclass(frozen=True, slots=True)
class _Redirector:
    """`hosts` are suffixes (`google.*` any suffix); `path` a beginning; one of the parameters holds the target."""

    service: str
    hosts: tuple[str, ...]
    path: str
    parameters: tuple[str, ...]
    decode: Callable[[str], str | None] = str


def _proofpoint_v2(value: str) -> str | None:
    return unquote(value.replace("-", "%").replace("_", "/"))


def _base64_text(value: str) -> str | None:
    try:
        octets = base64.b64decode(value + "=" * (-len(value) % 4), b"-_" if "-" in value or "_" in value else None)
    except (binascii.Error, ValueError):
        return None
    return octets.decode("utf-8", "replace")


def _bing(value: str) -> str | None:
    return _base64_text(value[2:]) if value.startswith("a1") else value


def _host_only(value: str) -> str | None:
    return f"https://{value}/"


_DOMAIN_ONLY: Final = ("mimecast",)
_REDIRECTORS: Final = (
    _Redirector("google", ("google.*",), "/url", ("q", "url")),
    _Redirector("google", ("google.*",), "/imgres", ("imgurl", "imgrefurl")),
    _Redirector("google", ("google.*", "translate.google.com"), "/translate", ("u",)),
    _Redirector("google", ("google.*",), "/amp", ()),
    _Redirector("google", ("accounts.google.com",), "/", ("continue", "followup")),
    _Redirector("google ads", ("googleadservices.com", "doubleclick.net"), "/", ("adurl", "ds_dest_url", "url")),
    _Redirector("google notifications", ("notifications.googleapis.com",), "/email/redirect", ("u", "r")),
    _Redirector("safe links", ("safelinks.protection.outlook.com", "safelinks.protection.office365.us"), "/", ("url",)),
    _Redirector("safe links", ("statics.teams.cdn.office.net",), "/evergreen-assets/safelinks/", ("url",)),
    _Redirector("proofpoint", ("urldefense.proofpoint.com",), "/v1/", ("u",)),
    _Redirector("proofpoint", ("urldefense.proofpoint.com",), "/v2/", ("u",), _proofpoint_v2),
    _Redirector("barracuda", ("linkprotect.cudasvc.com",), "/url", ("a",)),
    _Redirector("mimecast", ("mimecast.com", "mimecastprotect.com"), "/", ("domain",), _host_only),
    _Redirector("cisco", ("secure-web.cisco.com",), "/", ()),
    _Redirector("sophos", ("protection.sophos.com",), "/", ("u",), _base64_text),
    _Redirector("trend micro", ("trendmicro.com",), "/wis/clicktime/", ("url",)),
    _Redirector("symantec", ("clicktime.symantec.com",), "/", ("u",)),
    _Redirector("trellix", ("protect2.fireeye.com",), "/", ("u",)),
    _Redirector("facebook", ("l.facebook.com", "lm.facebook.com", "facebook.com"), "/l.php", ("u",)),
    _Redirector("facebook", ("facebook.com",), "/flx/warn", ("u",)),
    _Redirector("instagram", ("l.instagram.com",), "/", ("u",)),
    _Redirector("threads", ("l.threads.net", "l.threads.com"), "/", ("u",)),
    _Redirector("linkedin", ("linkedin.com",), "/redir/", ("url",)),
    _Redirector("linkedin", ("linkedin.com",), "/safety/go", ("url",)),
    _Redirector("youtube", ("youtube.com",), "/redirect", ("q",)),
    _Redirector("slack", ("slack-redir.net",), "/link", ("url",)),
    _Redirector("steam", ("steamcommunity.com",), "/linkfilter", ("u", "url")),
    _Redirector("vk", ("vk.com",), "/away", ("to",)),
    _Redirector("bing", ("bing.com",), "/ck/a", ("u",), _bing),
    _Redirector("bing", ("bing.com",), "/aclick", ("u",), _base64_text),
    _Redirector("yahoo", ("search.yahoo.com",), "/", ()),
    _Redirector("duckduckgo", ("duckduckgo.com",), "/l/", ("uddg",)),
    _Redirector("reddit", ("out.reddit.com",), "/", ("url",)),
    _Redirector("disqus", ("disq.us",), "/url", ("url",)),
    _Redirector("amazon ses", ("awstrack.me",), "/L0/", ()),
    _Redirector("web archive", ("web.archive.org",), "/web/", ()),
    _Redirector("medium", ("medium.com",), "/r/", ("url",)),
    _Redirector("zoho", ("accounts.zoho.com",), "/", ("serviceurl",)),
    _Redirector("microsoft", ("login.microsoftonline.com", "login.live.com"), "/", ("redirect_uri", "wreply")),
)
_PARAMETERS: Final = frozenset(
    (
        "u", "url", "uri", "q", "to", "go", "goto", "out", "link", "target", "targeturl", "dest",
        "destination", "redir", "redirect", "redirect_to", "redirect_uri", "redirect_url", "redirecturl",
        "redirecturi", "return", "returnto", "return_to", "returnurl", "return_url", "next", "continue",
        "forward", "ref_url", "location", "rurl", "r", "adurl", "clickurl", "click_url", "landing", "page",
        "site", "view", "checkout_url", "image_url",
    )
)  # fmt: skip


def _inner(address: Address) -> Layer | None:
    special = _proofpoint_v3(address) or _translated(address)
    if special is not None:
        return special
    query = parse_qsl(address.query, max_num_fields=None)[:_MAX_PARAMETERS]
    values = {name.lower(): value for name, value in reversed(query)}
    for redirector in _REDIRECTORS:
        if not _applies(redirector, address):
            continue
        for name in redirector.parameters:
            found = _target(redirector.decode(values[name]), redirector.service) if values.get(name) else None
            if found is not None:
                return found
        if not redirector.parameters:
            found = _target(_in_path(address), redirector.service)
            if found is not None:
                return found
    for name, value in values.items():
        if name in _PARAMETERS and _ABSOLUTE.match(value):
            return _target(value, "parameter")
    return _target(_in_path(address), "parameter")


def _applies(redirector: _Redirector, address: Address) -> bool:
    return address.path.startswith(redirector.path) and any(_is_at(address.host, host) for host in redirector.hosts)


def _is_at(host: str, suffix: str) -> bool:
    if suffix.endswith(".*"):
        labels = host.split(".")
        return suffix[:-2] in labels[:-1] and len(labels) - labels.index(suffix[:-2]) <= 3
    return host == suffix or host.endswith("." + suffix)


def _target(value: str | None, service: str) -> Layer | None:
    if value is None:
        return None
    text = value if _ABSOLUTE.match(value) else unquote(value)
    if text.startswith("//"):
        text = "https:" + text
    if not _ABSOLUTE.match(text):
        return None
    address = parse(text)
    return Layer(address.url, service, service in _DOMAIN_ONLY) if address is not None and address.is_web else None


def _in_path(address: Address) -> str | None:
    """An absolute address within the path, plain or percent-encoded; `/amp/s/host/…` too."""
    if address.path.startswith("/amp/s/"):
        return "https://" + address.path[7:]
    match = _INSIDE_PATH.search(address.path)
    if match is None:
        return None
    rest = address.path[match.end() :]
    encoded = "%" in match.group() or ("/" not in rest and "%2F" in rest)
    if "%" in match.group():
        rest = rest.partition("/")[0]
    target = f"{match.group(1)}://{unquote(rest) if encoded else rest}"
    return target if encoded or not address.query else f"{target}?{address.query}"


# ---------------------------------------------------------------- special ones

_V3 = re.compile(r"/v3/__(.+?)__;([A-Za-z0-9+/=_\-]*)", re.DOTALL)
_V3_STAR = re.compile(r"\*(\*.)?")
_V3_RUNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _proofpoint_v3(address: Address) -> Layer | None:
    """`https://urldefense.com/v3/__URL__;BASE64!…$`: stars stand for the characters in the base64, `**X` for a run."""
    if not (_is_at(address.host, "urldefense.com") or _is_at(address.host, "urldefense.us")):
        return None
    match = _V3.match(address.path + ("?" + address.query if address.query else ""))
    if match is None:
        return None
    replaced = iter(_base64_text(match.group(2)) or "")

    def put_back(star: re.Match[str]) -> str:
        run = _V3_RUNS.find(star.group(1)[1]) + 2 if star.group(1) else 1
        return "".join(next(replaced, "") for _ in range(run))

    text = _V3_STAR.sub(put_back, unquote(match.group(1)))
    return _target(re.sub(r"^([a-zA-Z]+):/(?=[^/])", r"\1://", text), "proofpoint")


def _translated(address: Address) -> Layer | None:
    """`evil-example.translate.goog`: dots have become hyphens, hyphens two of them."""
    if not address.host.endswith(".translate.goog"):
        return None
    name = address.host.removesuffix(".translate.goog").replace("--", "\0").replace("-", ".").replace("\0", "-")
    return _target(f"https://{name}{address.path}", "google translate")
