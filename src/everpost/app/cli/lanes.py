"""Lanes on the command line."""

from __future__ import annotations

from typing import Self

from everpost.app.cli.context import Failure, Services
from everpost.queue import lanes
from everpost.queue.lanes import EVERYTHING, LaneError, suggestion

__all__ = ["EVERYTHING", "LaneNames", "suggestion"]


class LaneNames(lanes.LaneNames):
    """The lanes of one organisation by the names of its primaries."""

    @classmethod
    async def read(cls, services: Services, organisation_id: int) -> Self:
        """With the primaries as they are called now."""
        return cls({each.id: each.name for each in await services.admin.primaries(organisation_id)})

    def parse(self, text: str) -> str:
        """The lane that `text` names. Raises `Failure` with what may have been meant."""
        try:
            return super().parse(text)
        except LaneError as error:
            raise Failure(str(error)) from error
