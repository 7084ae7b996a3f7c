"""`everpost demo`: an outage from beginning to end, on this machine, on real mail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from everpost.app.cli.context import Cli, Failure, command_options, to_json
from everpost.app.demo.installation import DidNotStart
from everpost.app.demo.people import make_people
from everpost.app.demo.report import Report
from everpost.app.demo.story import DOMAIN, Failed, Stage, Story, make_messages, set_stage

DEFAULT_MESSAGES = 5000
FEWEST = 500


@click.command()
@click.option(
    "--mbox", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="Send the messages of this mailbox file (mboxrd, plain or .zst) instead of generated ones.",
)  # fmt: skip
@click.option(
    "--messages", type=click.IntRange(FEWEST, 1_000_000), default=DEFAULT_MESSAGES, show_default=True,
    help="How many messages to send.",
)  # fmt: skip
@click.option("--exit", "leave", is_flag=True, help="Stop at the report instead of leaving everything running.")
@command_options
async def command(cli: Cli, mbox: Path | None, messages: int, leave: bool) -> None:
    """Play an outage: mail flows, the server dies, people work in the standby, everything comes back, and is counted.

    It uses loopback ports and a temporary folder only. The exit status is 1 where anything was lost, duplicated or
    altered. With --json the last line is one JSON object.
    """
    wanted = make_messages(make_people(DOMAIN), messages, mbox)
    if not wanted:
        raise Failure(f"{mbox}: there are no messages in it: is it an mbox?")
    console = Console(stderr=cli.json, highlight=False)
    with tempfile.TemporaryDirectory(prefix="everpost-demo-") as folder, _told(console) as tell, _terminated():
        os.chmod(folder, 0o711)  # noqa: PTH101, S103 (the account that runs the embedded database has to pass through)
        try:
            async with set_stage(Path(folder), tell) as stage:
                report = await Story(stage, wanted, tell).run()
                tell.finish()
                _show(console, report)
                if cli.json:
                    click.echo(to_json(report.plain()))
                if not leave:
                    await _stay(console, stage)
        except (DidNotStart, Failed) as error:
            raise Failure(str(error)) from error
        except asyncio.CancelledError:
            raise Failure("interrupted") from None
    if not report.whole:
        raise SystemExit(1)


class _Told:
    """Chapters and figures on the terminal, with a bar for what is under way."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._bar: TaskID | None = None

    def chapter(self, title: str) -> None:
        self.finish()
        self._console.print(f"\n[bold]{title}[/bold]")

    def say(self, text: str) -> None:
        self._console.print(f"  {text}", markup=False)

    def progress(self, done: int, total: int) -> None:
        if self._bar is None:
            self._bar = self._progress.add_task("", total=total)
        self._progress.update(self._bar, completed=done, total=total)

    def finish(self) -> None:
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None


@contextlib.contextmanager
def _told(console: Console) -> Iterator[_Told]:
    columns = (TextColumn(" "), BarColumn(40), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Told(console, progress)


def _show(console: Console, report: Report) -> None:
    table = Table(box=None, show_header=False, pad_edge=True)
    for what, figure in report.lines():
        table.add_row(what, figure)
    console.print(table)
    verdict = "[bold green]Whole: nothing lost, duplicated or altered." if report.whole else "[bold red]Not whole."
    console.print(f"\n{verdict}")


async def _stay(console: Console, stage: Stage) -> None:
    """Leave everything to the reader until Ctrl-C."""
    console.print("\nEverything is still running until you press Ctrl-C:")
    for page in stage.pages():
        console.print(f"  {page}", soft_wrap=True)
    console.print("and the command line:")
    console.print(f"  {sys.argv[0]} --config {stage.installation.config_path} failback list", soft_wrap=True)
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


@contextlib.contextmanager
def _terminated() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: nothing is left behind."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
