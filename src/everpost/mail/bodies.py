"""Which parts of a message are its text, its HTML and its attachments (RFC 8621 §4.1.4)."""

from __future__ import annotations

from dataclasses import dataclass

from everpost.mail.part import Part


@dataclass(frozen=True, slots=True)
class BodyLists:
    """The parts to show as plain text, to show as HTML, and to offer as files, each in order."""

    text: tuple[Part, ...]
    html: tuple[Part, ...]
    attachments: tuple[Part, ...]


def body_lists(part: Part) -> BodyLists:
    """The textBody, htmlBody and attachments of a message, by the algorithm of RFC 8621 §4.1.4."""
    lists = _Lists()
    lists.add((part,), "mixed", in_alternative=False, text=lists.text, html=lists.html)
    return BodyLists(tuple(lists.text), tuple(lists.html), tuple(lists.attachments))


def has_attachment(part: Part) -> bool:
    """Whether there is something to offer for download: an attachment that is not marked inline."""
    return any(item.disposition != "inline" for item in body_lists(part).attachments)


def _is_media(part: Part) -> bool:
    return part.type.startswith(("image/", "audio/", "video/"))


def _is_inline(part: Part, number: int, multipart: str) -> bool:
    if part.disposition == "attachment":
        return False
    if part.type not in ("text/plain", "text/html") and not _is_media(part):
        return False
    # Only the first part of a "related" is a body; a text with a name that is not first is taken for a file.
    return number == 0 or (multipart != "related" and (_is_media(part) or not part.filename))


class _Lists:
    def __init__(self) -> None:
        self.text: list[Part] = []
        self.html: list[Part] = []
        self.attachments: list[Part] = []

    def add(
        self,
        parts: tuple[Part, ...],
        multipart: str,
        *,
        in_alternative: bool,
        text: list[Part] | None,
        html: list[Part] | None,
    ) -> None:
        """One level. `text` and `html` are None once an alternative has shown the other to be meant."""
        text_length = len(text) if text is not None else -1
        html_length = len(html) if html is not None else -1
        for number, part in enumerate(parts):
            if part.is_multipart:
                kind = part.type.partition("/")[2]
                inside = in_alternative or kind == "alternative"
                self.add(part.children, kind, in_alternative=inside, text=text, html=html)
            elif not _is_inline(part, number, multipart):
                self.attachments.append(part)
            elif multipart == "alternative":
                self._add_choice(part, text, html)
            else:
                if in_alternative:
                    html = None if part.type == "text/plain" else html
                    text = None if part.type == "text/html" else text
                self._add_body(part, text, html)
        if multipart == "alternative" and text is not None and html is not None:
            if text_length == len(text) and html_length != len(html):
                text.extend(html[html_length:])
            elif html_length == len(html) and text_length != len(text):
                html.extend(text[text_length:])

    def _add_choice(self, part: Part, text: list[Part] | None, html: list[Part] | None) -> None:
        chosen = {"text/plain": text, "text/html": html}.get(part.type, self.attachments)
        if chosen is not None:
            chosen.append(part)

    def _add_body(self, part: Part, text: list[Part] | None, html: list[Part] | None) -> None:
        if text is not None:
            text.append(part)
        if html is not None:
            html.append(part)
        if (text is None or html is None) and _is_media(part):
            self.attachments.append(part)
