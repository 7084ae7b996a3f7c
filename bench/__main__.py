"""`make bench`: see README.md."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from bench import ROOT, plot, results
from bench.installation import Everpost
from bench.results import Suite
from bench.sides import PostfixDovecot, Side
from bench.suites import ALONE, COMPARED, GUARDED, NOTES, Options, alone, compare
from bench.tools import PeerFailed, PeerMissing, Sink, require
from bench.world import NAMES, World
from peers.unbound import Unbound

_FOLDER = ROOT / "build" / "bench"
_console = Console()


@click.command()
@click.option(
    "--suite",
    "suites",
    multiple=True,
    type=click.Choice((*COMPARED, *GUARDED, *ALONE, "all")),
    help="May be repeated. Default: flood, mix and paced.",
)
@click.option("--messages", type=click.IntRange(20, 10_000_000), help="In each load. Default: 8000.")
@click.option("--connections", default=20, show_default=True, type=click.IntRange(1, 500))
@click.option("--mailboxes", default=200, show_default=True, type=click.IntRange(1, 10_000))
@click.option(
    "--rate",
    default=100.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Messages per second of the suite `paced`.",
)
@click.option(
    "--mbox",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Messages of the suite `mix` (mbox, also .zst). Default: generated ones.",
)
@click.option("--reconnect", is_flag=True, help="smtp-source makes a connection for each message.")
@click.option(
    "--workers",
    default=0,
    type=click.IntRange(0, 64),
    help="Everpost's worker processes. Default: one for each processor.",
)
@click.option("--side", type=click.Choice(("everpost", "peer")), help="Measure only this one, and write nothing.")
@click.option("--quick", is_flag=True, help="A small load, to see that everything works; the figures mean little.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Put both sides' temporary folders here instead of the system's.",
)
def main(
    suites: tuple[str, ...], side: str | None, quick: bool, folder: Path | None, messages: int | None, **given: object
) -> None:
    """Measure Everpost beside Postfix and Dovecot, and write build/bench/results.json and results.svg."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    if folder:
        tempfile.tempdir = str(folder.resolve())
    options = Options(**given)  # type: ignore[arg-type]
    if quick:
        options = replace(options, messages=300, mailboxes=20, stored=(1_000, 5_000, 20_000), queued=2_000, idle=200)
    if messages:
        options = replace(options, messages=messages)
    wanted = (*COMPARED, *GUARDED, *ALONE) if "all" in suites else suites or COMPARED
    try:
        require("smtp-source", "smtp-sink")
        _warn()
        _run(tuple(dict.fromkeys(wanted)), side, options)
    except PeerMissing as error:
        raise click.ClickException(
            f"{error}; the Debian packages are postfix, dovecot-imapd, dovecot-lmtpd, rspamd and unbound"
        ) from None
    except (PeerFailed, OSError, ExceptionGroup) as error:
        raise click.ClickException(_reason(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; everything is cleaned up") from None


def _run(wanted: tuple[str, ...], side: str | None, options: Options) -> None:
    fresh: dict[str, Suite] = {}
    if compared := tuple(suite for suite in COMPARED if suite in wanted):
        fresh |= _compare(compared, side, options)
    if guarded := tuple(suite for suite in GUARDED if suite in wanted):
        with contextlib.closing(Unbound(NAMES)) as names:
            fresh |= _compare(guarded, side, options, names.address)
    for suite in ALONE:
        if suite in wanted and side != "peer":
            with _status() as say:
                fresh[suite] = alone(suite, options, say)
    _console.print(results.table(fresh, NOTES))
    if side is None:
        _write(fresh)


def _compare(suites: tuple[str, ...], side: str | None, options: Options, name_server: str = "") -> dict[str, Suite]:
    """Both sides, one after the other."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    if side != "everpost":
        figures["peer"] = _side(lambda world, port: PostfixDovecot(world, port, name_server), suites, options)
    if side != "peer":
        figures["everpost"] = _side(
            lambda world, port: Everpost(world, port, options.workers, name_server), suites, options
        )
    return {
        suite: results.pairs(*(figures.get(name, {}).get(suite, {}) for name in ("everpost", "peer")))
        for suite in suites
    }


def _side(make: Callable[[World, int], Side], suites: tuple[str, ...], options: Options) -> dict[str, dict[str, float]]:
    world = options.world()
    with _status() as say, Sink() as sink:
        say("starting")
        with contextlib.closing(make(world, sink.port)) as side:
            return compare(side, sink, world, suites, options, say)


def _write(fresh: dict[str, Suite]) -> None:
    merged = results.merge(_FOLDER / "results.json", fresh)
    (_FOLDER / "results.svg").write_text(plot.svg(merged, NOTES), encoding="utf-8")
    _console.print(f"{_FOLDER / 'results.json'} and results.svg are written")


@contextlib.contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    started = time.monotonic()
    with _console.status("starting") as status:

        def say(text: str) -> None:
            status.update(text)
            if not _console.is_terminal:
                _console.print(f"[{time.monotonic() - started:6.1f} s] {text}", highlight=False, markup=False)

        yield say


def _warn() -> None:
    folder = Path(tempfile.gettempdir())
    kinds = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    at = max((words for words in kinds if folder.is_relative_to(words[1])), key=lambda words: len(words[1]))
    if at[2] in ("tmpfs", "ramfs", "overlay"):
        _console.print(f"{folder} is on {at[2]}: what is called durable here may not be; choose a disk with --dir")
    load = os.getloadavg()[0]
    if load > 0.5:
        _console.print(f"the machine is not quiet (load {load:.1f}): trust ratios more than figures")
    _console.print(
        f"{os.cpu_count()} processors, {platform.machine()}, Linux {platform.release()}, {folder} on {at[2]}"
    )


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _interrupted(number: int, frame: FrameType | None) -> NoReturn:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)  # a second one must not stop the cleaning up
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="bench")
