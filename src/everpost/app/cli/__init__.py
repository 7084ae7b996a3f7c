"""`everpost`: the command line. Each command is a module of its own, imported when it is called."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from pathlib import Path

import click
import structlog

from everpost import __version__
from everpost.app.cli.context import Cli

COMMANDS = {
    "init": "init",
    "serve": "serve",
    "status": "status",
    "org": "org",
    "domain": "domain",
    "mailbox": "mailbox",
    "group": "group",
    "primary": "primary",
    "contact": "contact",
    "sync": "sync",
    "probe": "probe",
    "trust": "trust",
    "activate": "activate",
    "deactivate": "deactivate",
    "failback": "failback",
    "drill": "drill",
    "queue": "queue",
    "quarantine": "quarantine",
    "policy": "policy",
    "guard": "guard",
    "message": "message",
    "audit": "audit",
    "admin": "admin",
    "doctor": "doctor",
    "demo": "demo",
    "completion": "completion",
}
"""Commands in the order of --help, and the modules of this package that hold them as `command`."""


class _LazyGroup(click.Group):
    """Commands whose module is there; a module is imported only for its own command and for --help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, module in COMMANDS.items() if importlib.util.find_spec(f"{__name__}.{module}")]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[cmd_name]}")
        found: click.Command = module.command
        return found


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Configuration. Default: $EVERPOST_CONFIG, ./everpost.toml, /etc/everpost/everpost.toml.",
)  # fmt: skip
@click.version_option(__version__, prog_name="everpost")
@click.pass_context
def root(ctx: click.Context, config_path: Path | None) -> None:
    """Every mailbox stays alive when the mail server is down or belongs to somebody else, and comes back whole."""
    ctx.obj = Cli(config_path)


def main() -> None:
    """The program `everpost`."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    root(prog_name="everpost")
