"""SMTP replies with enhanced status codes (RFC 5321 §4.2, RFC 2034, RFC 3463)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """What the first digit of a reply says (RFC 5321 §4.2.1)."""

    SUCCESS = 2
    INTERMEDIATE = 3
    TRANSIENT = 4
    PERMANENT = 5


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. `detail` holds subject and detail of the enhanced code; its class is always the reply's own
    first digit, so that the two can never disagree (RFC 3463 §2). Multi-line text is split by newlines.
    """

    code: int
    text: str
    detail: tuple[int, int] | None = None

    @property
    def outcome(self) -> Outcome:
        return Outcome(self.code // 100)

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code, as "5.1.1"; None where the reply has none."""
        if self.detail is None or self.code // 100 not in (2, 4, 5):
            return None
        return f"{self.code // 100}.{self.detail[0]}.{self.detail[1]}"

    def encode(self) -> bytes:
        """The reply as it goes over the wire, every line with code and enhanced code (RFC 2034 §4)."""
        prefix = f"{self.enhanced} " if self.enhanced else ""
        lines = self.text.split("\n")
        last = len(lines) - 1
        return "".join(
            f"{self.code}{' ' if number == last else '-'}{prefix}{line}\r\n" for number, line in enumerate(lines)
        ).encode("utf-8", "replace")

    def __str__(self) -> str:
        prefix = f"{self.enhanced} " if self.enhanced else ""
        return f"{self.code} {prefix}" + " ".join(self.text.split("\n"))
