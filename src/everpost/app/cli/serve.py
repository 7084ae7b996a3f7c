"""`everpost serve`: run the service in the foreground."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import click

from everpost.app.cli.context import Cli, Failure, command_options
from everpost.app.config import find_config, load_config
from everpost.app.logs import configure_logs
from everpost.store.postgres import CannotStart

MOST_FILES = 65_536


@click.command()
@command_options
async def command(cli: Cli) -> None:
    """Run the service until SIGTERM: SMTP, web, queue and continuity. SIGHUP reads configuration and certificates anew.

    Logs go to standard error. It is ready when GET /readyz answers 200.
    """
    path = find_config(cli.config_path)
    config = load_config(path)
    config.load_master_key()
    configure_logs(config.log, "supervisor")
    _allow_many_files()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_folder(config.data_folder))
    from everpost.app.supervisor import CannotServe, Supervisor  # after the variable: see app.metrics

    try:
        await Supervisor(config, path).run()
    except (CannotServe, CannotStart) as error:
        raise Failure(str(error)) from error


def _metrics_folder(data: Path) -> Path:
    """A fresh one for this process; those of processes that are gone, however they went, are removed."""
    above = data / "metrics"
    for old in above.glob("*"):
        if not Path("/proc", old.name).exists():
            shutil.rmtree(old, ignore_errors=True)
    folder = above / str(os.getpid())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _allow_many_files() -> None:
    """Every connection is an open file: take what the system lets us have, which is more than a shell starts with."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
