"""What the demo has to say in the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """Figures of one outage. `lost`, `duplicated` and `altered` are counted from outside, at both places."""

    accepted: int = 0
    refused: int = 0
    copies: int = 0
    readable_in_standby: int = 0
    delivered_to_primary: int = 0
    replayed_messages: int = 0
    replayed_changes: int = 0
    changes_checked: int = 0
    changes_wrong: int = 0
    read_by_people: int = 0
    lost: int = 0
    duplicated: int = 0
    altered: int = 0
    unexpected: int = 0
    hostile: int = 0
    hostile_kept: int = 0
    released: int = 0
    detect_s: float = 0.0
    switch_s: float = 0.0
    failback_s: float = 0.0
    standby_lag_ms_p50: float = 0.0
    standby_lag_ms_p99: float = 0.0
    accept_ms_p99: float = 0.0
    rate_msg_s: float = 0.0
    webmail_first_rows_s: float = 0.0
    reconciliation: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether everything came through."""
        return not (
            self.lost or self.duplicated or self.altered or self.unexpected or self.changes_wrong or self.refused
            or self.hostile_kept != self.hostile
        )  # fmt: skip

    def plain(self) -> dict[str, Any]:
        return {
            name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self).items()
        }  # fmt: skip

    def _webmail(self) -> list[tuple[str, str]]:
        seconds = self.webmail_first_rows_s
        return [("webmail open in a browser, to its first rows", f"{seconds:.1f} s")] if seconds else []

    def lines(self) -> list[tuple[str, str]]:
        """(what, figure), for people."""
        return [
            ("messages accepted", f"{self.accepted:,} at {self.rate_msg_s:,.0f}/s"),
            ("from the end of a message to its 250, 99 %", f"{self.accept_ms_p99:.0f} ms"),
            ("copies to be found", f"{self.copies:,}"),
            ("readable in the standby", f"{self.readable_in_standby:,}"),
            ("standing on the server in the end", f"{self.delivered_to_primary:,}"),
            ("server's death noticed after", f"{self.detect_s:.1f} s"),
            ("standby open after another", f"{self.switch_s:.2f} s"),
            ("from 250 to readable, 99 %", f"{self.standby_lag_ms_p99:.0f} ms"),
            ("brought back", f"{self.replayed_messages:,} messages, {self.replayed_changes:,} changes"),
            ("in", f"{self.failback_s:.1f} s"),
            ("changes checked on the server", f"{self.changes_checked}, of which wrong {self.changes_wrong}"),
            ("dangerous messages kept apart", f"{self.hostile_kept} of {self.hostile}"),
            *self._webmail(),
            ("lost", str(self.lost)),
            ("duplicated", str(self.duplicated)),
            ("altered", str(self.altered)),
        ]  # fmt: skip
