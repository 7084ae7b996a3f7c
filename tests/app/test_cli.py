"""The command line as people use it: on a database of its own, in text and JSON, right and wrong."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner, Result

from everpost.app import cli as command_line
from everpost.app.cli import root
from everpost.app.cli.context import EXIT_DATABASE
from everpost.app.config import load_config
from everpost.app.database import answers, open_database
from everpost.directory.primary import load_primaries
from everpost.identity.login import Identity
from everpost.standby.filing import save_filter
from everpost.standby.filters import Comparison, Condition, Field, Filter
from everpost.standby.values import Account
from everpost.standby.work import Work
from everpost.store.blobs import KeyRing
from everpost.store.database import Database


class Everpost:
    """Runs commands against one configuration."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def invoke(self, *words: str, stdin: str = "") -> Result:
        result = CliRunner().invoke(root, ["--config", str(self.config), *words], input=stdin, prog_name="everpost")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    async def run(self, *words: str, stdin: str = "", code: int = 0) -> str:
        result = await asyncio.to_thread(self.invoke, *words, stdin=stdin)
        assert result.exit_code == code, result.output
        return result.stderr if code else result.stdout

    async def json(self, *words: str, stdin: str = "", code: int = 0) -> Any:
        result = await asyncio.to_thread(self.invoke, *words, "--json", stdin=stdin)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout or result.stderr)


@pytest.fixture
async def everpost(tmp_path: Path, database_dsn: str) -> Everpost:
    made = Everpost(tmp_path / "everpost.toml")
    await made.run(
        "init", "--data-dir", str(tmp_path / "data"), "--hostname", "mx.example.org", "--database", database_dsn
    )
    return made


@pytest.fixture
async def example(everpost: Everpost) -> Everpost:
    await everpost.run("org", "create", "example")
    await everpost.run("domain", "create", "example.org")
    return everpost


async def test_init_writes_a_file_that_is_read_back(everpost: Everpost, tmp_path: Path) -> None:
    config = load_config(everpost.config, {})
    assert config.hostname == "mx.example.org"
    assert config.smtp.mx.listen == ("0.0.0.0:25", "[::]:25")
    assert (tmp_path / "data" / "master.key").stat().st_mode & 0o777 == 0o600
    text = everpost.config.read_text()
    assert '#listen = ["0.0.0.0:2525", "[::]:2525"]' in text
    key = (tmp_path / "data" / "master.key").read_text()
    assert "--force" in await everpost.run("init", code=1)
    await everpost.run("init", "--force", "--data-dir", str(tmp_path / "data"))
    assert (tmp_path / "data" / "master.key").read_text() == key


async def test_sample_with_everything_uncommented_is_valid(everpost: Everpost, tmp_path: Path) -> None:
    lines = everpost.config.read_text().splitlines()
    whole = "\n".join(line.removeprefix("#") if line[:1] == "#" and line[1:2] != " " else line for line in lines)
    path = tmp_path / "whole.toml"
    path.write_text(whole.replace('database_file = ""', ""))
    read = load_config(path, {})
    assert [each.name for each in read.guard.icap] == ["acme"]  # a list has an example, and no defaults
    without = msgspec.structs.replace(read, guard=msgspec.structs.replace(read.guard, icap=()))
    assert without == load_config(everpost.config, {})


