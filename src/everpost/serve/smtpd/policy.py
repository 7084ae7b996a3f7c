"""Who may send what to whom: the decisions of a session, one method for each command."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import structlog

from everpost.continuity.routes import RouteTable
from everpost.continuity.trust import TrustState
from everpost.directory.model import JournalAddress, Resolution, Resolved, Unresolved
from everpost.directory.resolve import Directory
from everpost.intake.submission import Owner, RoutedRecipient
from everpost.mail.address import Address
from everpost.mail.envelope import Recipient, Sender
from everpost.mail.reply import Reply
from everpost.store.database import UNAVAILABLE
from everpost.wire.smtp.events import Authenticate, Role

log = structlog.get_logger()

OK_SENDER = Reply(250, "Sender OK", (1, 0))
OK_RECIPIENT = Reply(250, "Recipient OK", (1, 5))
UNAVAILABLE_NOW = Reply(451, "Temporarily unavailable, try again later", (3, 0))
NO_SUCH_MAILBOX = Reply(550, "No such mailbox here", (1, 1))
DISABLED = Reply(550, "Mailbox disabled", (2, 1))
NO_RELAY = Reply(550, "Relaying denied", (7, 1))
NOT_A_RELAY = Reply(550, "This host is not allowed to relay through here", (7, 1))
FROZEN = Reply(550, "Mail from this server is not accepted: it is isolated", (7, 1))
JOURNAL_FROM_PRIMARY_ONLY = Reply(550, "Journal reports are taken from the primary only", (7, 1))
MIXED_JOURNAL = Reply(452, "A journal report goes to the journal address alone", (5, 3))
NOT_YOUR_ADDRESS = Reply(553, "Not an address of this login", (7, 1))
AUTHENTICATED = Reply(235, "Authentication successful", (7, 0))
BAD_CREDENTIALS = Reply(535, "Authentication credentials invalid", (7, 8))


class LoginLike(Protocol):
    """A person who proved who they are."""

    @property
    def organisation_id(self) -> int: ...
    @property
    def mailbox_id(self) -> int: ...


class Logins(Protocol):
    """Checks people's credentials; None where they are wrong."""

    async def check_password(self, address: str, password: str) -> LoginLike | None: ...


class Relays(Protocol):
    """Knows which hosts and logins are primaries that may relay through us: (organisation, primary)."""

    def find(self, ip: str) -> tuple[int, int] | None: ...
    async def check(self, login: str, password: str) -> tuple[int, int] | None: ...


class Routes(Protocol):
    """The switches as this process sees them."""

    @property
    def table(self) -> RouteTable: ...


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """What every session's policy asks."""

    directory: Directory
    routes: Routes
    logins: Logins
    relays: Relays


