"""People and groups from OpenLDAP or Active Directory, read in pages by a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import ldap3
from ldap3.core.exceptions import LDAPException

from everpost.directory.actions import Member, MemberKind, Wanted, WantedGroup, WantedMailbox
from everpost.directory.records import DirectoryError
from everpost.mail.address import Address, AddressError

SOURCE = "ldap"
_MAX_VALUES = 1000  # addresses of one entry
_ACCOUNT_DISABLED = 0x2  # userAccountControl ADS_UF_ACCOUNTDISABLE
_EXCHANGE_SHARED = (4, 16, 32)  # msExchRecipientTypeDetails: shared mailbox, room, equipment; their accounts are off
_LOCKED_FOR_EVER = b"000001010000Z"  # pwdAccountLockedTime of an account that only an administrator unlocks


class LdapProblem(DirectoryError):
    """The server cannot be read; the message says at which step and why. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class LdapSource:
    """Where and how to read. `uri` is ldap:// or ldaps://; filters may be empty for the flavour's own."""

    uri: str
    base: str
    flavour: Literal["openldap", "ad"] = "openldap"
    bind_dn: str = ""
    password: str = field(default="", repr=False)
    group_base: str = ""
    people_filter: str = ""
    group_filter: str = ""
    start_tls: bool = False
    ca_file: str = ""
    verify: bool = True
    page_size: int = 500
    timeout_s: int = 30
    max_entries: int = 200_000
    max_members: int = 1_000_000  # of all groups together


@dataclass(frozen=True, slots=True)
class _Flavour:
    people_filter: str
    group_filter: str
    people_attributes: tuple[str, ...]
    group_attributes: tuple[str, ...]
    person: Callable[[_Entry], WantedMailbox | None]
    group_id: Callable[[_Entry], str | None]