async def test_a_small_organisation(everpost: Everpost, database: Database) -> None:
    assert (await everpost.json("org", "create", "example", "--display-name", "Example Ltd"))["name"] == "example"
    secret = everpost.config.parent / "secret"
    secret.write_text("imap word\n")
    await everpost.run(
        "primary", "create", "main", "--smtp", "127.0.0.1:2525", "--imap", "127.0.0.1", "--imap-password-file",
        str(secret), "--network", "192.0.2.0/24", "--probe-interval", "1", "--probe-address", "probe@example.org",
        "--round-trip",
    )  # fmt: skip
    await everpost.run("domain", "create", "example.org", "--primary", "main", "--journal", "journal")
    await everpost.run("mailbox", "create", "anna@example.org", "--name", "Anna", "--alias", "a@example.org")
    await everpost.run("mailbox", "create", "ben@example.org", "--password-file", "-", stdin="correct horse\n")
    await everpost.run("group", "create", "Team", "--address", "team@example.org")
    await everpost.run("group", "add", "Team", "anna@example.org", "ben@example.org", "x@elsewhere.example")
    await everpost.run("domain", "set", "example.org", "--catch-all", "ben@example.org")
    shown = await everpost.json("org", "show")
    assert shown["domains"] == ["example.org"]
    assert (shown["mailboxes"], shown["groups"], shown["primaries"]) == (2, 1, ["main: trusted"])
    (domain,) = await everpost.json("domain", "list")
    assert (domain["primary_name"], domain["journal_local"]) == ("main", "journal")
    labels = [each["label"] for each in await everpost.json("group", "show", "team@example.org")]
    assert labels == ["anna@example.org", "ben@example.org", "x@elsewhere.example"]
    primary = await everpost.json("primary", "show", "main")
    assert primary["settings"]["smtp"]["port"] == 2525
    assert primary["settings"]["imap"] == {
        "host": "127.0.0.1", "port": 993, "tls": "implicit", "login_template": "{address}*gateway", "ca_file": "",
        "verify": True,
    }  # fmt: skip
    assert primary["smarthost_networks"] == ["192.0.2.0/24"]
    assert "word" not in json.dumps(primary)
    found = await everpost.json("mailbox", "list", "--search", "anna")
    assert [each["address"] for each in found] == ["anna@example.org"]
    assert await Identity(database).check_password("ben@example.org", "correct horse")
    for words in (("org", "list"), ("org", "show"), ("domain", "list"), ("mailbox", "list"), ("group", "list"),
                  ("primary", "list"), ("primary", "show", "main"), ("mailbox", "show", "a@example.org")):  # fmt: skip
        assert await everpost.run(*words)


async def test_a_mailbox_is_shared(example: Everpost, tmp_path: Path) -> None:
    for name in ("office", "anna", "ben"):
        await example.run("mailbox", "create", f"{name}@example.org", "--name", name.title())
    assert "nobody else" in await example.run("mailbox", "share", "office@example.org")
    await example.run("mailbox", "share", "office@example.org", "anna@example.org", "--rights", "send")
    anna = {
        "mailbox": "office@example.org", "address": "anna@example.org", "name": "Anna", "rights": "send",
    }  # fmt: skip
    assert await example.json("mailbox", "share", "office@example.org") == [anna]
    sheet = tmp_path / "people.csv"
    sheet.write_text(
        "address,delegates\noffice@example.org,ben@example.org=read;anna@example.org=send;no@example.org\n"
    )
    report = await example.json("mailbox", "import-csv", str(sheet), code=1)
    assert any("no@example.org" in problem for problem in report["problems"])
    assert any("ben@example.org" in action for action in report["actions"])
    shown = await example.json("mailbox", "share", "office@example.org")
    assert [(each["address"], each["rights"]) for each in shown] == [
        ("anna@example.org", "send"), ("ben@example.org", "read"),
    ]  # fmt: skip
    await example.run("mailbox", "share", "office@example.org", "anna@example.org", "--remove")
    assert len(await example.json("mailbox", "share", "office@example.org")) == 1
    assert "no rights" in await example.run(
        "mailbox", "share", "office@example.org", "anna@example.org", "--remove", code=1
    )
    assert "all rights" in await example.run("mailbox", "share", "anna@example.org", "anna@example.org", code=1)
    assert "whose rights" in await example.run("mailbox", "share", "anna@example.org", "--remove", code=1)


async def test_filters_are_shown_and_switched_off_and_forwarding_is_set(example: Everpost, database: Database) -> None:
    await example.run("mailbox", "create", "anna@example.org")
    assert await example.json("mailbox", "filters", "anna@example.org") == []
    keys = KeyRing(database, load_config(example.config, {}).load_master_key())
    async with database.transaction() as connection:
        row = await connection.fetchrow("SELECT organisation_id, id, modseq FROM mailbox")
        work = Work(connection, Account(row["organisation_id"], row["id"]), keys, "anna@example.org", row["modseq"])
        looks = (
            Condition(Field.SIZE, Comparison.LARGER, size=5),
            Condition(Field.FROM, Comparison.IS, "a@b.c", 0, True),
        )
        made = Filter(7, "Away", conditions=looks, folder_id=4, forward_to="x@elsewhere.example")
        await save_filter(work, made, "created")
        await work.flush()
    (shown,) = await example.json("mailbox", "filters", "anna@example.org")
    assert (shown["on"], shown["folder"], shown["forward_to"]) == (True, "Archive", "x@elsewhere.example")
    assert shown["conditions"] == ["size larger 5", "not from is a@b.c"]
    assert "no filter 'Other'" in await example.run("mailbox", "filters", "anna@example.org", "--off", "Other", code=1)
    (shown,) = await example.json("mailbox", "filters", "anna@example.org", "--off", "Away")
    assert shown["on"] is False
    assert (await example.json("org", "show"))["forwarding"] == "inside"
    await example.run("org", "forwarding", "none")
    assert (await example.json("org", "show"))["forwarding"] == "none"
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT filters_modseq FROM mailbox") == 0
        done = await connection.fetch(
            "SELECT action FROM audit_event WHERE action ~ '^(filter|organisation.forwarding)' ORDER BY id"
        )
    assert [row["action"] for row in done] == ["filter.off", "organisation.forwarding-changed"]