@dataclass(slots=True)
class SessionPolicy:
    """The decisions of one session. `owner` is on whose behalf it sends; None for strangers."""

    gate: Gatekeeper
    role: Role
    client_ip: str
    owner: Owner | None = None
    login: str | None = None
    recipients: list[RoutedRecipient] = field(default_factory=list)

    def connected(self) -> None:
        """The client's address is known: a primary may be told by it."""
        if self.role is Role.SMARTHOST:
            found = self.gate.relays.find(self.client_ip)
            if found is not None:
                self.owner = Owner(found[0], None, found[1])

    async def authenticate(self, attempt: Authenticate) -> Reply:
        """AUTH (RFC 4954 §6)."""
        try:
            self.owner = await self._check(attempt)
        except UNAVAILABLE as error:
            log.warning("smtpd.auth_unavailable", error=str(error))
            return Reply(454, "Temporary authentication failure", (7, 0))
        if self.owner is None:
            log.info("smtpd.auth_failed", client=self.client_ip, login=attempt.username[:100])
            return BAD_CREDENTIALS
        self.login = attempt.username
        return AUTHENTICATED

    async def _check(self, attempt: Authenticate) -> Owner | None:
        if attempt.authzid and attempt.authzid != attempt.username:
            return None
        if self.role is Role.SMARTHOST:
            found = await self.gate.relays.check(attempt.username, attempt.password)
            return Owner(found[0], None, found[1]) if found else None
        login = await self.gate.logins.check_password(attempt.username, attempt.password)
        return Owner(login.organisation_id, login.mailbox_id) if login else None

    def from_anybody(self) -> Reply:
        """MAIL from a stranger: a new transaction, so recipients of an earlier one are forgotten."""
        self.recipients.clear()
        return OK_SENDER

    async def mail_from(self, sender: Sender) -> Reply:
        """MAIL from those who say on whose behalf they send."""
        self.recipients.clear()
        if self.owner is None:
            return NOT_A_RELAY
        if self.role is Role.SUBMISSION:
            return await self._check_own_address(self.owner, sender.reverse_path)
        return await self._relayed(self.owner, sender.reverse_path)

    async def _check_own_address(self, owner: Owner, reverse_path: Address | None) -> Reply:
        if reverse_path is None:
            return OK_SENDER
        resolution = await self._resolve(reverse_path)
        if resolution is None:
            return UNAVAILABLE_NOW
        own = owner.mailbox_id is not None and _reaches(resolution, owner.organisation_id, owner.mailbox_id)
        return OK_SENDER if own else NOT_YOUR_ADDRESS

    async def _relayed(self, owner: Owner, reverse_path: Address | None) -> Reply:
        """Whose Sent folder a relayed message belongs to; nothing is taken from a compromised primary."""
        assert owner.primary_id is not None
        if self.gate.routes.table.state(owner.organisation_id, owner.primary_id) is TrustState.COMPROMISED:
            return FROZEN
        mailbox_id = None
        if reverse_path is not None:
            resolution = await self._resolve(reverse_path)
            if resolution is None:
                return UNAVAILABLE_NOW
            mailbox_id = _only_mailbox(resolution, owner.organisation_id)
        self.owner = Owner(owner.organisation_id, mailbox_id, owner.primary_id)
        return OK_SENDER

    def rcpt_to_known(self, recipient: Recipient) -> Reply | None:
        """RCPT answered from what is cached; None where the database has to be asked."""
        resolution = self.gate.directory.cached(recipient.address)
        return None if resolution is None else self._judge(recipient, resolution)

    async def rcpt_to(self, recipient: Recipient) -> Reply:
        """RCPT: unknown recipients are refused here, whether or not the primary is there."""
        resolution = await self._resolve(recipient.address)
        return UNAVAILABLE_NOW if resolution is None else self._judge(recipient, resolution)

    def _judge(self, recipient: Recipient, resolution: Resolution) -> Reply:
        if resolution is Unresolved.NO_SUCH_MAILBOX:
            return NO_SUCH_MAILBOX
        if resolution is Unresolved.DISABLED:
            return DISABLED
        if resolution is Unresolved.NOT_OURS and self.owner is None:
            return NO_RELAY
        if isinstance(resolution, JournalAddress):
            if self.role is not Role.SMARTHOST or self.owner is None:
                return JOURNAL_FROM_PRIMARY_ONLY
            if resolution.organisation_id != self.owner.organisation_id:
                return JOURNAL_FROM_PRIMARY_ONLY
            if self.recipients:
                return MIXED_JOURNAL
        elif self.recipients and isinstance(self.recipients[0].resolution, JournalAddress):
            return MIXED_JOURNAL
        self.recipients.append(RoutedRecipient(recipient, resolution))
        return OK_RECIPIENT

    async def _resolve(self, address: Address) -> Resolution | None:
        """None while the database is away."""
        try:
            return await self.gate.directory.resolve(address)
        except UNAVAILABLE as error:
            log.warning("smtpd.directory_unavailable", error=str(error) or type(error).__name__)
            return None


def _reaches(resolution: Resolution, organisation_id: int, mailbox_id: int) -> bool:
    return _only_mailbox(resolution, organisation_id) == mailbox_id


def _only_mailbox(resolution: Resolution, organisation_id: int) -> int | None:
    """The mailbox behind an address that is one person's, in that organisation."""
    if not isinstance(resolution, Resolved) or resolution.group_id is not None:
        return None
    if resolution.organisation_id != organisation_id or len(resolution.targets) != 1:
        return None
    place = getattr(resolution.targets[0], "place", None)
    return place.mailbox_id if place is not None else None
