"""`everpost guard`: what the classifier has learned, teaching it from files, and making it forget."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import click
import zstandard

from everpost.app.cli.context import Cli, Failure, Services, command_options, org_option
from everpost.guard.contents import read_contents
from everpost.guard.learn.features import features_of
from everpost.guard.learn.model import Class
from everpost.guard.learn.models import PRIOR, forget, make_model, state_of, teach
from everpost.mail.digest import content_digest
from everpost.mail.header import parse_header
from everpost.standby.history.mbox import open_mbox, split_mbox, unquoted
from everpost.store.audit import Event, record

_existing = click.Path(exists=True, path_type=Path)
_MAX_OCTETS: Final = 50 * 1024 * 1024
_AT_ONCE: Final = 200  # messages in one transaction
_MBOX: Final = (".mbox", ".mbx", ".zst")


@click.group()
def command() -> None:
    """The guard's classifier: what it learned, teaching it, and making it forget."""


@command.command("learn")
@click.option("--spam", "verdict", flag_value=Class.SPAM.value, help="They are spam.")
@click.option("--ham", "verdict", flag_value=Class.HAM.value, help="They are what people want to have.")
@click.argument("paths", nargs=-1, required=True, type=_existing, metavar="PATH...")
@click.option("--org", metavar="NAME", help="Teach this organisation only. Default: the prior that all share.")
@command_options
async def learn(cli: Cli, verdict: str | None, paths: tuple[Path, ...], org: str | None) -> None:
    """Learn from messages: each PATH a message, an mbox file (also .zst), or a folder of messages.

    What was learned before is not learned twice; what was learned as the other class is learned anew. The newest 10,000
    messages of each class are kept. An organisation's own lessons have the word over the prior once there are enough.
    """
    if verdict is None:
        raise Failure("say which they are: --spam or --ham")
    async with cli.services() as services:
        organisation_id = await _scope(services, org)
        read = learned = unreadable = 0
        for batch in _batches(_messages(paths)):
            async with services.database.transaction() as connection:
                for data in batch:
                    read += 1
                    if not data or len(data) > _MAX_OCTETS:
                        unreadable += 1
                        continue
                    key, features = _lesson(data)
                    learned += await teach(connection, organisation_id, key, Class(verdict), features)
        if learned:
            await make_model(services.database, organisation_id)
        state = await state_of(services.database, organisation_id)
        await _audit(services, cli, organisation_id, "guard.learn", {"verdict": verdict, "messages": learned})
    shown = {"read": read, "learned": learned, "unreadable": unreadable, "spam": state.spam, "ham": state.ham}
    text = f"{learned} of {read} messages learned as {verdict}"
    text += f", {unreadable} empty or too large" if unreadable else ""
    cli.output(shown, f"{text}; it has lessons of {state.spam} spam and {state.ham} ham")


@command.command("forget")
@click.argument("paths", nargs=-1, type=_existing, metavar="[PATH]...")
@click.option("--mailbox", metavar="ADDRESS", help="Forget what this person said.")
@click.option("--all", "everything", is_flag=True, help="Forget everything, of the organisation or of the prior.")
@click.option("--org", metavar="NAME", help="Of this organisation. Default: of the prior that all share.")
@command_options
async def forget_lessons(
    cli: Cli, paths: tuple[Path, ...], mailbox: str | None, everything: bool, org: str | None
) -> None:
    """Forget lessons: those from the messages in PATH, those of one person, or all."""
    if sum((bool(paths), mailbox is not None, everything)) != 1:
        raise Failure("say what to forget: PATH..., --mailbox ADDRESS or --all")
    async with cli.services() as services:
        mailbox_id = None
        if mailbox is not None:
            organisation, found = await services.mailbox(mailbox, org)
            organisation_id, mailbox_id = organisation.id, found.id
        else:
            organisation_id = await _scope(services, org)
            mailbox_id = None if everything else 0
        keys = [_lesson(data)[0] for data in _messages(paths) if data] if paths else None
        async with services.database.transaction() as connection:
            count = await forget(connection, organisation_id, mailbox_id=mailbox_id, keys=keys)
        await make_model(services.database, organisation_id)
        detail: dict[str, object] = {"messages": count, "mailbox": mailbox or ""}
        await _audit(services, cli, organisation_id, "guard.forget", detail)
    cli.output({"forgotten": count}, f"{count} lessons forgotten")


@command.command("lessons")
@org_option
@command_options
async def lessons(cli: Cli, org: str | None) -> None:
    """Show what was learned: of the prior, and of every organisation or one."""
    async with cli.services() as services:
        chosen = [await services.organisation(org)] if org else await services.admin.organisations()
        scopes = [("prior", PRIOR), *((each.name, each.id) for each in chosen)]
        rows = []
        for name, number in scopes:
            state = await state_of(services.database, number)
            rows.append(
                {
                    "of": name, "spam": state.spam, "ham": state.ham, "people": state.people, "waiting": state.waiting,
                    "weighs_spam": round(state.spam_weight, 1), "weighs_ham": round(state.ham_weight, 1),
                    "made": state.made_at, "up_to_date": not state.stale,
                }
            )  # fmt: skip
        cli.output(rows)


async def _scope(services: Services, org: str | None) -> int:
    return (await services.organisation(org)).id if org else PRIOR


async def _audit(services: Services, cli: Cli, organisation_id: int, action: str, detail: dict[str, object]) -> None:
    async with services.database.transaction() as connection:
        event = Event(cli.actor, action, "classifier", detail)
        await record(connection, organisation_id, await services.database.ids.new(), event)


def _lesson(data: bytes) -> tuple[int, tuple[str, ...]]:
    """(key, features): the key is the same for every copy of a message."""
    header = parse_header(data)
    key = int.from_bytes(hashlib.sha256(content_digest(data, header)).digest()[:8], "big") >> 1
    return key, features_of(header, read_contents(data, header))


def _batches(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for data in messages:
        batch.append(data)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _messages(paths: Iterable[Path]) -> Iterator[bytes]:
    """Every message below the paths; empty for one that is larger than what is read. Raises `Failure`."""
    for path in paths:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        for file in files:
            try:
                yield from _messages_of(file)
            except (OSError, zstandard.ZstdError) as error:
                raise Failure(f"{file} cannot be read: {error}") from error


def _messages_of(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        is_mbox = file.suffix in _MBOX or opened.read(5) == b"From "
    if not is_mbox:
        yield file.read_bytes() if file.stat().st_size <= _MAX_OCTETS else b""
        return
    with open_mbox(file) as stream:
        for message in split_mbox(stream, limit=_MAX_OCTETS):
            yield unquoted(message.content) if message.content else b""
