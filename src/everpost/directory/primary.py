"""Primaries: the protected mail servers, how to reach them and how far they are trusted."""

from __future__ import annotations

from typing import Literal

import msgspec

from everpost.crypto.keys import SealingKey
from everpost.mail.address import Address
from everpost.store.blobs import KeyRing
from everpost.store.database import Connection, Database
from everpost.store.sql import load

_SQL = load("directory")


class SmtpConnector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the primary takes mail.

    `tls`: `none` never, `opportunistic` where offered, without looking at the certificate, `required` by STARTTLS,
    `implicit` from the first octet. `verify` checks name and chain, against `ca_file` (PEM) where given, else against
    the system's authorities; it counts for `required` and `implicit`.
    """

    host: str
    port: int = 25
    tls: Literal["none", "opportunistic", "required", "implicit"] = "opportunistic"
    ca_file: str = ""
    verify: bool = True


class ImapConnector(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the primary's mailboxes are read and written during failback.

    `login_template` makes the login of a mailbox from its default address: `{address}*gateway` is Dovecot's master
    user, `{address}` a login of its own (the same password for all).
    """

    host: str
    port: int = 993
    tls: Literal["none", "required", "implicit"] = "implicit"
    login_template: str = "{address}*gateway"
    ca_file: str = ""
    verify: bool = True

    def login(self, address: Address) -> str:
        """The login name for a mailbox."""
        return self.login_template.replace("{address}", str(address))


class ProbeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a primary is watched. `failures` in a row make it down, `successes` in a row up again.

    `probe_address` is a recipient that MAIL and RCPT are tried with; `round_trip` sends a message to it now and then
    and looks for it over IMAP.
    """

    interval_s: float = 10.0
    failures: int = 3
    successes: int = 3
    timeout_s: float = 5.0
    probe_address: str | None = None
    round_trip: bool = False


class PrimarySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything about a primary that is no secret."""

    smtp: SmtpConnector
    imap: ImapConnector | None = None
    probe: ProbeSettings = ProbeSettings()
    automatic_activation: bool = True
    automatic_failback: bool = False


class PrimarySecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What we prove ourselves with to a primary. Stored sealed with the organisation's key."""

    smtp_username: str = ""
    smtp_password: str = ""
    imap_password: str = ""

    def __repr__(self) -> str:
        return "PrimarySecrets(...)"


class Primary(msgspec.Struct, frozen=True):
    """A primary as it stands in the directory. `trust_state` is a value of `continuity.trust.TrustState`."""

    organisation_id: int
    id: int
    name: str
    settings: PrimarySettings
    secrets: PrimarySecrets
    trust_state: str


def secrets_context(organisation_id: int, primary_id: int) -> str:
    """The context under which a primary's secrets are sealed by the organisation's key."""
    return f"primary:{organisation_id}:{primary_id}"


def seal_secrets(key: SealingKey, organisation_id: int, primary_id: int, secrets: PrimarySecrets) -> bytes:
    """The secrets, ready to be stored."""
    return key.seal(msgspec.json.encode(secrets), secrets_context(organisation_id, primary_id))


def open_secrets(key: SealingKey, organisation_id: int, primary_id: int, sealed: bytes) -> PrimarySecrets:
    """Raises `KeyProblem` where they were sealed by another key."""
    plain = key.open(sealed, secrets_context(organisation_id, primary_id))
    return msgspec.json.decode(plain, type=PrimarySecrets)


async def load_primaries(
    source: Connection | Database, keys: KeyRing, organisation_id: int | None = None
) -> list[Primary]:
    """Every primary of one organisation, or of all, ordered by organisation and name. Raises `KeyProblem`."""
    if isinstance(source, Database):
        async with source.connection() as connection:
            rows = await connection.fetch(_SQL["primaries"], organisation_id)
    else:
        rows = await source.fetch(_SQL["primaries"], organisation_id)
    primaries = []
    for row in rows:
        organisation = row["organisation_id"]
        key = await keys.organisation(organisation)
        primaries.append(
            Primary(
                organisation,
                row["id"],
                row["name"],
                msgspec.convert(row["settings"], PrimarySettings),
                open_secrets(key, organisation, row["id"], row["secrets"]),
                row["trust_state"],
            )
        )
    return primaries
