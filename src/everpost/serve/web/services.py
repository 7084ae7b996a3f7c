"""What the web face needs of the house, handed over by the app."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from everpost.continuity.routes import RouteTable
from everpost.directory.model import Place, Rights
from everpost.directory.resolve import Directory
from everpost.identity.sessions import Sessions
from everpost.identity.throttle import Throttle
from everpost.intake.accept import Within
from everpost.intake.links import DigestLinks
from everpost.intake.screening import Screen
from everpost.intake.submission import Receipt, Submission
from everpost.mail.address import Address
from everpost.serve.web.clicks import ClickServices
from everpost.serve.web.names import account_id
from everpost.serve.web.remote.addresses import Signer
from everpost.serve.web.remote.fetch import Fetcher
from everpost.standby.service import Standby
from everpost.standby.values import Account, ReadOnly
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_STORE = load("store")


class Login(Protocol):
    """Who proved who they are."""

    @property
    def organisation_id(self) -> int: ...

    @property
    def mailbox_id(self) -> int: ...

    @property
    def address(self) -> Address: ...

    @property
    def name(self) -> str: ...


class LoginCheck(Protocol):
    """How people prove who they are. None: they did not. Answers come fast for a password that was just right."""

    async def check_password(self, address: str, password: str) -> Login | None: ...

    async def check_token(self, token: str) -> Login | None: ...


class Routes(Protocol):
    """Knows the switches and trust states."""

    @property
    def table(self) -> RouteTable: ...

    async def refresh(self, connection: Connection) -> RouteTable: ...


class Accepts(Protocol):
    """The intake: raises `IntakeUnavailable`, and what `within` raises (see there)."""

    async def accept(self, submission: Submission, within: Within | None = None) -> Receipt: ...


@dataclass(frozen=True, slots=True)
class Remote:
    """How pictures of other servers are had."""

    signer: Signer
    fetcher: Fetcher


@dataclass(frozen=True, slots=True)
class WebServices:
    """One per process. Without `remote`, pictures of other servers are never fetched; without `clicks`, the addresses
    on delivery copies lead nowhere; without `links`, those of digests; without `screen`, what people send is not looked
    at.
    """

    database: Database
    standby: Standby
    directory: Directory
    routes: Routes
    intake: Accepts
    login: LoginCheck
    spool_folder: Path
    sessions: Sessions
    throttle: Throttle
    remote: Remote | None = None
    clicks: ClickServices | None = None
    links: DigestLinks | None = None
    screen: Screen | None = None


@dataclass(frozen=True, slots=True)
class OpenMailbox:
    """A standby mailbox that is open to somebody. `master`: the standby is its master now."""

    place: Place
    address: Address
    name: str
    master: bool
    rights: Rights | None = None  # None: it is their own

    @property
    def account(self) -> Account:
        return Account(self.place.organisation_id, self.place.mailbox_id)

    @property
    def read_only(self) -> bool:
        return not self.master or not self.may_write

    @property
    def may_write(self) -> bool:
        """Whether it is theirs to change, whoever is its master now."""
        return self.rights is None or self.rights.may_write

    @property
    def may_send(self) -> bool:
        return self.rights is None or self.rights.may_send


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person at work in a standby mailbox: their own, or one of the `others` that are shared with them."""

    login: Login
    mailbox: OpenMailbox
    ip: str
    others: tuple[OpenMailbox, ...] = ()

    @property
    def account(self) -> Account:
        return self.mailbox.account

    @property
    def place(self) -> Place:
        return self.mailbox.place

    @property
    def read_only(self) -> bool:
        return self.mailbox.read_only

    @property
    def actor(self) -> str:
        """As the change log and the audit name them, in whichever mailbox they are at work."""
        return str(self.login.address)

    @property
    def mailboxes(self) -> tuple[OpenMailbox, ...]:
        """All that are open to them, the one they are at work in first."""
        return (self.mailbox, *self.others)

    def at(self, name: object) -> Visitor | None:
        """The same person at work in the mailbox that JMAP calls so; None where it is not open to them."""
        for mailbox in self.mailboxes:
            if account_id(mailbox.account) == name:
                others = tuple(each for each in self.mailboxes if each is not mailbox)
                return replace(self, mailbox=mailbox, others=others)
        return None


@dataclass(frozen=True, slots=True)
class MasterGate:
    """Lets a transaction change a mailbox only while the standby is its master. No switch is thrown meanwhile."""

    routes: Routes
    place: Place

    async def check(self, connection: Connection) -> None:
        """Raises `ReadOnly`."""
        generation = await connection.fetchval(_STORE["share_generations"])
        table = self.routes.table
        if generation != table.generation:
            table = await self.routes.refresh(connection)
        if not table.standby_is_master(self.place):
            raise ReadOnly("the mail server is the master of this mailbox now")
