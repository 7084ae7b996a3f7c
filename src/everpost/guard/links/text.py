"""Links in plain text: with a scheme, `www.`, domains with a path, defanged, broken over lines.

Each search starts at a rare fixed character (`:` before a slash, `.` before a domain's end) and looks a bounded way
around it, so that the cost grows with the length of the text and not with what it is made of.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import re2

from everpost.guard.links.model import LinkLimits, LinkSource
from everpost.guard.links.normalise import INVISIBLE, has_known_suffix

_MARK = "\ue000"  # stands in a refanged text where something was put right
_STOPS = '\\s<>"\x00-\x1f\x7f。，、；！？（）【】《》「」『』“”„«»…'
_SCHEMES = ("https", "http", "ftps", "ftp", "file", "smb", "ms-msdt", "search-ms", "ms-excel", "ms-word")
_MAX_BRACKETED = 2048
_MAX_LINES = 10
_WRAPPED_LINE = 60  # a line at least this long may have been broken by a mail program

_COLON_SLASH = re.compile(r":[/\\]")
_SCHEME_BACK = re.compile(rf"[\w+{_MARK}\-]{{0,12}}")
_TAIL = re.compile(rf"[^{_STOPS}]*+")
_MARKUP_TAIL = re.compile(rf"[^{_STOPS}')`]*+")
_WWW = tuple(re.compile(rf"{www}\d{{0,2}}\.[^\W_][^{_STOPS}]*+") for www in ("www", "WWW", "Www"))  # fixed beginnings
_NOT_BEFORE_WWW = re.compile(r"[\w@.\-/\\=]")
_DOMAIN_END = re.compile(r"\.[^\W\d_][\w\-]{1,62}+(?::\d{1,5}+)?+(?:/|\?\w)")
_HOST_BACK = re.compile(rf"[\w.{_MARK}\-]{{0,253}}")
_NOT_BEFORE_DOMAIN = frozenset("@/\\:=&?%+~#$")
_MARKED_DOMAIN = re.compile(rf"[\w.{_MARK}\-]*+(?::\d{{1,5}}+)?+(?:[/?#][^{_STOPS}]*+)?+")
_SECOND_SCHEME = re.compile(r"(?<=[\w.,;)\]])https?:[/\\]{2}", re.IGNORECASE)
_LINE_BREAK = re.compile(r"[ \t]*+\r?\n[ \t>]*+")
_NEXT_LINE = re.compile(r"[ \t]?\r?\n[> ]*+([\w\-./?=&%#~+:@!$,;()*]++)[ \t]?(?=\r?\n|\Z)")
_LOOKS_LIKE_REST = re.compile(r"[\d/=&%_\-]")
_TRAILING = frozenset(".,;:!?'\"*|`>’”»…\\")
_CLOSERS = {")": "(", "]": "[", "}": "{"}
_HOST_LATIN = re.compile(r"([a-z\d+.\-]*+:[/\\]{1,3})([!-.0-~]+)[^\x00-\x7f]", re.IGNORECASE)

_DEFANGED_HINTS = (
    "[.", "(.", "{.", "[ .", "( .", "{ .", "[,", "(,", "[:", "(:", "{:", "[ :", "[/", "[dot", "(dot", "{dot",
    "[ dot", "( dot", "{ dot", "hxx", "h**p", "h--p", "h__p", "hx*", "h*x", "http ", "https ", "http: ", "https: ",
    ":// ", "http	", "https	",
)  # fmt: skip
_DEFANGED_HINT = re2.compile("|".join(map(re2.escape, _DEFANGED_HINTS)))  # one pass, whatever their number
_DEFANGED_DOT = re.compile(r" ?[\[({] ?(?:[.,]|dot) ?[\])}] ?", re.IGNORECASE)
_DEFANGED_AT = re.compile(r" ?[\[({] ?(?:@|at) ?[\])}] ?", re.IGNORECASE)
_DEFANGED_COLON = re.compile(
    rf"(?<=[pPsS{_MARK}]) ?(?:[\[({{] ?:(?://)? ?[\])}}]|:[\[({{]//?[\])}}]) ?(?://)? ?(?=[\w\[])"
)
_DEFANGED_HTTP = re.compile(r"h(?:[x*]{2}|--|__)p(s?)(?=\s{0,2}[:\[({])", re.IGNORECASE)
_SPACED = re.compile(r"(https?)(?:\s{1,2}:\s{0,2}//\s{0,2}|:\s{1,2}//\s{0,2}|://\s{1,2})(?=[\w\[])", re.IGNORECASE)

_WIDE: dict[int, str] = {code: chr(code - 0xFEE0) for code in (*range(0xFF10, 0xFF1B), *range(0xFF21, 0xFF5B))}
_WIDE |= {0xFF0F: "/", 0xFF20: "@", 0xFF0D: "-", 0xFF0E: ".", 0xFF3F: "_", 0x2024: ".", ord(_MARK): ""}
_UNUSUAL = re.compile(f"{INVISIBLE.pattern[:-2]}。｡\uff01-\uff5e\u2024{_MARK}]")
_WIDE_STOP = re.compile(r"(?<=[A-Za-z\d])[。｡](?=[A-Za-z\d])")


@dataclass(frozen=True, slots=True)
class Span:
    """A link in a text: where it stands, and what it says once put right (`raw` without line breaks and brackets)."""

    start: int
    end: int
    raw: str
    source: LinkSource


@dataclass(slots=True)
class Budget:
    """How many places may still be looked at."""

    left: int

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


def find_in_text(text: str, limits: LinkLimits, budget: Budget) -> Iterator[Span]:
    """All that a reader or a mail program may take for a link. The places are those of the cleaned text."""
    text = clean(text[: limits.characters])
    plain = [*spans(text, limits, budget)]
    yield from plain
    for span in plain:
        yield from _unwrapped(text, span)
    starts = [(span.start, span.end) for span in plain]
    if _DEFANGED_HINT.search(text.lower()):
        yield from _defanged(_refang(text), limits, budget)
    yield from _bare_domains(text, limits, budget, starts)


def clean(text: str) -> str:
    """Without invisible characters; full-width letters, digits and dots as narrow ones."""
    if text.isascii() or not _UNUSUAL.search(text):
        return text
    return _WIDE_STOP.sub(".", INVISIBLE.sub("", text).translate(_WIDE))


def spans(text: str, limits: LinkLimits, budget: Budget, *, in_markup: bool = False) -> Iterator[Span]:
    """Links with a scheme, then those that begin with `www.`: what every mail program makes clickable."""
    taken: list[tuple[int, int]] = []
    for span in _with_scheme(text, limits, budget, _MARKUP_TAIL if in_markup else _TAIL):
        taken.append((span.start, span.end))
        yield span
    if in_markup or "www" not in text.lower():
        return
    for match in chain.from_iterable(pattern.finditer(text) for pattern in _WWW):
        if not budget.spend():
            return
        if match.start() and _NOT_BEFORE_WWW.match(text, match.start() - 1):
            continue
        raw = trim(match.group()[: limits.url])
        if "." in raw[4:] and not _inside(taken, match.start()):
            yield Span(match.start(), match.start() + len(raw), f"http://{raw}", LinkSource.TEXT)


def _with_scheme(text: str, limits: LinkLimits, budget: Budget, tail: re.Pattern[str]) -> Iterator[Span]:
    position = 0
    while (colon := _COLON_SLASH.search(text, position)) is not None:
        if not budget.spend():
            return
        at = colon.start()
        position = at + 2
        scheme = _scheme_before(text, at)
        match = tail.match(text, at + 1, at + 1 + limits.url)
        if not scheme or match is None:
            continue
        start = at - len(scheme)
        bracketed = _bracketed(text, start, at)
        if bracketed is not None:
            yield bracketed
            position = bracketed.end
            continue
        raw = trim(_cut(text[start : match.end()], len(scheme) + 3))
        position = max(position, start + len(raw))
        if len(raw) > len(scheme) + 2:
            yield Span(start, start + len(raw), raw, LinkSource.TEXT)


def _scheme_before(text: str, at: int) -> str:
    """The known scheme that ends before the colon, as written; "" where there is none."""
    back = text[max(0, at - 12) : at]
    lowered = back.replace(_MARK, "").lower()
    for scheme in _SCHEMES:
        if lowered.endswith(scheme):
            wanted = len(scheme) + back.count(_MARK)
            return back[-wanted:]
    return ""


def _bracketed(text: str, start: int, colon: int) -> Span | None:
    """`<http://…>` broken over lines (RFC 3986 appendix C): white space at the breaks does not count."""
    if start == 0 or text[start - 1] != "<":
        return None
    close = text.find(">", colon, colon + _MAX_BRACKETED)
    inner = text[start:close]
    if close < 0 or "\n" not in inner:
        return None
    joined = _LINE_BREAK.sub("", inner)
    if any(letter.isspace() or letter in '<"' for letter in joined):
        return None
    return Span(start, close, joined, LinkSource.TEXT)


def _cut(raw: str, begin: int) -> str:
    """Up to where a second address begins without a space, and up to foreign letters that follow a whole host."""
    second = _SECOND_SCHEME.search(raw, begin)
    if second is not None:
        raw = raw[: second.start()]
    if not raw.isascii():
        latin = _HOST_LATIN.match(raw)
        if latin is not None and has_known_suffix(latin.group(2).partition(":")[0].rpartition("@")[2]):
            return latin.group(1) + latin.group(2)
    return raw


def trim(raw: str) -> str:
    """Without the punctuation of the sentence around it; closing brackets stay where they were opened inside."""
    end = len(raw)
    surplus = {close: raw.count(close) - raw.count(opened) for close, opened in _CLOSERS.items()}
    while end:
        last = raw[end - 1]
        if surplus.get(last, 0) > 0:
            surplus[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return raw[:end]


def _unwrapped(text: str, span: Span) -> Iterator[Span]:
    """The address with the lines that follow, where the line may have been broken inside it."""
    line_start = text.rfind("\n", max(0, span.start - 1000), span.start) + 1
    if span.end - line_start < _WRAPPED_LINE and text[span.end - 1] not in "/=-&?_%":
        return
    raw, end = span.raw, span.end
    for _ in range(_MAX_LINES):
        following = _NEXT_LINE.match(text, end, end + 1000)
        if following is None or not _LOOKS_LIKE_REST.search(following.group(1)):
            break
        raw, end = raw + following.group(1), following.end(1)
    if end != span.end:
        yield Span(span.start, end, trim(raw), span.source)


def _bare_domains(text: str, limits: LinkLimits, budget: Budget, taken: list[tuple[int, int]]) -> Iterator[Span]:
    taken = sorted(taken)
    position = 0
    while (match := _DOMAIN_END.search(text, position)) is not None:
        if not budget.spend():
            return
        position = match.start() + 1
        start = _host_start(text, match.start())
        host_end = match.end() - (1 if text[match.end() - 1] == "/" else 2)
        if start is None or _inside(taken, start):
            continue
        if not has_known_suffix(text[start:host_end].partition(":")[0]):
            continue
        rest = _TAIL.match(text, host_end, host_end + limits.url)
        raw = trim(text[start : rest.end() if rest else host_end])
        position = max(position, start + len(raw))
        yield Span(start, start + len(raw), f"http://{raw}", LinkSource.BARE_DOMAIN)


def _host_start(text: str, dot: int) -> int | None:
    """Where the host begins whose last dot is at `dot`; None where it is part of something else."""
    back = _HOST_BACK.match(text[max(0, dot - 254) : dot][::-1])
    length = len(back.group().rstrip(".-_" + _MARK)) if back else 0
    start = dot - length
    if not length or length > 253 or (start and text[start - 1] in _NOT_BEFORE_DOMAIN):
        return None
    return start


def _inside(taken: list[tuple[int, int]], place: int) -> bool:
    at = bisect_right(taken, (place, 1 << 60)) - 1
    return at >= 0 and place < taken[at][1]


# -------------------------------------------------------------------- defanged


def _refang(text: str) -> str:
    """`hxxp[:]//evil[.]example` as it was meant, with a mark at every place that was put right."""
    text = _DEFANGED_AT.sub("@", text)
    text = _DEFANGED_DOT.sub("." + _MARK, text)
    text = _DEFANGED_HTTP.sub(rf"http\1{_MARK}", text)
    text = _DEFANGED_COLON.sub(_MARK + "://", text)
    return _SPACED.sub(rf"\1{_MARK}://", text)


def _defanged(text: str, limits: LinkLimits, budget: Budget) -> Iterator[Span]:
    if _MARK not in text:
        return
    taken = []
    for span in spans(text, limits, budget):
        taken.append((span.start, span.end))
        if _MARK in span.raw:
            yield Span(span.start, span.end, span.raw.replace(_MARK, ""), LinkSource.DEFANGED)
    taken.sort()
    position = 0
    while (mark := text.find("." + _MARK, position)) >= 0:
        if not budget.spend():
            return
        position = mark + 2
        start = _host_start(text, mark)
        if start is None or _inside(taken, start):
            continue
        whole = _MARKED_DOMAIN.match(text, start, start + limits.url)
        raw = trim(whole.group().replace(_MARK, "")) if whole else ""
        host = re.split(r"[:/?#]", raw, maxsplit=1)[0]
        if whole is None:
            continue
        position = max(position, whole.end())
        if has_known_suffix(host) and text[whole.end() : whole.end() + 1] != "@":
            yield Span(start, whole.end(), f"http://{raw}", LinkSource.DEFANGED)
