"""SQL in named files: a block starts with `-- name: verb_noun` and ends where the next one starts."""

from __future__ import annotations

import functools
import re
from importlib import resources

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)


class Queries:
    """The blocks of one file, by name: `Queries("queue")["claim"]`."""

    def __init__(self, file: str, text: str) -> None:
        self._file = file
        parts = _NAME.split(text)
        self._blocks = {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}

    def __getitem__(self, name: str) -> str:
        return self._blocks[name]

    def names(self) -> frozenset[str]:
        return frozenset(self._blocks)


@functools.cache
def load(file: str) -> Queries:
    """The queries of `sql/<file>.sql`."""
    text = (resources.files("everpost.store.sql") / f"{file}.sql").read_text(encoding="utf-8")
    return Queries(file, text)
