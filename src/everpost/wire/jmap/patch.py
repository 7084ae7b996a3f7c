"""PatchObject (RFC 8620 §5.3): changes to an object named by JSON pointers. Pure."""

from __future__ import annotations

import itertools
from typing import Any, Final

MAX_POINTER_DEPTH: Final = 20


def patch_object(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The object after the patch; what was there stays untouched. Null takes a property away.

    Raises `ValueError`: a pointer into an array or to where there is no parent, or one that another one contains.
    """
    paths = [(_tokens(pointer), value) for pointer, value in patch.items()]
    ordered = sorted(tokens for tokens, _ in paths)
    for shorter, longer in itertools.pairwise(ordered):
        if longer[: len(shorter)] == shorter:
            raise ValueError(f"{'/'.join(longer)[:200]} is inside of another")
    result = dict(current)
    for tokens, value in paths:
        _put(result, tokens, value)
    return result


def _tokens(pointer: str) -> tuple[str, ...]:
    tokens = tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/"))
    if len(tokens) > MAX_POINTER_DEPTH:
        raise ValueError("the pointer is too deep")
    return tokens


def _put(target: dict[str, Any], tokens: tuple[str, ...], value: Any) -> None:
    for token in tokens[:-1]:
        inner = target.get(token)
        if not isinstance(inner, dict):
            raise ValueError(f"{'/'.join(tokens)[:200]} leads nowhere")  # noqa: TRY004 (a patch that is none)
        target[token] = target = dict(inner)
    if value is None:
        target.pop(tokens[-1], None)
    else:
        target[tokens[-1]] = value
