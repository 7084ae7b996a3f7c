"""The commands of continuity, as people use them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from everpost.app.cli import root


class Everpost:
    def __init__(self, config: Path) -> None:
        self.config = config

    async def run(self, *words: str, code: int = 0) -> Any:
        def invoke() -> Any:
            return CliRunner().invoke(root, ["--config", str(self.config), *words, "--json"], prog_name="everpost")

        result = await asyncio.to_thread(invoke)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return json.loads((result.stdout or result.stderr).splitlines()[-1])  # the log may stand before it


@pytest.fixture
async def everpost(tmp_path: Path, database_dsn: str) -> Everpost:
    made = Everpost(tmp_path / "everpost.toml")
    data = str(tmp_path / "data")

    def init() -> None:
        words = ["--config", str(made.config), "init", "--data-dir", data, "--hostname", "mx.example.org"]
        assert CliRunner().invoke(root, [*words, "--database", database_dsn]).exit_code == 0

    await asyncio.to_thread(init)
    await made.run("org", "create", "example")
    await made.run("primary", "create", "main", "--smtp", "127.0.0.1:9", "--smtp-tls", "none", "--probe-timeout", "1")
    await made.run("domain", "create", "example.org", "--primary", "main")
    await made.run("mailbox", "create", "anna@example.org")
    return made


async def test_there_and_back(everpost: Everpost) -> None:
    done = await everpost.run("activate", "--mailbox", "anna@example.org", "--reason", "test")
    assert done["scope"] == "mailbox"
    preview = await everpost.run("failback", "preview", "--mailbox", "anna@example.org")
    assert preview["mailboxes"][0]["inbound"] == 0
    assert (await everpost.run("deactivate", "--mailbox", "anna@example.org"))["ended"]
    assert "not activated" in (await everpost.run("deactivate", "--domain", "example.org", code=1))["error"]
    assert await everpost.run("failback", "list") == []


async def test_scopes_and_times_are_checked(everpost: Everpost) -> None:
    assert "exactly one" in (await everpost.run("activate", "--reason", "x", code=2))["error"]
    assert "no domain" in (await everpost.run("activate", "--domain", "other.org", "--reason", "x", code=1))["error"]
    wrong = ("activate", "--all", "--reason", "x", "--from", "tomorrow")
    assert "2025-03-01T22:00" in (await everpost.run(*wrong, code=2))["error"]
    later = await everpost.run("activate", "--all", "--reason", "x", "--from", "2999-01-01T00:00")
    assert later["scheduled"]
    assert (await everpost.run("deactivate", "--all"))["ended"]


async def test_isolation_and_the_gate(everpost: Everpost) -> None:
    assert (await everpost.run("trust", "doubt", "main", "--reason", "odd"))["state"] == "suspect"
    await everpost.run("trust", "isolate", "main", "--reason", "odd logins")
    assert "clean bill" in (await everpost.run("deactivate", "--primary", "main", code=1))["error"]
    missing = await everpost.run("trust", "clean-bill", "main", "--rebuilt", code=1)
    assert "credentials rotated" in missing["error"]
    flags = ("--rebuilt", "--credentials-rotated", "--way-in-closed", "--forwarding-checked", "--evidence", "17")
    assert (await everpost.run("trust", "clean-bill", "main", *flags))["state"] == "down"
    assert (await everpost.run("deactivate", "--primary", "main"))["ended"]
    [primary] = await everpost.run("primary", "list")
    assert primary["trust_state"] == "trusted"


async def test_probe(everpost: Everpost) -> None:
    [result] = await everpost.run("probe", code=1)
    assert (result["ok"], result["stage"]) == (False, "connect")
    assert "no primary" in (await everpost.run("probe", "other", code=1))["error"]
