"""What every command is made of.

A command module `app/cli/<name>.py` has one attribute `command`, a click command or group, and is named in
`everpost.app.cli.COMMANDS`. Its functions look like this:

    @command.command("list")
    @org_option
    @command_options
    async def list_them(cli: Cli, org: str | None) -> None:
        \"\"\"What --help says.\"\"\"
        async with cli.services() as services:
            organisation = await services.organisation(org)
            cli.output(await services.admin.domains(organisation.id))

`command_options` adds --json, passes the `Cli`, runs the coroutine and turns known errors into one line and an exit
status (1 refused, 2 wrong use, 3 database away).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from everpost.app.config import Config, ConfigError, find_config, load_config
from everpost.app.database import DatabaseAway, open_database
from everpost.crypto.keys import KeyProblem, SealingKey
from everpost.directory.admin import DirectoryAdmin
from everpost.directory.records import DirectoryError, MailboxRecord, OrganisationRecord
from everpost.identity.login import Identity, IdentityError
from everpost.store.blobs import KeyRing
from everpost.store.database import UNAVAILABLE, Database

EXIT_REFUSED = 1
EXIT_DATABASE = 3
MAX_SECRET_OCTETS = 64 * 1024


class Failure(Exception):
    """The command cannot do what it was asked; the message is one line with the way out."""

    def __init__(self, message: str, code: int = EXIT_REFUSED) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Services:
    """The parts a command works with, on an open database."""

    config: Config
    database: Database
    master: SealingKey
    keys: KeyRing
    admin: DirectoryAdmin
    identity: Identity

    async def organisation(self, name: str | None) -> OrganisationRecord:
        """The named organisation, or the only one. Raises `DirectoryError`."""
        return await self.admin.organisation(name) if name else await self.admin.only_organisation()

    async def organisation_of(self, address: str, name: str | None = None) -> OrganisationRecord:
        """The organisation of an address's domain, unless one is named."""
        return await self.organisation(name) if name else await self.admin.organisation_of(address)

    async def mailbox(self, address: str, name: str | None = None) -> tuple[OrganisationRecord, MailboxRecord]:
        """A mailbox by any of its addresses, and its organisation."""
        organisation = await self.organisation_of(address, name)
        return organisation, await self.admin.mailbox(address, organisation.id)


@dataclass(slots=True)
class Cli:
    """What the command line said for all commands. `actor` stands in the audit."""

    config_path: Path | None = None
    json: bool = False

    @property
    def actor(self) -> str:
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError):
            return "cli"

    def config(self) -> Config:
        """Raises `ConfigError`."""
        return load_config(find_config(self.config_path))

    @contextlib.asynccontextmanager
    async def services(self) -> AsyncIterator[Services]:
        """Open the database (starting the embedded one where it is not running) and everything on it."""
        config = self.config()
        async with open_database(config) as database:
            master = config.load_master_key()
            yield Services(
                config, database, master, KeyRing(database, master),
                DirectoryAdmin(database, master, actor=self.actor), Identity(database, actor=self.actor),
            )  # fmt: skip

    def output(self, value: Any, text: str | None = None) -> None:
        """Show a record, a list of records or plain values: as JSON, as `text`, or as a table."""
        if self.json:
            click.echo(to_json(value))
        elif text is not None:
            click.echo(text)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            _print_table([_plain(each) for each in value])
        else:
            plain = _plain(value)
            _print_pairs(plain if isinstance(plain, dict) else {"": plain})


def to_json(value: Any) -> str:
    """A record or anything made of them as one JSON text."""
    return msgspec.json.encode(value, enc_hook=_encode_other).decode()


def _encode_other(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=_encode_other, builtin_types=(datetime,))


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, list):
        return ", ".join(_cell(each) for each in value)
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(each)}" for name, each in value.items() if each is not None)
    return printable(str(value))


def printable(text: str) -> str:
    """What strangers wrote, fit for a terminal: no control sequences, no line ends, no change of direction."""
    return "".join(letter if letter.isprintable() else " " if letter in "\t\r\n" else "\ufffd" for letter in text)


def shortened(text: str | None, limit: int) -> str | None:
    """At most `limit` characters, for a table."""
    return text if text is None or len(text) <= limit else text[: limit - 1] + "…"


def _print_table(rows: list[Any]) -> None:
    if not rows:
        click.echo("none")
        return
    rows = [row if isinstance(row, dict) else {"": row} for row in rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    _console().print(table)


def _print_pairs(values: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in values.items():
        table.add_row(name.replace("_", " "), _cell(value))
    _console().print(table)


def _console() -> Console:
    """Not narrower than a table needs where nobody looks at a screen."""
    return Console(markup=False, highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 200)


def command_options(function: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make an async function a command: --json, the `Cli` as its first argument, errors as one line."""

    @functools.wraps(function)
    def run(*args: Any, as_json: bool, **options: Any) -> None:
        cli = dataclasses.replace(click.get_current_context().find_object(Cli) or Cli(), json=as_json)
        with reported_errors(cli):
            asyncio.run(_await(function(cli, *args, **options)))

    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value instead of text.")(run)


async def _await(work: Awaitable[None]) -> None:
    await work


@contextlib.contextmanager
def reported_errors(cli: Cli) -> Iterator[None]:
    """Known errors as one line on standard error (with --json as an object), and the exit status they stand for."""
    try:
        yield
    except (Failure, ConfigError, DirectoryError, IdentityError, KeyProblem, DatabaseAway) as error:
        code = error.code if isinstance(error, Failure) else EXIT_REFUSED
        code = EXIT_DATABASE if isinstance(error, DatabaseAway) else code
        _fail(cli, str(error), code)
    except UNAVAILABLE as error:
        _fail(cli, f"{type(error).__name__}: {error}: try again, or ask `everpost doctor`", EXIT_DATABASE)


def _fail(cli: Cli, message: str, code: int) -> None:
    if cli.json:
        click.echo(to_json({"error": message, "code": code}), err=True)
    else:
        click.echo(f"everpost: {message}", err=True)
    raise SystemExit(code)


org_option = click.option("--org", metavar="NAME", help="Organisation; needed where there are several.")


def read_secret(file: str | None, prompt: str) -> str:
    """A secret from a file, from standard input (`-`), or asked for at the terminal. Never from an argument."""
    if file == "-":
        return sys.stdin.readline(MAX_SECRET_OCTETS).rstrip("\r\n")
    if file:
        try:
            with Path(file).open(encoding="utf-8") as opened:
                return opened.readline(MAX_SECRET_OCTETS).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{file} cannot be read: {error}") from error
    if not sys.stdin.isatty():
        raise Failure(f"{prompt}: nobody to ask: give it by --password-file FILE (or - for standard input)")
    return str(click.prompt(prompt, hide_input=True, confirmation_prompt=True))
