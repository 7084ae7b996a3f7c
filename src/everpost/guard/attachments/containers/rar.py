"""RAR of all versions, by the `rars` library (Rust), which takes limits for output, memory and headers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from everpost.guard.attachments.binary import Malformed
from everpost.guard.attachments.budget import Refused
from everpost.guard.attachments.context import Child, Context, Item
from everpost.guard.attachments.model import FindingKind

_WORKSPACE: Final = 160 * 1024 * 1024
_DICTIONARY: Final = 64 * 1024 * 1024
_MAX_HEADERS: Final = 10_000
_HEADER_OCTETS: Final = 4 * 1024 * 1024
_FIRST_MEMBER: Final = 256 * 1024
"""Of so many octets a member may be for a password to be tried on it."""

_Value = TypeVar("_Value")


def unpack(item: Item, context: Context) -> Iterator[Child]:
    """The members; encrypted ones with a password of the message, else their names."""
    import rars

    token = rars.CancellationToken()
    timer = threading.Timer(max(0.01, context.budget.seconds_left()), token.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield from _members(item, context, token)
    except rars.UnsupportedRarFeature as error:
        raise Refused(FindingKind.NOT_UNPACKED, str(error)) from error
    except rars.Error as error:
        raise Malformed(str(error)) from error
    finally:
        timer.cancel()


def _members(item: Item, context: Context, token: Any) -> Iterator[Child]:
    import rars

    password: str | None = None
    try:
        archive = _calm(lambda: rars.RarFile.from_bytes(item.data, options=_options(context, token)))
    except (rars.PasswordRequired, rars.BadPassword):
        password = context.passwords.opens(lambda word: _opens_header(item, context, token, word))
        if password is None:
            context.find(FindingKind.ENCRYPTED, item.path, "even the names are encrypted")
            return
        context.opened_with(item.path, password)
        archive = _calm(lambda: rars.RarFile.from_bytes(item.data, password, options=_options(context, token)))
    infos = [info for info in _calm(archive.infolist) if not info.is_dir()]
    locked = [info for info in infos if info.is_encrypted]
    if locked and password is None:
        password = _find_password(item, archive, locked, context, token)
    for info in infos:
        yield Child(info.filename, _content(item, archive, info, password, context, token))


def _options(context: Context, token: Any) -> Any:
    import rars

    room = context.budget.room()
    return rars.ReadOptions(
        cancellation=token,
        max_member_output_bytes=room,
        max_total_output_bytes=room,
        max_reader_workspace_bytes=_WORKSPACE,
        rar50_dictionary_size_limit=_DICTIONARY,
        max_header_count=_MAX_HEADERS,
        max_header_bytes=_HEADER_OCTETS,
    )


def _calm(action: Callable[[], _Value]) -> _Value:
    """A panic of the library is not an Exception in Python; here it is one more way of being damaged."""
    try:
        return action()
    except BaseException as error:
        if type(error).__name__ == "PanicException":
            raise Malformed("the reader of RAR gave up") from error
        raise


def _opens_header(item: Item, context: Context, token: Any, password: str) -> bool:
    import rars

    try:
        _calm(lambda: rars.RarFile.from_bytes(item.data, password, options=_options(context, token)))
    except (rars.Error, OSError, ValueError):
        return False
    return True


def _find_password(item: Item, archive: Any, locked: list[Any], context: Context, token: Any) -> str | None:
    import rars

    for name in (item.name, *(info.filename.rsplit("/", 1)[-1] for info in locked[:5])):
        context.passwords.add_name(name)
    probe = min(locked, key=lambda info: info.file_size)

    def opens(password: str) -> bool:
        try:
            _calm(lambda: archive.read(probe, password, options=_options(context, token)))
        except (rars.Error, OSError, ValueError, MemoryError):
            return False
        return True

    password = context.passwords.opens(opens)
    if password is None:
        context.find(FindingKind.ENCRYPTED, item.path, f"{len(locked)} of its members are encrypted: {probe.filename}")
    else:
        context.opened_with(item.path, password)
    return password


def _content(item: Item, archive: Any, info: Any, password: str | None, context: Context, token: Any) -> bytes | None:
    import rars

    where = f"{item.path} › {info.filename}"
    if info.is_encrypted and password is None:
        return None
    if info.is_split_before or info.is_split_after:
        context.find(FindingKind.NOT_UNPACKED, where, "the member is spread over several files")
        return None
    context.budget.declared(info.compress_size, info.file_size)
    try:
        data: bytes = _calm(lambda: archive.read(info, password, options=_options(context, token)))
    except MemoryError as error:
        context.find(FindingKind.TOO_LARGE, where, str(error)[:200])
        return None
    except (rars.Error, OSError, ValueError) as error:
        context.budget.check()
        kind = FindingKind.NOT_UNPACKED if isinstance(error, rars.UnsupportedRarFeature) else FindingKind.DAMAGED
        context.find(kind, where, str(error)[:200])
        return None
    context.budget.take(len(data))
    return data
