"""`everpost mailbox import`: what a mailbox had before."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from everpost.app.cli.context import Cli, Failure, Services, command_options, printable, read_secret
from everpost.continuity.history import ImapSource
from everpost.directory.primary import ImapConnector, load_primaries
from everpost.directory.records import MailboxRecord, OrganisationRecord
from everpost.intake.history import Figures, HistoryImport
from everpost.intake.history import Progress as Done
from everpost.mail.address import Address
from everpost.standby.history.eml import EmlSource
from everpost.standby.history.maildir import MaildirSource
from everpost.standby.history.mbox import MboxSource
from everpost.standby.history.model import HistoryFailure, Source
from everpost.standby.history.pst import PstSource
from everpost.standby.values import Account, StandbyRefusal
from everpost.store.sql import load

_DIRECTORY = load("directory")
_existing = click.Path(exists=True, path_type=Path)


@click.command("import")
@click.argument("address")
@click.option(
    "--mbox", "mboxes", multiple=True, type=_existing, metavar="FILE", help="mbox, also .zst; may be repeated."
)
@click.option("--maildir", type=_existing, metavar="FOLDER", help="Maildir with the folders of Maildir++.")
@click.option("--eml", type=_existing, metavar="FOLDER", help="Folder of .eml files, and those in it.")
@click.option("--pst", type=_existing, metavar="FILE", help="Outlook's data file (.pst, .ost).")
@click.option("--imap", metavar="HOST[:PORT]", help="IMAP server. Without any source: that of the mailbox's primary.")
@click.option("--tls", type=click.Choice(["none", "required", "implicit"]), default="implicit", show_default=True,
              help="Of --imap: never, by STARTTLS, from the first octet.")  # fmt: skip
@click.option("--ca-file", default="", metavar="FILE", help="Of --imap: authorities to trust (PEM).")
@click.option("--login", metavar="NAME", help="Of --imap. Default: ADDRESS.")
@click.option("--password-file", metavar="FILE", help="Of --imap: read from its first line (-: standard input).")
@click.option("--rate", type=click.FloatRange(0, 10_000), default=100, show_default=True,
              help="Messages a second that an IMAP server is asked for at most; 0: no limit.")  # fmt: skip
@click.option(
    "--folder", metavar="NAME", help="Folder for --mbox and --eml, / between levels. Default: after the file."
)
@click.option("--unread", is_flag=True, help="What says nothing about it was not read yet (--mbox, --eml).")
@click.option("--dry-run", is_flag=True, help="Say what would come, and bring nothing.")
@command_options
async def command(
    cli: Cli, address: str, mboxes: tuple[Path, ...], maildir: Path | None, eml: Path | None, pst: Path | None,
    imap: str | None, tls: Literal["none", "required", "implicit"], ca_file: str, login: str | None,
    password_file: str | None, rate: float, folder: str | None, unread: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Bring what ADDRESS had before into its standby mailbox: folders, dates and flags are kept.

    Run it again at any time: it goes on where it stopped, and brings only what is new. What the standby has already is
    not doubled. Nothing of it is replayed to the primary by failback. Exit status 1 where some could not be read.
    """
    if sum((bool(mboxes), maildir is not None, eml is not None, pst is not None, imap is not None)) > 1:
        raise Failure("one source at a time: --mbox, --maildir, --eml, --pst or --imap")
    path = tuple(part for part in folder.split("/") if part) if folder else None
    async with cli.services() as services:
        organisation, found = await services.mailbox(address)
        source: Source
        if mboxes:
            source = MboxSource(list(mboxes), path or None, unread=unread)
        elif maildir is not None:
            source = MaildirSource(maildir)
        elif eml is not None:
            source = EmlSource(eml, path or None, unread=unread)
        elif pst is not None:
            source = PstSource(pst)
        elif imap is not None:
            password = read_secret(password_file, f"Password of {login or address} at {imap}")
            connector = _connector(imap, tls, ca_file)
            source = ImapSource(
                connector, login or address, password, hostname=services.config.hostname, rate=rate
            )  # fmt: skip
        else:
            source = await _of_primary(services, organisation, found, rate)
        with _bar(quiet=cli.json) as on_progress:
            figures = await _run(cli, services, organisation, found, source, dry_run, on_progress)
    _show(cli, found.address, figures, dry_run=dry_run)


def _connector(text: str, tls: Literal["none", "required", "implicit"], ca_file: str) -> ImapConnector:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, "993" if tls == "implicit" else "143"
    return ImapConnector(host.strip("[]"), int(port), tls, ca_file=ca_file)


async def _of_primary(
    services: Services, organisation: OrganisationRecord, found: MailboxRecord, rate: float
) -> ImapSource:
    async with services.database.connection() as connection:
        rows = await connection.fetch(_DIRECTORY["mailbox_place"], organisation.id, [found.id])
        primaries = await load_primaries(connection, services.keys, organisation.id)
    primary = next((each for each in primaries if rows and each.id == rows[0]["primary_id"]), None)
    if primary is None:
        raise Failure(f"{found.address} has no primary: give --imap, --mbox, --maildir, --eml or --pst")
    connector = primary.settings.imap
    if connector is None:
        raise Failure(f"the primary {primary.name} has no IMAP connector: set one, or give --imap, --mbox, …")
    if primary.trust_state == "compromised":
        raise Failure(f"the primary {primary.name} is compromised: nothing is taken over from it")
    login = connector.login(Address.parse(found.address))
    return ImapSource(connector, login, primary.secrets.imap_password, hostname=services.config.hostname, rate=rate)


async def _run(
    cli: Cli, services: Services, organisation: OrganisationRecord, found: MailboxRecord, source: Source, dry_run: bool,
    on_progress: Callable[[Done], None],
) -> Figures:  # fmt: skip
    services.config.spool_folder.mkdir(parents=True, exist_ok=True)
    job = HistoryImport(
        services.database, services.keys, Account(organisation.id, found.id), source, actor=cli.actor,
        subject=found.address, spool_folder=services.config.spool_folder, dry_run=dry_run, on_progress=on_progress,
    )  # fmt: skip
    try:
        return await job.run()
    except (HistoryFailure, StandbyRefusal) as error:
        figures = job.figures
        so_far = f" ({figures.brought} messages had come)" if figures.brought and not dry_run else ""
        raise Failure(f"{printable(str(error))}{so_far}") from error


def _show(cli: Cli, address: str, figures: Figures, *, dry_run: bool) -> None:
    shown = {"address": address, "dry_run": dry_run, **msgspec.to_builtins(figures)}
    would = "would come" if dry_run else "came"
    lines = [
        f"{figures.brought} messages {would} ({figures.octets / 1e6:.1f} MB), {figures.met} were there already "
        f"({figures.completed} of them completed), {figures.left_out} deleted ones left out, "
        f"{figures.unreadable} unreadable"
    ]
    lines += [f"  {printable(problem)}" for problem in figures.problems]
    if figures.unreadable > len(figures.problems):
        lines.append(f"  and {figures.unreadable - len(figures.problems)} more")
    cli.output(shown, "\n".join(lines))
    if figures.unreadable:
        raise SystemExit(1)


@contextlib.contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[Done], None]]:
    """A bar for each folder, where somebody looks."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(40),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True, markup=False)
    with Progress(*columns, console=console, transient=True, disable=quiet or not sys.stderr.isatty()) as progress:
        tasks = {}

        def show(done: Done) -> None:
            place = done.folder.place
            if place not in tasks:
                tasks[place] = progress.add_task(printable("/".join(done.folder.path)), total=done.total)
            progress.update(tasks[place], completed=done.done)

        yield show
