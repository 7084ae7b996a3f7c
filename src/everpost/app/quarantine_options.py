"""The options of the quarantine."""

from __future__ import annotations

from typing import Annotated

from everpost.app.options import Section, doc


class Quarantine(Section, frozen=True):
    """What the guard keeps apart. Digests and what people may do are each organisation's: `everpost quarantine
    settings`.
    """

    retention_days: Annotated[
        float,
        doc(
            "What nobody releases ends after so long, without a report to its sender.", unit="days", ge=1, le=3650
        ),
    ] = 30.0  # fmt: skip
