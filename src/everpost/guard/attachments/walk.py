"""The inspection itself: every attachment is typed, named, unpacked and looked into, down to the limits."""

from __future__ import annotations

import hashlib
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from everpost.guard.attachments.budget import Budget, Exhausted, Refused
from everpost.guard.attachments.context import Child, Context, Handler, Item
from everpost.guard.attachments.filetypes import FileType, detect
from everpost.guard.attachments.model import (
    INCOMPLETE,
    PATH_SEPARATOR,
    Attachment,
    FindingKind,
    Inspection,
    Limits,
    Member,
)
from everpost.guard.attachments.names import inspect_name, inspect_type, shown
from everpost.guard.attachments.passwords import Passwords
from everpost.guard.attachments.readers import DISK_IMAGES, appended, reader_of

_DAMAGE: Final = (
    ValueError,
    LookupError,
    OSError,
    EOFError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    MemoryError,
    OverflowError,
    RecursionError,  # olefile follows a directory that leads back to itself
)
INTERNAL: Final = "our reader failed"
"""How the evidence begins where an error was not foreseen: worth a report to the makers."""


def inspect(
    attachments: Sequence[Attachment],
    texts: Sequence[str],
    limits: Limits = Limits(),  # noqa: B008
    keep: Callable[[str, bytes], None] = lambda _path, _data: None,
) -> Inspection:
    """Looks into all attachments of one message. Never raises; costs at most about what `limits` says.

    `texts` are the plain words of the message (subject, body), in which passwords are looked for. `keep` is given
    every file that was unpacked, once, with its path. Pure and synchronous: call it in a thread or a process of its
    own.
    """
    budget = Budget(limits, sum(len(attachment.data) for attachment in attachments))
    context = Context(budget, Passwords(texts, budget))
    walk = _Walk(context, keep)
    for attachment in attachments:
        walk.enter(attachment)
    complete = not any(finding.kind in INCOMPLETE for finding in context.findings)
    return Inspection(tuple(context.findings), tuple(walk.members), complete)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the message a file lies: the path to what holds it, and the digests of all that hold it."""

    path: str = ""
    depth: int = 0
    within: frozenset[str] = frozenset()

    def of(self, name: str) -> str:
        return f"{self.path}{PATH_SEPARATOR}{name}" if self.path else name


class _Walk:
    """The state of one inspection: the members so far, and whether unpacking has been given up."""

    def __init__(self, context: Context, keep: Callable[[str, bytes], None]) -> None:
        self._context = context
        self._keep = keep
        self._seen: set[tuple[str, FileType]] = set()
        self._given_up = False
        self.members: list[Member] = []

    def enter(self, attachment: Attachment) -> None:
        """One attachment. After a limit of the whole message the rest is only named and typed."""
        name = attachment.name or "attachment"
        try:
            self._visit(name, attachment.declared_type, attachment.data, _Place())
        except Exhausted as limit:
            self._given_up = True
            self._context.find(limit.kind, shown(name), limit.evidence)
        except Exception as error:  # noqa: BLE001 (typing and naming are ours; a defect there must not lose the message)
            self._context.find(FindingKind.DAMAGED, shown(name), f"{INTERNAL}: {type(error).__name__}: {error}"[:300])

    def _visit(self, name: str, declared: str, data: bytes, place: _Place) -> None:
        if not self._given_up:
            self._context.budget.member()
        path = place.of(shown(name))
        self._names(name, path)
        kind = detect(data, name)
        digest = hashlib.sha256(data).hexdigest()
        self.members.append(Member(path, name[-255:], len(data), digest, kind.value, place.depth))
        for finding, evidence in inspect_type(name, declared, kind):
            self._context.find(finding, path, evidence)
        if kind in DISK_IMAGES and place.depth == 0:
            self._context.find(
                FindingKind.DISK_IMAGE, path, f"an image of a disk ({kind}), which hides where files come from"
            )
        if digest in place.within:
            raise Exhausted(FindingKind.BOMB, f"{path} contains itself")
        if (digest, kind) in self._seen:
            return
        self._seen.add((digest, kind))
        self._keep(path, data)
        if self._given_up:
            return
        self._look_into(
            Item(path, name, data, kind, place.depth), _Place(path, place.depth + 1, place.within | {digest})
        )

    def _names(self, name: str, path: str) -> None:
        for finding, evidence in inspect_name(name):
            self._context.find(finding, path, evidence)

    def _look_into(self, item: Item, inside: _Place) -> None:
        reader = reader_of(item)
        if reader is not None:
            if inside.depth > self._context.budget.limits.depth:
                self._context.find(
                    FindingKind.TOO_DEEP, item.path, f"more than {self._context.budget.limits.depth} levels"
                )
                return
            self._read(reader, item, inside)
        for child in appended(item, self._context):
            self._child(child, inside)

    def _read(self, reader: Handler, item: Item, inside: _Place) -> None:
        children = reader(item, self._context)
        while (child := self._next(children, item)) is not None:
            self._child(child, inside)

    def _next(self, children: Iterator[Child], item: Item) -> Child | None:
        """The next member; whatever breaks the reader is a finding."""
        try:
            return next(children, None)
        except Exhausted:
            raise
        except Refused as refusal:
            self._context.find(refusal.kind, item.path, refusal.evidence)
        except _DAMAGE as error:
            self._context.find(FindingKind.DAMAGED, item.path, f"not to be read as {item.type}: {error}"[:300])
        except Exception as error:  # noqa: BLE001 (a stranger's octets may break a library in any way)
            self._context.find(FindingKind.DAMAGED, item.path, f"{INTERNAL}: {type(error).__name__}: {error}"[:300])
        return None

    def _child(self, child: Child, inside: _Place) -> None:
        if child.data is None:
            self._context.budget.member()
            self._names(child.name, inside.of(shown(child.name)))
        else:
            self._visit(child.name, "", child.data, inside)
