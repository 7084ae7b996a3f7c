"""A DNS of the test's own: names with their records, and names that never answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from everpost.auth.resolver import Lookup, RecordType, Status, is_name, name_key

Records = Mapping[RecordType, Sequence[str]]


class Zone:
    """Answers from a table; counts the questions. `dead` names do not answer at all, or not for some types."""

    def __init__(
        self,
        names: Mapping[str, Records] | None = None,
        dead: Mapping[str, frozenset[RecordType]] | None = None,
    ) -> None:
        self.names = {name_key(name): records for name, records in (names or {}).items()}
        self.dead = {name_key(name): kinds for name, kinds in (dead or {}).items()}
        self.asked: list[tuple[str, RecordType]] = []

    async def lookup(self, name: str, kind: RecordType) -> Lookup:
        self.asked.append((name, kind))
        if not is_name(name):
            return Lookup(Status.NO_DOMAIN)
        key = name_key(name)
        if kind in self.dead.get(key, ()):
            return Lookup(Status.TEMPORARY, reason="time-out")
        records = self.names.get(key)
        if records is None:
            below = any(other.endswith(f".{key}") for other in self.names)
            return Lookup(Status.NO_DATA if below else Status.NO_DOMAIN)
        found = tuple(records.get(kind, ()))
        return Lookup(Status.FOUND, found, 300) if found else Lookup(Status.NO_DATA)


def zone_of_texts(names: Mapping[str, str | Sequence[str]]) -> Zone:
    """A zone of TXT records only."""
    return Zone(
        {name: {RecordType.TXT: [text] if isinstance(text, str) else list(text)} for name, text in names.items()}
    )