class _Entry:
    """One entry's raw values, by attribute name without regard to case."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.dn = str(found["dn"])
        self._raw = {name.lower(): values for name, values in found["raw_attributes"].items()}

    def raw(self, name: str) -> list[bytes]:
        return list(self._raw.get(name.lower(), ()))[:_MAX_VALUES]

    def members(self) -> list[str]:
        names = ("member", "uniquemember")
        return [value.decode("utf-8", "replace") for name in names for value in self._raw.get(name, ())]

    def texts(self, name: str) -> list[str]:
        return [value.decode("utf-8", "replace").strip() for value in self.raw(name)]

    def text(self, *names: str) -> str:
        """The first value of the first attribute that has one."""
        return next((text for name in names for text in self.texts(name) if text), "")

    def number(self, name: str) -> int:
        try:
            return int(self.text(name) or 0)
        except ValueError:
            return 0


async def read_ldap(source: LdapSource) -> Wanted:
    """Everything the server lists. Raises `LdapProblem`; entries that cannot be used are named in `problems`."""
    return await asyncio.to_thread(_read, source)


def _read(source: LdapSource) -> Wanted:
    flavour = _FLAVOURS[source.flavour]
    step = "connecting"
    try:
        connection = _connect(source)
        try:
            step = "reading people"
            people_filter = source.people_filter or flavour.people_filter
            people = list(_search(connection, source, source.base, people_filter, flavour.people_attributes))
            step = "reading groups"
            group_filter = source.group_filter or flavour.group_filter
            group_base = source.group_base or source.base
            groups = list(_search(connection, source, group_base, group_filter, flavour.group_attributes))
        finally:
            connection.unbind()
    except (LDAPException, OSError, ssl.SSLError) as error:
        raise LdapProblem(f"LDAP, {step}: {str(error) or type(error).__name__}") from error
    return _assemble(source, flavour, people, groups)


def _connect(source: LdapSource) -> ldap3.Connection:
    verify = ssl.CERT_REQUIRED if source.verify else ssl.CERT_NONE
    tls = ldap3.Tls(validate=verify, ca_certs_file=source.ca_file or None)
    server = ldap3.Server(source.uri, tls=tls, get_info=ldap3.NONE, connect_timeout=source.timeout_s)
    connection = ldap3.Connection(
        server,
        user=source.bind_dn or None,
        password=source.password or None,
        authentication=ldap3.SIMPLE if source.bind_dn else ldap3.ANONYMOUS,
        receive_timeout=source.timeout_s,
        raise_exceptions=True,
        read_only=True,
        auto_referrals=False,
    )
    try:
        connection.open()
        if source.start_tls:
            connection.start_tls()
        connection.bind()
    except BaseException:
        connection.unbind()
        raise
    return connection


def _search(
    connection: ldap3.Connection, source: LdapSource, base: str, wanted: str, attributes: tuple[str, ...]
) -> Iterator[_Entry]:
    """Entries in pages (RFC 2696), as bytes. Raises `LdapProblem` beyond the bounds."""
    found = connection.extend.standard.paged_search(
        base, wanted, ldap3.SUBTREE, attributes=list(attributes), paged_size=source.page_size, generator=True
    )
    count = members = 0
    for response in found:
        if response.get("type") != "searchResEntry":  # referrals of Active Directory
            continue
        count += 1
        entry = _Entry(response)
        members += len(entry.members())
        if count > source.max_entries or members > source.max_members:
            raise LdapProblem(
                f"LDAP: more than {source.max_entries} entries or {source.max_members} members under {base}:"
                " narrow the base or the filter"
            )
        yield entry


def _assemble(source: LdapSource, flavour: _Flavour, people: list[_Entry], groups: list[_Entry]) -> Wanted:
    problems: list[str] = []
    mailboxes: dict[str, WantedMailbox] = {}
    for entry in people:
        try:
            wanted = flavour.person(entry)
        except AddressError as error:
            problems.append(f"{entry.dn[:200]}: {error}")
            continue
        if wanted is not None:
            mailboxes[_normal(entry.dn)] = wanted
    names = {_normal(entry.dn): name for entry in groups if (name := _group_name(entry))}
    listed = []
    for entry in groups:
        dn = _normal(entry.dn)
        if dn not in names:
            continue
        try:
            address, aliases = _addresses(entry, source.flavour)
        except AddressError as error:
            problems.append(f"{entry.dn[:200]}: {error}")
            address, aliases = None, ()
        members = frozenset(_members(entry, mailboxes, names))
        listed.append(WantedGroup(flavour.group_id(entry), names[dn], address, aliases, members))
    return Wanted(SOURCE, tuple(mailboxes.values()), tuple(listed), complete=True, problems=tuple(problems))


def _members(entry: _Entry, mailboxes: Mapping[str, WantedMailbox], groups: Mapping[str, str]) -> Iterator[Member]:
    """Members that are people or groups with mail; everything else (computers, people without) is no recipient."""
    for dn in map(_normal, entry.members()):
        if dn in mailboxes:
            yield Member(MemberKind.MAILBOX, mailboxes[dn].address.key)
        elif dn in groups:
            yield Member(MemberKind.GROUP, groups[dn])


def _normal(dn: str) -> str:
    """A DN as it is compared: without regard to case and to spaces after commas."""
    return ",".join(part.strip() for part in dn.split(",")).casefold()


def _group_name(entry: _Entry) -> str:
    name = entry.text("displayName", "cn")[:200]
    return name if name.isprintable() else ""


def _person_name(entry: _Entry, address: Address) -> str:
    name = entry.text("displayName", "cn")[:200].strip()
    return name if name and name.isprintable() else address.local


def _addresses(entry: _Entry, flavour: str) -> tuple[Address | None, tuple[Address, ...]]:
    """The default address and the others. Active Directory marks it by SMTP: in upper case in proxyAddresses."""
    default = entry.text("mail")
    others = entry.texts("mail")[1:]
    if flavour == "ad":
        for text in entry.texts("proxyAddresses"):
            scheme, _, address = text.partition(":")
            if scheme == "SMTP":
                default = address
            if scheme.lower() == "smtp":
                others.append(address)
    else:
        others += entry.texts("mailLocalAddress") + entry.texts("mailAlternateAddress")
    if not default:
        return None, ()
    first = Address.parse(default)
    aliases = {}
    for text in others:
        try:
            alias = Address.parse(text)
        except AddressError:
            continue  # an alias nobody can write to is no loss
        if alias.key != first.key:
            aliases[alias.key] = alias
    return first, tuple(aliases.values())


def _openldap_person(entry: _Entry) -> WantedMailbox | None:
    address, aliases = _addresses(entry, "openldap")
    if address is None:
        return None
    locked = _LOCKED_FOR_EVER in entry.raw("pwdAccountLockedTime") or entry.text("nsAccountLock").lower() == "true"
    name = _person_name(entry, address)
    return WantedMailbox(_entry_uuid(entry), address, name, "person", aliases, None, not locked)


def _ad_person(entry: _Entry) -> WantedMailbox | None:
    address, aliases = _addresses(entry, "ad")
    if address is None or "computer" in entry.texts("objectClass"):  # computers are users as well there
        return None
    shared = entry.number("msExchRecipientTypeDetails") in _EXCHANGE_SHARED
    enabled = shared or not entry.number("userAccountControl") & _ACCOUNT_DISABLED
    kind = "shared" if shared else "person"
    return WantedMailbox(_object_guid(entry), address, _person_name(entry, address), kind, aliases, None, enabled)


def _entry_uuid(entry: _Entry) -> str | None:
    return entry.text("entryUUID", "nsUniqueId").lower() or None


def _object_guid(entry: _Entry) -> str | None:
    values = entry.raw("objectGUID")
    return str(uuid.UUID(bytes_le=values[0])) if values and len(values[0]) == 16 else None


_FLAVOURS = {
    "openldap": _Flavour(
        "(&(objectClass=inetOrgPerson)(mail=*))",
        "(&(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))(mail=*))",
        (
            "entryUUID", "nsUniqueId", "mail", "mailLocalAddress", "mailAlternateAddress", "displayName", "cn",
            "pwdAccountLockedTime", "nsAccountLock",
        ),
        ("entryUUID", "nsUniqueId", "mail", "cn", "displayName", "member", "uniqueMember"),
        _openldap_person,
        _entry_uuid,
    ),
    "ad": _Flavour(
        "(&(objectClass=user)(|(mail=*)(proxyAddresses=*)))",
        "(&(objectClass=group)(|(mail=*)(proxyAddresses=*)))",
        (
            "objectClass", "objectGUID", "mail", "proxyAddresses", "displayName", "cn", "userAccountControl",
            "msExchRecipientTypeDetails",
        ),
        ("objectGUID", "mail", "proxyAddresses", "displayName", "cn", "member"),
        _ad_person,
        _object_guid,
    ),
}  # fmt: skip