async def test_primary_is_changed_piece_by_piece(example: Everpost, database: Database) -> None:
    secret = example.config.parent / "secret"
    secret.write_text("smtp word\n")
    await example.run("primary", "create", "main", "--smtp", "mail.example.org")
    await example.run(
        "primary", "update", "main", "--smtp-tls", "required", "--smtp-username", "gateway", "--smtp-password-file",
        str(secret), "--relay-login", "relay", "--relay-password-file", str(secret),
    )  # fmt: skip
    await example.run("primary", "update", "main", "--smtp", "[2001:db8::1]", "--no-automatic-activation")
    config = load_config(example.config, {})
    (loaded,) = await load_primaries(database, KeyRing(database, config.load_master_key()))
    smtp = loaded.settings.smtp
    assert (smtp.host, smtp.port, smtp.tls, smtp.verify) == ("2001:db8::1", 25, "required", True)
    assert (loaded.secrets.smtp_username, loaded.secrets.smtp_password) == ("gateway", "smtp word")
    assert not loaded.settings.automatic_activation
    assert (await example.json("primary", "show", "main"))["relay_login"] == "relay"
    assert "--imap" in await example.run("primary", "update", "main", "--imap-tls", "none", code=1)
    assert "--probe-address" in await example.run("primary", "update", "main", "--round-trip", code=1)


async def test_mailbox_life(example: Everpost, database: Database) -> None:
    await example.run("mailbox", "create", "anna@example.org")
    await example.run("mailbox", "alias", "anna@example.org", "b@example.org", "--default")
    shown = await example.json("mailbox", "show", "anna@example.org")
    assert (shown["address"], shown["aliases"]) == ("b@example.org", ["anna@example.org"])
    await example.run("mailbox", "alias", "b@example.org", "anna@example.org", "--remove")
    await example.run("mailbox", "rename", "b@example.org", "Berta")
    await example.run("mailbox", "alternate", "b@example.org", "b@elsewhere.example")
    await example.run("mailbox", "disable", "b@example.org")
    shown = await example.json("mailbox", "show", "b@example.org")
    assert (shown["name"], shown["alternate"], shown["status"]) == ("Berta", "b@elsewhere.example", "disabled")
    await example.run("mailbox", "enable", "b@example.org")
    password = (await example.json("mailbox", "password", "b@example.org", "--generate"))["password"]
    token = (await example.json("mailbox", "token", "b@example.org", "--label", "phone", "--days", "3"))["token"]
    identity = Identity(database)
    assert await identity.check_password("b@example.org", password)
    assert await identity.check_token(token)
    (listed,) = await example.json("mailbox", "token", "b@example.org", "--list")
    await example.run("mailbox", "token", "b@example.org", "--remove", str(listed["id"]))
    assert await identity.check_token(token) is None
    await example.run("mailbox", "password", "b@example.org", "--remove")
    identity.forget()
    assert await identity.check_password("b@example.org", password) is None


async def test_csv_and_dry_run(example: Everpost, database: Database, tmp_path: Path) -> None:
    sheet = tmp_path / "people.csv"
    sheet.write_text("address,name,groups,password\nanna@example.org,Anna,Team,correct horse\nben@example.org,Ben,,x\n")
    told = await example.run("mailbox", "import-csv", str(sheet), "--dry-run")
    assert "would create mailbox anna@example.org (Anna)" in told
    assert await example.json("mailbox", "list") == []
    report = await example.json("sync", "csv", str(sheet), code=1)
    assert report["counts"] == {"created": 2, "groups": 2}
    assert report["problems"] == ["ben@example.org: a password has at least 8 characters"]
    assert await Identity(database).check_password("anna@example.org", "correct horse")
    sheet.write_text("address,name\nanna@example.org,Anna\nanna\n")
    assert "line 3" in await example.run("sync", "csv", str(sheet), code=1)


async def test_contacts(example: Everpost) -> None:
    await example.run("contact", "add", "ops@elsewhere.example")
    await example.run("contact", "add", "https://hooks.example.net/x")
    assert "already" in await example.run("contact", "add", "ops@elsewhere.example", code=1)
    assert "protected domain" in await example.run("contact", "add", "ops@example.org", code=1)
    assert "http" in await example.run("contact", "add", "ftp://x", code=1)
    assert [each["kind"] for each in await example.json("contact", "list")] == ["mail", "webhook"]
    await example.run("contact", "remove", "ops@elsewhere.example")
    assert "no contact" in await example.run("contact", "remove", "ops@elsewhere.example", code=1)


