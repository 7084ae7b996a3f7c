"""A message before the guard: all that a step may look at. Nothing of it is changed but what steps have found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from everpost.auth.check import Authentication
from everpost.directory.model import AS_IT_CAME, CopyPolicy
from everpost.guard.contents import Contents
from everpost.guard.model import Way
from everpost.guard.scanners.shelf import Kept
from everpost.mail.address import Address
from everpost.mail.header import Header


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who shall have the message: a mailbox of ours, or an address elsewhere (both numbers None). `addresses`
    are those it was sent to and its own, in lower case; `group_ids` the groups it belongs to.
    """

    organisation_id: int | None
    mailbox_id: int | None
    addresses: frozenset[str]
    group_ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Insider:
    """On whose behalf a message of ours is sent: a mailbox, a primary that relays it, or both."""

    organisation_id: int
    mailbox_id: int | None = None
    primary_id: int | None = None


@dataclass(slots=True)
class Case:
    """One message on its way in or out. `organisation_ids` are those it concerns; `own_domains` theirs, in lower
    case; `open` gives its octets in chunks, from the first, each time it is called.

    `readers` are those whom it reaches; `tls` tells whether it came encrypted. `copies` says how delivery copies may
    differ, where one organisation alone gets them; `message_id` is the number that the message will have, where one was
    given out before. `insider` is known of mail that goes out.

    `authentication`, `contents` and `kept` (what was unpacked, for the scanners) are there once the steps that ask who
    sends, that read the message, and that look into its files, have run: steps that need them say so.
    """

    way: Way
    client: IPv4Address | IPv6Address | None
    helo: str
    login: str | None
    reverse_path: Address | None
    recipients: tuple[Address, ...]
    organisation_ids: frozenset[int]
    own_domains: frozenset[str]
    header: Header
    size: int
    received_at: datetime
    open: Callable[[], Iterable[bytes]]
    copies: CopyPolicy = AS_IT_CAME
    readers: tuple[Reader, ...] = ()
    tls: bool = False
    message_id: int | None = None
    insider: Insider | None = None
    authentication: Authentication | None = field(default=None)
    contents: Contents | None = field(default=None)
    kept: Kept | None = field(default=None)
