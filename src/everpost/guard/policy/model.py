"""A policy: rules with conditions and actions, as they are written, stored and shown. Pure values."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

MAX_RULES: Final = 200
MAX_CONDITIONS: Final = 30
MAX_VALUES: Final = 1000
MAX_ACTIONS: Final = 10


class RuleState(enum.StrEnum):
    """Whether a rule acts."""

    ON = "on"
    SHADOW = "shadow"  # it says what it would have done
    OFF = "off"


class Field(enum.StrEnum):
    """What a condition looks at. docs/guard-policy.md says how the values of each are written."""

    DIRECTION = "direction"
    SENDER = "sender"
    AUTHOR = "author"
    RECIPIENT = "recipient"
    NETWORK = "network"
    COUNTRY = "country"
    HEADER = "header"
    SUBJECT = "subject"
    BODY = "body"
    CONTENT = "content"
    SIZE = "size"
    FILE_NAME = "file-name"
    FILE_TYPE = "file-type"
    SEALED = "sealed"
    SIGNAL = "signal"
    JUDGEMENT = "judgement"
    SCORE = "score"
    TIME = "time"


class ActionKind(enum.StrEnum):
    """What a rule does."""

    ACCEPT = "accept"  # but never malware
    JUNK = "junk"
    QUARANTINE = "quarantine"
    DEFER = "defer"
    REJECT = "reject"
    FIELD = "field"  # puts a header field on delivery copies; `value` is "Name: text"
    KEEP = "keep"  # links and text of delivery copies stay as they are


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"negate": "not"}, omit_defaults=True):
    """True where one of `any` fits; the other way round with `not`. `name` is the header field's."""

    field: Field
    any: tuple[str, ...]
    negate: bool = False
    name: str = ""


class Action(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing to do."""

    do: ActionKind
    value: str = ""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Acts where all of `when` are true. `stop`: no later rule looks at that recipient's copy of the message."""

    id: str
    name: str = ""
    state: RuleState = RuleState.SHADOW
    when: tuple[Condition, ...] = ()
    do: tuple[Action, ...] = ()
    stop: bool = False


class PolicyDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The rules of an organisation, in their order."""

    rule: tuple[Rule, ...] = ()


EMPTY: Final = PolicyDocument()


class Hit(msgspec.Struct, frozen=True):
    """A rule that was true of a message. `acted`: it was on. `recipients`: of how many of them."""

    rule_id: str
    name: str
    acted: bool
    recipients: int
    actions: tuple[ActionKind, ...]
