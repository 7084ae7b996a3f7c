"""`everpost init`: a first configuration, a data directory and the master key."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from everpost.app.cli.context import Cli, Failure, command_options
from everpost.app.config import load_config
from everpost.app.docs import sample_configuration

_AFTERWARDS = """{path} is written; data goes to {data}.

The master key is {key}: without it nothing that is stored can be read.
Keep a copy of it in a safe place, apart from backups of the data.

Next:
  everpost doctor                                     checks ports, permissions and more
  everpost org create acme
  everpost primary create main --smtp mail.example.org
  everpost domain create example.org --primary main
  everpost mailbox create anna@example.org
  everpost serve
"""


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder for database, spool and keys.")
@click.option("--hostname", help="This host's name in the mail world. Default: the system's.")
@click.option("--database", default="", metavar="DSN", help="Use this PostgreSQL instead of the embedded one.")
@click.option("--force", is_flag=True, help="Replace an existing configuration (the master key stays).")
@command_options
async def command(cli: Cli, data_dir: Path | None, hostname: str | None, database: str, force: bool) -> None:
    """Write a configuration, with every option explained, and make the data directory and the master key."""
    _make(cli, data_dir, hostname, database, force)


def _make(cli: Cli, data_dir: Path | None, hostname: str | None, database: str, force: bool) -> None:
    path = cli.config_path or Path(os.environ.get("EVERPOST_CONFIG", "everpost.toml"))
    if path.exists() and not force:
        raise Failure(f"{path} is there already: edit it, or replace it with --force")
    data = data_dir.resolve() if data_dir else _default_data_dir(path)
    values = {"hostname": hostname or socket.getfqdn() or "localhost", "data_dir": str(data)}
    if database:
        values["database"] = database
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o711)  # the account that runs the embedded PostgreSQL has to pass through
        (data / "spool").mkdir(mode=0o700, exist_ok=True)
        path.write_text(sample_configuration(values), encoding="utf-8")
        path.chmod(0o640)
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from error
    config = load_config(path)
    config.load_master_key(create=True)
    made = {"config": str(path), "data_dir": str(data), "master_key_file": str(config.master_key_path)}
    cli.output(made, _AFTERWARDS.format(path=path, data=data, key=config.master_key_path))


def _default_data_dir(path: Path) -> Path:
    if path.resolve().parent == Path("/etc/everpost"):
        return Path("/var/lib/everpost")
    return path.resolve().parent / "everpost-data"
