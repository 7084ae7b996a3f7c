"""Runs the stand-in until SIGTERM. Writes one line `ready` to standard output when both ports listen."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import click

from everpost.app.demo.standin.accounts import Accounts
from everpost.app.demo.standin.imap import MAX_LINE, ImapSession
from everpost.app.demo.standin.smtp import SmtpSession
from everpost.app.demo.standin.store import Store

MAX_CONNECTIONS = 500  # of both kinds together

_Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Server:
    """Accepts connections up to the limit and ends them all at the end."""

    def __init__(self) -> None:
        self._open: set[asyncio.Task[None]] = set()

    def accept(self, session: _Session) -> _Session:
        async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            try:
                if len(self._open) < MAX_CONNECTIONS:
                    self._open.add(task)
                    await session(reader, writer)
            except asyncio.CancelledError:
                pass
            finally:
                self._open.discard(task)
                writer.close()

        return run

    async def close(self) -> None:
        open_ = list(self._open)
        for task in open_:
            task.cancel()
        await asyncio.gather(*open_, return_exceptions=True)


async def serve(store: Store, accounts: Accounts, domain: str, smtp_port: int, imap_port: int) -> None:
    """Listen on loopback until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    for user in accounts.users:
        await store.run(store.ensure_user, user)
    hostname = f"primary.{domain}"
    sessions = _Server()
    smtp = await asyncio.start_server(
        sessions.accept(lambda r, w: SmtpSession(r, w, store, accounts, hostname, domain).serve()),
        "127.0.0.1",
        smtp_port,
        backlog=256,
    )
    imap = await asyncio.start_server(
        sessions.accept(lambda r, w: ImapSession(r, w, store, accounts).serve()),
        "127.0.0.1",
        imap_port,
        limit=MAX_LINE,
    )
    click.echo("ready")
    sys.stdout.flush()
    await stop.wait()
    smtp.close()
    imap.close()
    await sessions.close()


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Where mail is kept.")
@click.option("--smtp-port", type=int, required=True)
@click.option("--imap-port", type=int, required=True)
@click.option("--domain", required=True, help="The only domain mail is accepted for.")
@click.option(
    "--users-file",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Lines address:password; a name without @ is a master who may act for everyone.",
)
def main(directory: Path, smtp_port: int, imap_port: int, domain: str, users_file: Path) -> None:
    """A mail server for the demo, on loopback."""
    directory.mkdir(parents=True, exist_ok=True)
    try:
        accounts = Accounts.read(users_file)
    except (OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error
    store = Store(directory / "mail.sqlite3")
    try:
        asyncio.run(serve(store, accounts, domain, smtp_port, imap_port))
    finally:
        store.close()


if __name__ == "__main__":
    main()
