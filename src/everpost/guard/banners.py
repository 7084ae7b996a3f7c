"""A word on top of delivery copies for their readers: where a message comes from, and what is odd about it. Pure."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from everpost.directory.model import Banner, Language
from everpost.guard.model import Judgement, Verdict, Way

_STYLE: Final = (
    "border-left:4px solid {colour};background:#fff8e6;color:#1a1a1a;padding:8px 12px;margin:0 0 12px;"
    "font:14px/1.4 sans-serif"
)
_AMBER: Final = "#b26a00"
_RED: Final = "#b3261e"
_REASONS: Final = 3


@dataclass(frozen=True, slots=True)
class BannerText:
    """The banner as text in the reader's language, in ASCII where a charset has no letters for that, and as HTML."""

    text: str
    plain: str
    html: str


@dataclass(frozen=True, slots=True)
class _Words:
    external: str
    suspicious: str
    reasons: str
    careful: str


_WORDS: Final[Mapping[Language, _Words]] = {
    Language.EN: _Words(
        "This message comes from outside your organisation.",
        "This message looks suspicious.",
        "What speaks against it:",
        "Open links and files only if you expected them.",
    ),
    Language.DE: _Words(
        "Diese Nachricht kommt von außerhalb Ihrer Organisation.",
        "Diese Nachricht ist verdächtig.",
        "Gegen sie spricht:",
        "Öffnen Sie Links und Dateien nur, wenn Sie sie erwartet haben.",
    ),
    Language.FR: _Words(
        "Ce message vient de l'extérieur de votre organisation.",
        "Ce message est suspect.",
        "Ce qui parle contre lui :",
        "N'ouvrez les liens et les fichiers que si vous les attendiez.",
    ),
}


def banner_of(verdict: Verdict, way: Way, wanted: Banner, language: Language) -> BannerText | None:
    """The banner that a copy of a message with this verdict gets; None where it gets none."""
    suspicious = verdict.judgement is not Judgement.CLEAN
    if way is not Way.INBOUND or wanted is Banner.NONE or (wanted is Banner.SUSPICIOUS and not suspicious):
        return None
    reasons = [each.evidence for each in verdict.signals if each.weight > 0][:_REASONS] if suspicious else []
    return BannerText(
        _text(_WORDS[language], suspicious, reasons),
        _text(_WORDS[Language.EN], suspicious, reasons).encode("ascii", "replace").decode("ascii"),
        _html(_WORDS[language], suspicious, reasons, language),
    )


def _text(words: _Words, suspicious: bool, reasons: list[str]) -> str:
    lines = [f"[!] {words.suspicious if suspicious else words.external}"]
    if reasons:
        lines += [f"    {words.reasons} {reasons[0]}", *(f"    - {reason}" for reason in reasons[1:])]
    if suspicious:
        lines.append(f"    {words.careful}")
    return "".join(f"{line}\r\n" for line in (*lines, "-" * 60, ""))


def _html(words: _Words, suspicious: bool, reasons: list[str], language: Language) -> str:
    said = html.escape(words.suspicious if suspicious else words.external)
    if reasons:
        listed = "".join(f"<li>{html.escape(reason)}</li>" for reason in reasons)
        said = f'<strong>{said}</strong><br>{html.escape(words.reasons)}<ul style="margin:4px 0">{listed}</ul>'
    if suspicious:
        said += html.escape(words.careful)
    style = _STYLE.format(colour=_RED if suspicious else _AMBER)
    return f'<div lang="{language}" style="{style}">{said}</div>\r\n'
