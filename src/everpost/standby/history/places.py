"""Which folder of the standby a folder of a source is; made where there is none."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from everpost.standby.history.model import HistoryFolder
from everpost.standby.model import Role
from everpost.standby.values import MAX_FOLDER_DEPTH, MAX_FOLDER_NAME_OCTETS
from everpost.standby.work import Work
from everpost.store.ids import IdAllocator

Path = tuple[str, ...]


class Places:
    """The folders of one run. `role`s are system folders, and what is below them stays below them."""

    def __init__(self, folders: Iterable[HistoryFolder]) -> None:
        self._roles: dict[Path, Role] = {}
        for folder in sorted(folders, key=lambda each: len(each.path)):
            if folder.role is not None:
                self._roles[folder.path] = folder.role

    async def folder_id(self, work: Work, folder: HistoryFolder, ids: IdAllocator, *, make: bool) -> int | None:
        """The standby's folder; None where there is none and none is to be made (`make`). Raises `OverLimit`."""
        parent: int | None = None
        for depth in range(1, len(folder.path) + 1):
            path = folder.path[:depth]
            role = self._roles.get(path)
            if role is not None:
                parent = role.folder_id
                continue
            # Deeper than folders may nest, names are joined to one.
            last = depth == MAX_FOLDER_DEPTH and depth < len(folder.path)
            name = _fit("/".join(folder.path[depth - 1 :]) if last else path[-1])
            found = await self._named(work, parent, name)
            if found is None:
                if not make:
                    return None
                found = await ids.new()
                await work.create_folder(found, name, parent)
            parent = found
            if last:
                break
        return parent

    async def _named(self, work: Work, parent: int | None, name: str) -> int | None:
        for each in (await work.folders()).values():
            if each.parent_id == parent and each.name == name:
                return each.id
        return None


def _fit(name: str) -> str:
    """A name that a folder can have (`check_folder_name`)."""
    name = unicodedata.normalize("NFC", "".join(letter if letter.isprintable() else "_" for letter in name[:500]))
    octets = name.strip().encode("utf-8", "replace")[:MAX_FOLDER_NAME_OCTETS]
    return octets.decode("utf-8", "ignore").strip() or "_"
