"""`everpost drill`: a rehearsal with a canary, measured."""

from __future__ import annotations

import click

from everpost.app.assembly import mailroom
from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option
from everpost.app.cli.switches import find_scope, refusals
from everpost.continuity.drill import Drill, Follower, Outcome
from everpost.continuity.routes import Scope
from everpost.continuity.status import workers_alive
from everpost.intake.notices import Notices
from everpost.store.ids import encode_id

_FIGURES = (
    ("detect_s", "detected a dead server after"),
    ("switch_s", "every worker had switched after"),
    ("readable_s", "new mail could be read after"),
    ("return_s", "all was back on the primary after"),
)


@click.command()
@click.argument("mailbox", required=False)
@click.option("--group", metavar="NAME", help="The members of a group (at most 50).")
@click.option("--no-detection", is_flag=True, help="Do not measure how long it takes to see that a server is dead.")
@click.option(
    "--timeout", default=300.0, show_default=True, type=click.FloatRange(5, 3600), metavar="SECONDS",
    help="Roll back where it is not through by then.",
)  # fmt: skip
@org_option
@command_options
async def command(
    cli: Cli, mailbox: str | None, group: str | None, no_detection: bool, timeout: float, org: str | None
) -> None:
    """Rehearse with MAILBOX: to the standby, a message, and back to the primary, with nobody else touched.

    A message is sent to the mailbox, and marked as read. Needs `everpost serve` to be running. The exit status is 1
    where the drill failed; the mailbox is given back to its primary in any case.
    """
    async with cli.services() as services:
        _, scope = await find_scope(services, org, {"mailbox": mailbox, "group": group})
        if not await workers_alive(services.database):
            raise Failure("no worker is alive: start `everpost serve` first, a drill goes through the running service")
        if not cli.json:
            click.echo(f"drilling {mailbox or group}; at most {timeout:.0f} s …", err=True)
        outcome = await _drill(services, scope, cli.actor, timeout, measure_detection=not no_detection)
        shown = {"drill": encode_id(outcome.id), "passed": outcome.passed, "figures": outcome.figures}
        cli.output(shown, _told(outcome))
    if not outcome.passed:
        raise SystemExit(1)


async def _drill(services: Services, scope: Scope, actor: str, timeout_s: float, *, measure_detection: bool) -> Outcome:
    async with mailroom(services.config, services.database, services.keys) as room:
        canary = Notices(services.database, room.intake, room.directory, services.config.hostname)
        drill = Drill(
            services.database, services.keys, room.routes, room.continuity, Follower(services.database),
            room.standby, canary, timeout_s=timeout_s,
        )  # fmt: skip
        with refusals():
            return await drill.run(scope, actor, measure_detection=measure_detection)


def _told(outcome: Outcome) -> str:
    figures = outcome.figures
    lines = [
        f"drill {encode_id(outcome.id)} {'passed' if outcome.passed else 'FAILED'} ({figures.mailboxes} mailboxes)"
    ]
    for name, text in _FIGURES:
        value = getattr(figures, name)
        if value is not None:
            lines.append(f"  {text} {value:.2f} s")
    lines.append(
        f"  messages replayed {figures.replayed}, changes {figures.changes}, lost {figures.lost}, "
        f"duplicated {figures.duplicated}"
    )
    lines += [f"  problem: {problem}" for problem in figures.problems]
    return "\n".join(lines)
