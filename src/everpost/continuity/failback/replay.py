"""Doing what a plan asks for, over IMAP. Each action looks first, so that it may be repeated after any interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from everpost.continuity.failback.ledger import MailboxLedger
from everpost.continuity.failback.model import (
    Action,
    Append,
    Delete,
    Flags,
    FolderCreate,
    FolderDelete,
    FolderRename,
    Item,
    ItemState,
    Move,
    key_of,
)
from everpost.continuity.failback.remote import RemoteMailbox, flags_of
from everpost.continuity.imap import Copy, ImapRefusal
from everpost.crypto.keys import KeyProblem
from everpost.crypto.sealed_blob import DamagedBlob
from everpost.store.blobs import BlobReader, NoSuchBlob

Checkpoint = Callable[[str], None]
NO_CONNECTOR = "the primary has no IMAP connector"


def _nowhere(_step: str) -> None:
    return None


class StateReplay:
    """Replays one mailbox's actions. `checkpoint` is called at every step (tests interrupt there)."""

    def __init__(
        self,
        remote: RemoteMailbox,
        ledger: MailboxLedger,
        blobs: BlobReader,
        checkpoint: Checkpoint = _nowhere,
    ) -> None:
        self._remote = remote
        self._ledger = ledger
        self._blobs = blobs
        self._checkpoint = checkpoint

    async def run(self, actions: Sequence[tuple[Action, ItemState]]) -> None:
        """In order. Raises `Stopped`; `ImapFailure` where the connection breaks: what was begun is then in doubt."""
        for action, state in actions:
            identifier, kind = key_of(action)
            item = Item(identifier, kind, ItemState.BEGUN)
            await self._ledger.check_running()
            self._checkpoint(f"before {kind} {identifier}")
            await self._ledger.note([item])
            self._checkpoint(f"begun {kind} {identifier}")
            try:
                done = await self._perform(action, item, in_doubt=state is ItemState.BEGUN)
            except ImapRefusal as error:
                done = replace(item, state=ItemState.HELD, evidence=str(error))
            except (NoSuchBlob, DamagedBlob, KeyProblem) as error:
                done = replace(item, state=ItemState.HELD, evidence=f"cannot be read here: {error}")
            self._checkpoint(f"performed {kind} {identifier}")
            await self._ledger.note([done])
            self._checkpoint(f"after {kind} {identifier}")

    async def _perform(self, action: Action, item: Item, *, in_doubt: bool) -> Item:
        match action:
            case Append():
                return await self._append(action, item)
            case Flags():
                return await self._flags(action, item)
            case Move():
                return await self._move(action, item, in_doubt=in_doubt)
            case Delete():
                return await self._delete(action, item)
            case FolderCreate():
                made = await self._remote.ensure(self._remote.name_of(action.path))
                return replace(item, state=ItemState.DONE if made else ItemState.ALREADY)
            case FolderRename():
                return await self._rename(action, item)
            case FolderDelete():
                return await self._remove_folder(action, item)

    # ------------------------------------------------------------------ messages

    async def _append(self, action: Append, item: Item) -> Item:
        target = await self._target(action.folder_id)
        box = self._remote.session.mailbox
        flags = flags_of(action.keywords)
        note = self._also(action.also_in)
        present = await self._remote.same_content(action.subject)
        here = next((copy for copy in present if copy.folder == target), None)
        found = here or next(iter(present), None)
        if found is not None:
            await self._remote.session.run(box.store_flags, found.folder, found.uid, flags, {"\\Draft"} - flags)
            if here is None:
                await self._move_copy(found, target)
                note = f"was in {found.folder}{note}"
            return replace(item, state=ItemState.ALREADY, evidence=note)
        content = await self._blobs.read(self._ledger.run.organisation_id, action.subject.blob_id)
        answer = await self._remote.session.run(box.append, target, content, flags, action.at)
        return replace(item, state=ItemState.DONE, evidence=f"{answer}{note}")

    async def _flags(self, action: Flags, item: Item) -> Item:
        copies = await self._remote.standing(action.subject)
        if not copies:
            return replace(item, state=ItemState.MISSING, evidence="not found on the primary")
        box = self._remote.session.mailbox
        add, remove = flags_of(action.add), flags_of(action.remove)
        unsupported: frozenset[str] = frozenset()
        changed = False
        for copy in copies:
            if add <= copy.flags and not remove & copy.flags:
                continue
            changed = True
            unsupported |= await self._remote.session.run(box.store_flags, copy.folder, copy.uid, add, remove)
        note = f"not kept by the primary: {' '.join(sorted(unsupported))}" if unsupported else ""
        return replace(item, state=ItemState.DONE if changed else ItemState.ALREADY, evidence=note)

    async def _move(self, action: Move, item: Item, *, in_doubt: bool) -> Item:
        target = await self._target(action.folder_id)
        copies = await self._remote.standing(action.subject)
        before = {self._remote.folder(folder_id) for folder_id in action.before}
        there = [copy for copy in copies if copy.folder == target]
        left = [copy for copy in copies if copy.folder in before and copy.folder != target]
        note = self._also(action.also_in)
        if there:
            if in_doubt and left and not self._remote.session.mailbox.moves_atomically:
                await self._remove_copy(left[0])  # our own COPY got through, the end of the original did not
            return replace(item, state=ItemState.ALREADY, evidence=note)
        if not copies:
            return replace(item, state=ItemState.MISSING, evidence="not found on the primary")
        await self._move_copy((left or copies)[0], target)
        return replace(item, state=ItemState.DONE, evidence=note)

    async def _delete(self, action: Delete, item: Item) -> Item:
        """Only a message known by our delivery or its content, and of several only the one in its old folder."""
        copies = await self._remote.standing(action.subject)
        if not copies:
            return replace(item, state=ItemState.ALREADY, evidence="not on the primary any more")
        before = {self._remote.folder(folder_id) for folder_id in action.before}
        chosen = [copy for copy in copies if copy.folder in before] or copies
        if len(chosen) > 1:
            where = ", ".join(sorted({copy.folder for copy in chosen}))
            return replace(item, state=ItemState.HELD, evidence=f"stands more than once there: {where}")
        removed = await self._remove_copy(chosen[0])
        note = "" if removed else "marked as deleted only: the primary has no UIDPLUS"
        return replace(item, state=ItemState.DONE, evidence=note)

    async def _move_copy(self, copy: Copy, target: str) -> None:
        await self._remote.session.run(self._remote.session.mailbox.move, copy.folder, copy.uid, target)
        self._remote.forget(copy)

    async def _remove_copy(self, copy: Copy) -> bool:
        removed = await self._remote.session.run(self._remote.session.mailbox.delete, copy.folder, copy.uid)
        self._remote.forget(copy)
        return removed

    async def _target(self, folder_id: int) -> str:
        name = self._remote.folder(folder_id)
        if name is None:
            raise ImapRefusal("the folder is gone")
        await self._remote.ensure(name)
        return name

    def _also(self, folder_ids: tuple[int, ...]) -> str:
        names = [self._remote.folder(folder_id) or "?" for folder_id in folder_ids]
        return f"; in the standby also in {', '.join(names)}" if names else ""

    # ------------------------------------------------------------------ folders

    async def _rename(self, action: FolderRename, item: Item) -> Item:
        old, new = self._remote.name_of(action.old), self._remote.name_of(action.new)
        if self._remote.has(new):
            return replace(item, state=ItemState.ALREADY)
        if self._remote.has(old):
            await self._remote.rename(old, new)
        else:
            await self._remote.ensure(new)
        return replace(item, state=ItemState.DONE)

    async def _remove_folder(self, action: FolderDelete, item: Item) -> Item:
        name = self._remote.name_of(action.path)
        if not self._remote.has(name):
            return replace(item, state=ItemState.ALREADY)
        if await self._remote.remove(name):
            return replace(item, state=ItemState.DONE)
        return replace(item, state=ItemState.HELD, evidence=f"{name} is not empty on the primary")