async def test_audit(example: Everpost, database: Database) -> None:
    await example.run("mailbox", "create", "anna@example.org")
    events = await example.json("audit", "list", "--action", "mailbox.")
    assert [(each["action"], each["subject"]) for each in events] == [("mailbox.created", "anna@example.org")]
    assert events[0]["actor"].startswith("cli:")
    verdict = await example.json("audit", "verify")
    assert verdict["intact"]
    assert verdict["verdict"]["links"] == 3
    async with database.connection() as connection:
        await connection.execute("UPDATE audit_event SET actor = 'nobody' WHERE action = 'mailbox.created'")
    verdict = await example.json("audit", "verify", code=1)
    assert verdict["verdict"]["broken_at"] == 3
    assert "broken at link 3" in (await asyncio.to_thread(example.invoke, "audit", "verify")).stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("mailbox", "show", "nobody@example.org"), 1, "everpost mailbox list"),
        (("mailbox", "show", "nobody@elsewhere.example"), 1, "everpost domain create"),
        (("mailbox", "create", "nonsense"), 1, "no mail address"),
        (("domain", "create", "more.example", "--primary", "none"), 1, "there is no primary 'none'"),
        (("org", "create", "No Good"), 1, "short name"),
        (("primary", "create", "main"), 1, "--smtp"),
        (("org", "list", "--nonsense"), 2, "No such option"),
        (("nonsense",), 2, "No such command"),
        (("mailbox", "password", "nobody@example.org"), 1, "--password-file"),
    ],
)
async def test_errors_are_one_line_with_a_way_out(
    example: Everpost, words: tuple[str, ...], code: int, says: str
) -> None:
    assert says in await example.run(*words, code=code)
    if code == 1:
        assert len((await example.run(*words, code=code)).splitlines()) == 1
        assert says in (await example.json(*words, code=code))["error"]


async def test_several_organisations_need_a_name(example: Everpost) -> None:
    await example.run("org", "create", "other")
    assert "--org" in await example.run("domain", "list", code=1)
    assert await example.json("domain", "list", "--org", "other") == []
    await example.run("mailbox", "create", "anna@example.org")  # its domain says whose it is
    assert "no organisation" in await example.run("domain", "list", "--org", "none", code=1)


async def test_database_away(everpost: Everpost) -> None:
    text = everpost.config.read_text()
    dsn = load_config(everpost.config, {}).database
    everpost.config.write_text(text.replace(dsn, "postgresql://x@127.0.0.1:1/x"))
    assert "database" in await everpost.run("org", "list", code=EXIT_DATABASE)
    report = await everpost.json("doctor", code=1)
    assert [check["verdict"] for check in report["checks"] if check["name"] == "database"] == ["bad"]


async def test_following_is_shown_and_resumed(everpost: Everpost) -> None:
    await everpost.run("org", "create", "acme")
    await everpost.run("domain", "create", "example.org")
    await everpost.run("mailbox", "create", "anna@example.org")
    assert await everpost.json("mailbox", "follow") == []
    assert "is not paused" in await everpost.run("mailbox", "follow", "anna@example.org", "--resume", code=1)
    connection = await asyncpg.connect(load_config(everpost.config, {}).database)
    await connection.execute(
        "INSERT INTO follow_mailbox (organisation_id, mailbox_id, due_at, state, reason)"
        " SELECT organisation_id, id, now(), 'paused', '120 of 120 messages are gone' FROM mailbox"
    )
    (row,) = await everpost.json("mailbox", "follow", "--state", "paused")
    assert (row["address"], row["state"]) == ("anna@example.org", "paused")
    assert "follows its primary again" in await everpost.run("mailbox", "follow", "anna@example.org", "--resume")
    assert await connection.fetchval("SELECT accepts_loss FROM follow_mailbox")
    await connection.close()


