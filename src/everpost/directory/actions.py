"""Words of a synchronisation: what is, what the source wants, and what there is to do. Pure values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from everpost.mail.address import Address

MANUAL = "manual"


class MemberKind(enum.Enum):
    """What a member of a group is, and so what its `ref` means."""

    MAILBOX = "mailbox"  # key of the default address
    GROUP = "group"  # name
    OUTSIDE = "outside"  # address


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group, by name."""

    kind: MemberKind
    ref: str


@dataclass(frozen=True, slots=True)
class WantedMailbox:
    """A mailbox as the source has it. `external_id` survives renaming; None where the source has none."""

    external_id: str | None
    address: Address
    name: str
    kind: str = "person"
    aliases: tuple[Address, ...] = ()
    alternate: str | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class WantedGroup:
    """A group as the source has it."""

    external_id: str | None
    name: str
    address: Address | None = None
    aliases: tuple[Address, ...] = ()
    members: frozenset[Member] = frozenset()


@dataclass(frozen=True, slots=True)
class Wanted:
    """All that one source has. `complete`: what it does not list any more is disabled, or taken out of its groups."""

    source: str
    mailboxes: tuple[WantedMailbox, ...]
    groups: tuple[WantedGroup, ...] = ()
    complete: bool = True
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CurrentMailbox:
    """A mailbox as it is. `keys` maps its address keys to where they came from."""

    id: int
    source: str
    external_id: str | None
    name: str
    kind: str
    active: bool
    alternate: str | None
    default_key: str
    keys: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CurrentGroup:
    """A group as it is."""

    id: int
    source: str
    external_id: str | None
    name: str
    keys: Mapping[str, str]
    members: frozenset[Member] = frozenset()


@dataclass(frozen=True, slots=True)
class Current:
    """An organisation's directory as it is. `domains` are its own, as keys."""

    domains: frozenset[str]
    mailboxes: tuple[CurrentMailbox, ...] = ()
    groups: tuple[CurrentGroup, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateMailbox:
    wanted: WantedMailbox


@dataclass(frozen=True, slots=True)
class AdoptMailbox:
    """From now on the source rules over it."""

    mailbox_id: int
    external_id: str | None
    address: str


@dataclass(frozen=True, slots=True)
class RenameMailbox:
    mailbox_id: int
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class ChangeAddress:
    """Another default address; the old one goes only if the source does not list it as an alias."""

    mailbox_id: int
    old: str
    new: Address


@dataclass(frozen=True, slots=True)
class AddAddress:
    """To a mailbox, or to a group by its name."""

    mailbox_id: int | None
    group: str | None
    address: Address


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """From this owner: should it have passed to somebody else meanwhile, it stays there."""

    key: str
    mailbox_id: int | None
    group_id: int | None


@dataclass(frozen=True, slots=True)
class SetAlternate:
    mailbox_id: int
    address: str
    alternate: str | None


@dataclass(frozen=True, slots=True)
class SetActive:
    mailbox_id: int
    address: str
    active: bool


@dataclass(frozen=True, slots=True)
class CreateGroup:
    wanted: WantedGroup


@dataclass(frozen=True, slots=True)
class RenameGroup:
    group_id: int
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class SetMembers:
    """Of a group, by its name."""

    group: str
    add: tuple[Member, ...]
    remove: tuple[Member, ...]


Action = (
    CreateMailbox
    | AdoptMailbox
    | RenameMailbox
    | ChangeAddress
    | AddAddress
    | RemoveAddress
    | SetAlternate
    | SetActive
    | CreateGroup
    | RenameGroup
    | SetMembers
)


def describe(action: Action) -> str:
    """An action as people read it."""
    match action:
        case CreateMailbox(wanted):
            return f"create mailbox {wanted.address} ({wanted.name})" + ("" if wanted.enabled else ", disabled")
        case AdoptMailbox(_, _, address):
            return f"take over mailbox {address}"
        case RenameMailbox(_, address, name):
            return f"rename {address} to {name}"
        case ChangeAddress(_, old, new):
            return f"change address {old} to {new}"
        case AddAddress(_, group, address):
            return f"add address {address}" + (f" to group {group}" if group else "")
        case RemoveAddress(key, _, _):
            return f"remove address {key}"
        case SetAlternate(_, address, alternate):
            return f"set alternate address of {address} to {alternate or 'none'}"
        case SetActive(_, address, active):
            return f"{'enable' if active else 'disable'} {address}"
        case CreateGroup(wanted):
            return f"create group {wanted.name}"
        case RenameGroup(_, old, new):
            return f"rename group {old} to {new}"
        case SetMembers(group, add, remove):
            signs = [f"+{member.ref}" for member in add] + [f"-{member.ref}" for member in remove]
            return f"members of {group}: {', '.join(signs[:20])}{' …' if len(signs) > 20 else ''}"
