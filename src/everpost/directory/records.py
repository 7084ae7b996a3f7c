"""What the directory's administration shows. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network

from everpost.directory.primary import PrimarySettings

IpNetwork = IPv4Network | IPv6Network


class DirectoryError(Exception):
    """What was asked for is not possible. The message is a sentence for people, with the way out where there is one."""


@dataclass(frozen=True, slots=True)
class OrganisationRecord:
    """A tenant. `signing_public` verifies its reports (Ed25519, 32 octets)."""

    id: int
    name: str
    display_name: str
    signing_public: bytes


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """A mail domain; without a primary the standby is the only home of its mailboxes."""

    id: int
    name: str
    primary_id: int | None
    primary_name: str | None
    catch_all_id: int | None
    journal_local: str | None
    mailboxes: int


@dataclass(frozen=True, slots=True)
class MailboxRecord:
    """A person's or a shared mailbox. `aliases` are its addresses other than `address`."""

    id: int
    address: str
    name: str
    kind: str
    status: str
    source: str
    external_id: str | None
    alternate: str | None
    domain_id: int
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """A distribution list, or just a scope for switches where it has no address."""

    id: int
    name: str
    source: str
    external_id: str | None
    addresses: tuple[str, ...]
    members: int


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One member of a group: exactly one of mailbox, group and outside address. `label` is what people see."""

    label: str
    mailbox_id: int | None = None
    group_id: int | None = None
    outside_address: str | None = None


@dataclass(frozen=True, slots=True)
class PrimaryRecord:
    """A primary without its secrets."""

    id: int
    name: str
    settings: PrimarySettings
    smarthost_networks: tuple[IpNetwork, ...]
    relay_login: str | None
    trust_state: str
    state_since: datetime
    state_cause: str
    state_actor: str
    state_reason: str