async def test_doctor(everpost: Everpost, tmp_path: Path) -> None:
    ports = "".join(
        f'[{name}]\nlisten = ["127.0.0.1:0"]\n' for name in ("smtp.mx", "smtp.smarthost", "web")
    ) + '[smtp.submission]\nlisten = []\nlisten_tls = []\n'  # fmt: skip
    dsn = load_config(everpost.config, {}).database
    head = f'hostname = "mx.example.org"\ndata_dir = "data"\ndatabase = "{dsn}"\n'
    everpost.config.write_text(head + ports)
    report = await everpost.json("doctor")
    assert report["ok"]
    assert {check["verdict"] for check in report["checks"]} <= {"ok", "warning"}
    await everpost.run("org", "create", "acme")
    await everpost.run("primary", "create", "main", "--smtp", "127.0.0.1:1", "--smtp-tls", "none")
    report = await everpost.json("doctor")
    assert report["ok"]  # mail flows all the same
    (found,) = [check for check in report["checks"] if check["name"] == "primary main"]
    assert found["verdict"] == "warning"
    assert "does not answer" in found["detail"]
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "a.yar").write_text("rule A { condition: true }")
    everpost.config.write_text(
        head + ports + '[guard.clamd]\naddress = "/nowhere/clamd.ctl"\n[guard.yara]\nrules_dir = "rules"\n'
        '[[guard.icap]]\nname = "acme"\nurl = "icap://127.0.0.1:1/scan"\n'
    )  # fmt: skip
    report = await everpost.json("doctor")
    scanners = {check["name"]: check for check in report["checks"] if check["name"].startswith("scanner ")}
    assert {name: check["verdict"] for name, check in scanners.items()} == {
        "scanner clamd": "warning", "scanner acme": "warning", "scanner yara": "ok",
    }  # fmt: skip
    assert "1 rules in" in scanners["scanner yara"]["detail"]
    assert "No such file" in scanners["scanner clamd"]["detail"]
    (tmp_path / "data" / "master.key").chmod(0o644)
    told = await asyncio.to_thread(everpost.invoke, "doctor")
    assert told.exit_code == 1
    assert "BAD master key" in told.stdout
    (tmp_path / "data" / "master.key").unlink()
    assert "missing" in await everpost.run("org", "list", code=1)  # no new key is made in silence


def test_every_command_explains_itself() -> None:
    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        import click

        context = click.Context(command, info_name=path[-1])
        assert command.help, path
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                yield from walk(command.get_command(context, name), (*path, name))
        else:
            yield path

    paths = list(walk(root, ("everpost",)))
    assert len(paths) > 30
    for path in paths:
        assert CliRunner().invoke(root, [*path[1:], "--help"]).exit_code == 0


def test_missing_command_modules_do_not_break_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command_line.COMMANDS, "future", "not_written_yet")
    result = CliRunner().invoke(root, ["--help"])
    assert result.exit_code == 0
    assert "future" not in result.stdout
    assert CliRunner().invoke(root, ["future"]).exit_code == 2


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_script(shell: str) -> None:
    assert "_EVERPOST_COMPLETE" in CliRunner().invoke(root, ["completion", shell]).stdout


def test_completion_answers() -> None:
    environment = {
        **os.environ,
        "_EVERPOST_COMPLETE": "bash_complete",
        "COMP_WORDS": "everpost mail",
        "COMP_CWORD": "1",
    }
    program = Path(sys.executable).parent / "everpost"
    found = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "plain,mailbox"


async def test_embedded_database_is_started_for_commands_and_stopped() -> None:
    """Also when several commands come at a time: nobody's server is pulled away."""
    folder = Path(tempfile.mkdtemp(prefix="everpost-cli-"))
    folder.chmod(0o711)
    try:
        everpost = Everpost(folder / "everpost.toml")
        await everpost.run("init", "--data-dir", str(folder / "data"), "--hostname", "mx.example.org")
        await everpost.run("org", "create", "example")
        await everpost.run("domain", "create", "example.org")
        people = [f"p{number}@example.org" for number in range(4)]
        await asyncio.gather(*(everpost.run("mailbox", "create", address) for address in people))
        config = load_config(everpost.config, {})
        async with open_database(config) as database:
            dsn = database.dsn
            found = await everpost.json("mailbox", "list")
            assert [each["address"] for each in found] == people
        assert not await answers(dsn)
    finally:
        shutil.rmtree(folder)


async def test_a_disclaimer_is_set_shown_and_removed(example: Everpost) -> None:
    assert await example.run("org", "disclaimer") == "example has no disclaimer\n"
    assert await example.run("org", "disclaimer", "-", stdin="Example Ltd\r\nKöln\n") == "Example Ltd\nKöln\n"
    assert (await example.json("org", "show"))["disclaimer"] == "Example Ltd\nKöln"
    assert "at most 4000 characters" in await example.run("org", "disclaimer", "-", stdin="x" * 5000, code=1)
    await example.run("org", "disclaimer", "--remove")
    assert (await example.json("org", "disclaimer"))["disclaimer"] == ""
