"""Objects of which an account has exactly one, neither made nor destroyed (as VacationResponse, RFC 8621 §8)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from everpost.serve.web.jmap.context import Arguments
from everpost.wire.jmap.arguments import Get, Set
from everpost.wire.jmap.core import SetError

SINGLETON: Final = "singleton"


def shown_singleton(asked: Get, wanted: Iterable[str], whole: Mapping[str, Any]) -> Arguments:
    """`list` and `notFound` of an answer to /get; `whole` has every property but the id."""
    ids = [SINGLETON] if asked.ids is None else list(dict.fromkeys(asked.ids))
    properties = {"id": SINGLETON} | dict(whole)
    return {
        "list": [{name: properties[name] for name in wanted} for text in ids if text == SINGLETON],
        "notFound": [text for text in ids if text != SINGLETON],
    }


async def set_singleton(asked: Set, answer: Arguments, update: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Fill in the answer to a /set. `update` changes the one there is by a patch; it may raise `SetError`."""
    single = SetError("singleton", "there is exactly one").as_json()
    missing = SetError("notFound").as_json()
    answer["notCreated"] = dict.fromkeys(asked.create or {}, single)
    for text in dict.fromkeys(asked.destroy or ()):
        answer["notDestroyed"][text] = single if text == SINGLETON else missing
    for text, patch in (asked.update or {}).items():
        if text != SINGLETON:
            answer["notUpdated"][text] = missing
            continue
        try:
            await update(patch)
            answer["updated"][text] = None
        except SetError as error:
            answer["notUpdated"][text] = error.as_json()
