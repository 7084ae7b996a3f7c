"""What a synchronisation has to do: from what is and what the source wants to a list of actions. Pure.

The source rules over what it brought: names, addresses, members, whether a mailbox is active. What was made by hand is
never taken away, a mailbox is never deleted, and a mailbox of another source is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from everpost.directory.actions import (
    MANUAL,
    Action,
    AddAddress,
    AdoptMailbox,
    ChangeAddress,
    CreateGroup,
    CreateMailbox,
    Current,
    CurrentGroup,
    CurrentMailbox,
    Member,
    MemberKind,
    RemoveAddress,
    RenameGroup,
    RenameMailbox,
    SetActive,
    SetAlternate,
    SetMembers,
    Wanted,
    WantedGroup,
    WantedMailbox,
)
from everpost.mail.address import Address, domain_key


@dataclass(slots=True)
class Plan:
    """What to do, in this order, and what cannot be done, as sentences."""

    actions: list[Action] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def disabled(self) -> int:
        """Mailboxes that would be disabled."""
        return sum(isinstance(action, SetActive) and not action.active for action in self.actions)


def plan(current: Current, wanted: Wanted) -> Plan:
    """Compare. The actions are applied in order; where one has to wait for another (an address that moves along a
    chain of people) it succeeds when it is tried again. Once all are applied, a new plan is empty.
    """
    planner = _Planner(current, wanted)
    planner.run()
    return planner.plan


class _Planner:
    def __init__(self, current: Current, wanted: Wanted) -> None:
        self.current = current
        self.wanted = wanted
        self.plan = Plan(problems=list(wanted.problems))
        self.mailbox_of = {key: mailbox for mailbox in current.mailboxes for key in mailbox.keys}
        self.group_of = {key: group for group in current.groups for key in group.keys}
        self.claimed: dict[str, str] = {}  # address key → the wanted entry it stands in
        self.new_keys: dict[str, str] = {}  # old default key → new one
        self.matched: dict[int, WantedMailbox] = {}
        self.removals: dict[str, RemoveAddress] = {}  # of addresses that move to somebody else
        self.mailbox_actions: list[Action] = []
        self.creations: list[Action] = []
        self.group_by_name = {group.name: group for group in current.groups}
        self.group_by_id = {
            group.external_id: group
            for group in current.groups
            if group.source == wanted.source and group.external_id is not None
        }
        self.group_creations: list[Action] = []  # before anybody becomes their member
        self.group_actions: list[Action] = []

    def run(self) -> None:
        mailboxes = [each for each in self.wanted.mailboxes if self._usable(each)]
        groups = [each for each in self.wanted.groups if self._free_name(each)]
        pairs = self._match(mailboxes)
        self._claim(mailboxes, groups)
        for wanted, found in pairs:
            if found is not None:
                self._update(self._clean(wanted, found.id), found)
            elif self._claims(wanted) and self._obtainable(wanted.address.key, None):
                self.creations.append(CreateMailbox(self._clean(wanted, None)))
        if self.wanted.complete:
            self._disable_missing()
        for group in groups:
            self._group(group)
        if self.wanted.complete:
            self._note_missing_groups(groups)
        moved = set(self.removals.values())
        self.mailbox_actions = [action for action in self.mailbox_actions if action not in moved]
        self.plan.actions = [
            *self.removals.values(),
            *self.mailbox_actions,
            *self.creations,
            *self.group_creations,
            *self.group_actions,
        ]

    # ------------------------------------------------------------------ mailboxes

    def _ours(self, address: Address) -> bool:
        return domain_key(address.domain) in self.current.domains

    def _usable(self, wanted: WantedMailbox) -> bool:
        if self._ours(wanted.address):
            return True
        domain = domain_key(wanted.address.domain)
        self.plan.problems.append(f"{wanted.address}: {domain} is not a domain of this organisation")
        return False

    def _match(self, mailboxes: list[WantedMailbox]) -> list[tuple[WantedMailbox, CurrentMailbox | None]]:
        """By the source's own identifier, else by address, else (of this source) by an alias; each mailbox once."""
        by_id = {
            each.external_id: each
            for each in self.current.mailboxes
            if each.source == self.wanted.source and each.external_id is not None
        }
        pairs: list[tuple[WantedMailbox, CurrentMailbox | None]] = []
        by_alias = []
        for wanted in mailboxes:
            found = by_id.get(wanted.external_id) if wanted.external_id else None
            found = found or self._unnamed(self.mailbox_of.get(wanted.address.key), wanted)
            if found is None:
                by_alias.append(wanted)
            elif self._take(wanted, found):
                pairs.append((wanted, found))
        for wanted in by_alias:  # after those whose match is certain
            candidates = [self._unnamed(self.mailbox_of.get(alias.key), wanted) for alias in wanted.aliases]
            # A hand-made mailbox is not taken over by a mere alias: it may be another person's.
            ours = [each for each in candidates if each is not None and each.source == self.wanted.source]
            known = [each for each in ours if each.id not in self.matched]
            if not known:
                pairs.append((wanted, None))
            elif self._take(wanted, known[0]):
                pairs.append((wanted, known[0]))
        return pairs

    def _unnamed(self, found: CurrentMailbox | None, wanted: WantedMailbox) -> CurrentMailbox | None:
        """A mailbox that the source knows under another identifier is somebody else's, even at the same address."""
        if found is None or found.source != self.wanted.source:
            return found
        return found if found.external_id in (None, wanted.external_id) or wanted.external_id is None else None

    def _take(self, wanted: WantedMailbox, found: CurrentMailbox) -> bool:
        if found.source not in (self.wanted.source, MANUAL):
            self.plan.problems.append(f"{wanted.address}: the mailbox belongs to the source {found.source}")
            return False
        if found.id in self.matched:
            self.plan.problems.append(f"{wanted.address}: listed twice, as {self.matched[found.id].address} too")
            return False
        self.matched[found.id] = wanted
        return True

    def _claim(self, mailboxes: list[WantedMailbox], groups: list[WantedGroup]) -> None:
        """Who gets an address that several entries list: default addresses first, then the order of the source."""
        for wanted in mailboxes:
            self._claim_one(wanted.address, _tag(wanted))
        for group in groups:
            if group.address is not None:
                self._claim_one(group.address, _tag(group))
        entries: list[WantedMailbox | WantedGroup] = [*mailboxes, *groups]
        for entry in entries:
            for alias in entry.aliases:
                if self._ours(alias):
                    self._claim_one(alias, _tag(entry))

    def _claim_one(self, address: Address, tag: str) -> None:
        owner = self.claimed.setdefault(address.key, tag)
        if owner != tag:
            self.plan.problems.append(f"{address}: listed for both {owner} and {tag}; the former keeps it")

    def _claims(self, wanted: WantedMailbox) -> bool:
        return self.claimed.get(wanted.address.key) == _tag(wanted)

    def _clean(self, wanted: WantedMailbox, mailbox_id: int | None) -> WantedMailbox:
        """Without aliases that are another's, elsewhere, or listed twice."""
        aliases = {alias.key: alias for alias in wanted.aliases if self.claimed.get(alias.key) == _tag(wanted)}
        aliases.pop(wanted.address.key, None)
        usable = [alias for key, alias in aliases.items() if self._obtainable(key, mailbox_id)]
        return WantedMailbox(
            wanted.external_id, wanted.address, wanted.name, wanted.kind, tuple(usable), wanted.alternate,
            wanted.enabled,
        )  # fmt: skip

    def _obtainable(self, key: str, mailbox_id: int | None) -> bool:
        """Whether an address is free, ours already, or the source's to move."""
        holder = self.mailbox_of.get(key)
        group = self.group_of.get(key)
        if holder is None and group is None:
            return True
        if holder is not None and holder.id == mailbox_id:
            return True
        origin = holder.keys[key] if holder is not None else group.keys[key] if group is not None else MANUAL
        if origin == self.wanted.source:
            if holder is None or holder.default_key != key:
                self._remove(key, holder, group)
                return True
            if self._leaves(holder):
                return True
        self.plan.problems.append(f"{key}: already the address of {holder.default_key if holder else 'a group'}")
        return False

    def _remove(self, key: str, mailbox: CurrentMailbox | None, group: CurrentGroup | None) -> None:
        self.removals[key] = RemoveAddress(key, mailbox.id if mailbox else None, group.id if group else None)

    def _leaves(self, holder: CurrentMailbox) -> bool:
        """Whether a mailbox's default address becomes free because the source gives it another one."""
        wanted = self.matched.get(holder.id)
        if wanted is None or not self.wanted.complete or holder.source != self.wanted.source:
            return False
        listed = {wanted.address.key, *(alias.key for alias in wanted.aliases)}
        return holder.default_key not in listed

    def _update(self, wanted: WantedMailbox, found: CurrentMailbox) -> None:
        todo = self.mailbox_actions
        if found.source != self.wanted.source or found.external_id != wanted.external_id:
            todo.append(AdoptMailbox(found.id, wanted.external_id, found.default_key))
        keys = {wanted.address.key, *(alias.key for alias in wanted.aliases)}
        moves = wanted.address.key != found.default_key and self._claims(wanted)
        if moves and self._obtainable(wanted.address.key, found.id):
            todo.append(ChangeAddress(found.id, found.default_key, wanted.address))
            self.new_keys[found.default_key] = wanted.address.key
        todo += [AddAddress(found.id, None, alias) for alias in wanted.aliases if alias.key not in found.keys]
        if self.wanted.complete:
            keys.add(self.new_keys.get(found.default_key, found.default_key))
            gone = [key for key, source in found.keys.items() if key not in keys and source == self.wanted.source]
            todo += [RemoveAddress(key, found.id, None) for key in sorted(gone)]
        if wanted.name != found.name:
            todo.append(RenameMailbox(found.id, str(wanted.address), wanted.name))
        if wanted.alternate is not None and wanted.alternate != found.alternate:
            todo.append(SetAlternate(found.id, str(wanted.address), wanted.alternate))
        if wanted.enabled != found.active:
            todo.append(SetActive(found.id, str(wanted.address), wanted.enabled))

    def _disable_missing(self) -> None:
        for found in self.current.mailboxes:
            if found.source == self.wanted.source and found.id not in self.matched and found.active:
                self.mailbox_actions.append(SetActive(found.id, found.default_key, active=False))

    # ------------------------------------------------------------------ groups

    def _free_name(self, wanted: WantedGroup) -> bool:
        tag = _tag(wanted)
        if self.claimed.setdefault(f"group {wanted.name}", tag) == tag:
            return True
        self.plan.problems.append(f"two groups are called {wanted.name}")
        return False

    def _find_group(self, wanted: WantedGroup) -> CurrentGroup | None:
        found = self.group_by_id.get(wanted.external_id) if wanted.external_id else None
        found = found or self.group_by_name.get(wanted.name)
        return found or (self.group_of.get(wanted.address.key) if wanted.address else None)

    def _group(self, wanted: WantedGroup) -> None:
        found = self._find_group(wanted)
        if found is None:
            self.group_creations.append(CreateGroup(WantedGroup(wanted.external_id, wanted.name)))
        name = wanted.name
        if found is not None and found.name != wanted.name:
            if found.source == self.wanted.source and found.external_id is not None:
                self.group_creations.append(RenameGroup(found.id, found.name, wanted.name))
            else:  # found by its address: people call it otherwise
                name = found.name
        self._group_addresses(wanted, found, name)
        now = frozenset(self._renamed(member) for member in found.members) if found else frozenset()
        listed = frozenset(self._placed(member) for member in wanted.members)
        rules = found is None or found.source == self.wanted.source
        add = listed - now
        remove = now - listed if rules and self.wanted.complete else frozenset()
        if add or remove:
            self.group_actions.append(SetMembers(name, _ordered(add), _ordered(remove)))

    def _placed(self, member: Member) -> Member:
        """Somebody whose domain is not ours is outside, whatever the source knows of them."""
        if member.kind is MemberKind.MAILBOX and member.ref.rpartition("@")[2] not in self.current.domains:
            return Member(MemberKind.OUTSIDE, member.ref)
        return member

    def _group_addresses(self, wanted: WantedGroup, found: CurrentGroup | None, name: str) -> None:
        present = found.keys if found else {}
        addresses = [wanted.address, *wanted.aliases] if wanted.address else list(wanted.aliases)
        listed = set()
        for address in addresses:
            key = address.key
            if not self._ours(address) or self.claimed.get(key) != _tag(wanted) or key in listed:
                continue
            listed.add(key)
            if key not in present and self._obtainable(key, None):
                self.group_actions.append(AddAddress(None, name, address))
        if found is not None and found.source == self.wanted.source and self.wanted.complete:
            for key, source in sorted(present.items()):
                if key not in listed and source == self.wanted.source:
                    self._remove(key, None, found)

    def _renamed(self, member: Member) -> Member:
        if member.kind is MemberKind.MAILBOX and member.ref in self.new_keys:
            return Member(member.kind, self.new_keys[member.ref])
        return member

    def _note_missing_groups(self, groups: Iterable[WantedGroup]) -> None:
        kept = {found.id for each in groups if (found := self._find_group(each)) is not None}
        for found in self.current.groups:
            if found.source == self.wanted.source and found.id not in kept:
                self.plan.problems.append(
                    f"the source has no group {found.name} any more: remove it with `everpost group delete`"
                )


def _tag(entry: WantedMailbox | WantedGroup) -> str:
    if isinstance(entry, WantedMailbox):
        return f"{entry.external_id or ''} {entry.address.key}".strip()
    return f"{entry.external_id or ''} group {entry.name}".strip()


def _ordered(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: (member.kind.value, member.ref)))
