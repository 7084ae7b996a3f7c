"""What the directory answers. Pure values."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from everpost.mail.address import Address


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mailbox stands, as far as switches and routes are concerned."""

    organisation_id: int
    mailbox_id: int
    domain_id: int
    primary_id: int | None
    group_ids: frozenset[int] = frozenset()


class Rights(enum.StrEnum):
    """What a delegate may do in somebody else's mailbox. Each holds the ones before it."""

    READ = "read"
    WRITE = "write"  # flag, move, file, delete, draft
    SEND = "send"  # as the mailbox itself, and change its identities and its answer to mail while away

    @property
    def may_write(self) -> bool:
        return self is not Rights.READ

    @property
    def may_send(self) -> bool:
        return self is Rights.SEND


class Forwarding(enum.StrEnum):
    """How far the filters of an organisation's people may pass mail on."""

    NONE = "none"
    INSIDE = "inside"  # to mailboxes of the organisation
    ANYWHERE = "anywhere"


class LinkRewriting(enum.StrEnum):
    """In which delivery copies links are replaced by addresses of ours that judge again when they are clicked."""

    KEEP = "keep"  # in none
    UNSIGNED = "unsigned"  # in those that carry no DKIM signature, which a change would break
    ALL = "all"  # never below S/MIME or PGP


class Banner(enum.StrEnum):
    """Which delivery copies of an organisation's mail from outside get a word on top."""

    NONE = "none"
    SUSPICIOUS = "suspicious"  # those that were not judged clean
    EXTERNAL = "external"  # all


class Language(enum.StrEnum):
    """What an organisation's people read."""

    EN = "en"
    DE = "de"
    FR = "fr"


@dataclass(frozen=True, slots=True)
class CopyPolicy:
    """How delivery copies of an organisation's mail may differ from the original. `disclaimer` is put at the end of
    what its people send to the world; empty for none.
    """

    links: LinkRewriting = LinkRewriting.KEEP
    banner: Banner = Banner.NONE
    language: Language = Language.EN
    disclaimer: str = ""


AS_IT_CAME = CopyPolicy()


@dataclass(frozen=True, slots=True)
class Share:
    """A mailbox that somebody may use besides their own."""

    place: Place
    address: Address
    name: str
    rights: Rights


@dataclass(frozen=True, slots=True)
class MailboxTarget:
    """A mailbox that shall have the message, and the address by which its primary knows it."""

    place: Place
    deliver_to: Address


@dataclass(frozen=True, slots=True)
class OutsideTarget:
    """A group's member elsewhere."""

    address: Address


@dataclass(frozen=True, slots=True)
class Resolved:
    """An address of ours: whom it reaches, each once. `group_id` where it is a distribution list."""

    organisation_id: int
    domain_id: int
    targets: tuple[MailboxTarget | OutsideTarget, ...]
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class JournalAddress:
    """Where a primary sends its journal reports (one per domain)."""

    organisation_id: int
    domain_id: int
    primary_id: int | None


class Unresolved(enum.Enum):
    """Why an address reaches nobody here."""

    NOT_OURS = "not ours"  # another's domain
    NO_SUCH_MAILBOX = "no such mailbox"
    DISABLED = "mailbox disabled"


Resolution = Resolved | JournalAddress | Unresolved
