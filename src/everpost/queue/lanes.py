"""How people write lanes, and how they are shown: `primary:NAME`, a domain, or all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from everpost.mail.address import Address, AddressError, domain_key
from everpost.queue.model import internet_lane, primary_lane
from everpost.queue.operator import ALL_LANES
from everpost.store.ids import encode_id

EVERYTHING = "all lanes"
_PRIMARY, _DOMAIN = "primary:", "domain:"


class LaneError(ValueError):
    """What was written names no lane. The message says what may have been meant."""


class LaneNames:
    """The lanes of one organisation by the names of its primaries."""

    def __init__(self, primaries: dict[int, str]) -> None:
        self._lanes = {name: primary_lane(primary_id) for primary_id, name in primaries.items()}
        self._shown = {lane: f"{_PRIMARY}{name}" for name, lane in self._lanes.items()}

    def show(self, lane: str) -> str:
        """A lane for people, and for `parse`."""
        if lane == ALL_LANES:
            return EVERYTHING
        if lane.startswith(_PRIMARY) and lane not in self._shown:
            number = lane.removeprefix(_PRIMARY)
            return f"{_PRIMARY}({encode_id(int(number)) if number.isdigit() else '?'}, no longer there)"
        return self._shown.get(lane, lane.removeprefix(_DOMAIN))

    def parse(self, text: str) -> str:
        """The lane that `text` names. Raises `LaneError` with what may have been meant."""
        text = text.strip()
        if text.startswith(_PRIMARY):
            return self._primary(text.removeprefix(_PRIMARY))
        name = text.removeprefix(_DOMAIN)
        if name in self._lanes:
            raise LaneError(f"{name} is a primary: its lane is written {_PRIMARY}{name}")
        try:
            domain = domain_key(Address.parse(f"x@{name}").domain)
        except (AddressError, UnicodeError):
            domain = ""
        if not domain or ("." not in domain and not domain.startswith("[")):
            hint = suggestion(text, self._shown.values())
            raise LaneError(f"{text[:80]!r} is no lane{hint}: write primary:NAME, or the domain that mail goes to")
        return internet_lane(domain)

    def _primary(self, name: str) -> str:
        lane = self._lanes.get(name)
        if lane is None:
            hint = suggestion(name, self._lanes)
            raise LaneError(f"there is no primary {name[:80]!r}{hint}; there are: {', '.join(self._lanes) or 'none'}")
        return lane


def suggestion(text: str, known: Iterable[str]) -> str:
    """`, did you mean …?` where something like `text` is known, else nothing."""
    close = difflib.get_close_matches(text[:260].lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
