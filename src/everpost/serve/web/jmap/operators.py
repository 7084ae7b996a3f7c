"""Filters of objects that are all at hand: operators over conditions (RFC 8620 §5.5), read into one test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from everpost.serve.web.jmap.queries import MAX_CONDITIONS, MAX_FILTER_DEPTH
from everpost.wire.jmap.core import MethodError

T = TypeVar("T")


class FilterReader(Generic[T]):
    """Reads one filter, counting its conditions. `condition` makes the test of a property and its value."""

    def __init__(self, condition: Callable[[str, Any], Callable[[T], bool]]) -> None:
        self._condition = condition
        self._left = MAX_CONDITIONS

    def read(self, value: object, depth: int = 1) -> Callable[[T], bool]:
        """Raises `MethodError`: invalidArguments, unsupportedFilter."""
        self._left -= 1
        if not isinstance(value, dict):
            raise MethodError("invalidArguments", "a filter is an object")
        if self._left < 0 or depth > MAX_FILTER_DEPTH:
            raise MethodError("unsupportedFilter", "too many conditions, or too deep")
        if "operator" not in value:
            tests = [self._condition(name, inner) for name, inner in value.items()]
            return lambda each: all(test(each) for test in tests)
        inner = value.get("conditions")
        if value.keys() - {"operator", "conditions"} or not isinstance(inner, list):
            raise MethodError("invalidArguments", "an operator has conditions")
        parts = [self.read(part, depth + 1) for part in inner]
        match value["operator"]:
            case "AND":
                return lambda each: all(part(each) for part in parts)
            case "OR":
                return lambda each: any(part(each) for part in parts)
            case "NOT":
                return lambda each: not any(part(each) for part in parts)
            case _:
                raise MethodError("invalidArguments", "the operators are AND, OR and NOT")
