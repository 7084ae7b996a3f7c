"""A policy as a file or a request has it: TOML or JSON, read strictly, and what is wrong is said clearly."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

import msgspec

from everpost.guard.policy.evaluate import BadPolicy
from everpost.guard.policy.model import (
    MAX_ACTIONS,
    MAX_CONDITIONS,
    MAX_RULES,
    MAX_VALUES,
    ActionKind,
    Field,
    PolicyDocument,
    Rule,
)

MAX_OCTETS = 1024 * 1024
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,59}\Z")
_FIELD = re.compile(r"(X-[A-Za-z0-9-]{1,60}):[ \t]*([ -~]{1,300})\Z")
_OURS = ("x-everpost-", "x-spam-")


def read_policy(data: bytes) -> PolicyDocument:
    """From JSON (where it begins with a brace) or TOML. Raises `BadPolicy`. `RuleBook` reads what conditions say."""
    if len(data) > MAX_OCTETS:
        raise BadPolicy(f"a policy has at most {MAX_OCTETS:,} octets")
    try:
        if data.lstrip()[:1] == b"{":
            document = msgspec.json.decode(data, type=PolicyDocument)
        else:
            document = msgspec.convert(tomllib.loads(data.decode()), PolicyDocument)
    except (msgspec.ValidationError, msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadPolicy(str(error)) from None
    check(document)
    return document


def plain(document: PolicyDocument) -> Any:
    """As JSON has it, without what is as usual."""
    return msgspec.to_builtins(document)


def check(document: PolicyDocument) -> None:
    """Everything but the values of conditions. Raises `BadPolicy`."""
    if len(document.rule) > MAX_RULES:
        raise BadPolicy(f"at most {MAX_RULES} rules, not {len(document.rule)}")
    for name, count in Counter(rule.id for rule in document.rule).items():
        if count > 1:
            raise BadPolicy(f"{count} rules have the id {name!r}")
    for rule in document.rule:
        _check(rule)


def _check(rule: Rule) -> None:
    def refuse(why: str) -> BadPolicy:
        return BadPolicy(f"rule {rule.id!r}: {why}")

    if not _ID.match(rule.id):
        raise refuse("an id has small letters, digits and hyphens, at most 60")
    if len(rule.name) > 200 or not rule.name.isprintable():
        raise refuse("a name has at most 200 characters, all printable")
    if len(rule.when) > MAX_CONDITIONS or len(rule.do) > MAX_ACTIONS:
        raise refuse(f"at most {MAX_CONDITIONS} conditions and {MAX_ACTIONS} actions")
    for condition in rule.when:
        if not 1 <= len(condition.any) <= MAX_VALUES:
            raise refuse(f"a condition has 1 to {MAX_VALUES} values")
        if condition.name and condition.field is not Field.HEADER:
            raise refuse("only a condition on a header has a name")
    for action in rule.do:
        if (action.do is ActionKind.FIELD) is not bool(action.value):
            raise refuse(f"{action.do}: a value belongs to the action field, and to no other")
        if action.do is ActionKind.FIELD and (not _FIELD.match(action.value) or action.value.lower().startswith(_OURS)):
            raise refuse(f"{action.value!r} is no field to add: X-Name: text, but not X-Everpost-… or X-Spam-…")
