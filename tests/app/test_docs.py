"""The generated pages of the manual say what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from everpost.app.docs import commands_page, pages
from everpost.app.metrics import described
from everpost.continuity.alerts import AlertKind

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "commands.md"


@pytest.mark.parametrize("name", list(pages()))
def test_generated_pages_are_current(name: str) -> None:
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == pages()[name], "run `make docs`"


def test_every_alert_says_what_to_do() -> None:
    headings = re.findall(r"^### (.+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE)
    rules = re.findall(r"alert: (\w+)", (ROOT / "packaging" / "prometheus-rules.yml").read_text(encoding="utf-8"))
    assert len(rules) > 5
    assert [kind.value for kind in AlertKind] == [name for name in headings if name in set(AlertKind)]
    assert rules == headings[len(AlertKind) :]


def test_rules_speak_of_figures_there_are() -> None:
    known = {name for name, _, _ in described()}
    text = (ROOT / "packaging" / "prometheus-rules.yml").read_text(encoding="utf-8")
    used = set(re.findall(r"everpost_\w+", text))
    assert used
    assert {name.removesuffix("_bucket") for name in used} <= known


def test_every_command_that_a_page_names_exists() -> None:
    known = set(re.findall(r"^#{2,3} everpost (.+)$", commands_page(), re.MULTILINE))
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for words in re.findall(r"`everpost ((?:[a-z-]+ ?)+)", page.read_text(encoding="utf-8")):
            command, *rest = words.split()
            group = any(name.startswith(f"{command} ") for name in known)
            assert command in known, (page.name, words)
            assert not group or not rest or f"{command} {rest[0]}" in known, (page.name, words)


def test_it_has_every_command_with_its_options() -> None:
    page = commands_page()
    for heading in (
        "## everpost status",
        "## everpost queue",
        "### everpost queue suspend",
        "### everpost message show",
    ):
        assert f"\n{heading}\n" in page
    section = page.split("\n### everpost queue suspend\n")[1].split("\n### ")[0]
    assert "    everpost queue suspend [OPTIONS] [LANE]" in section
    assert "| `--until TIME` | It ends by itself then, like 2025-03-01T22:00. |" in section
    silent = re.findall(r"^\| `--[^`]*` \|(?: \[[^]]*\])? *\|$", page, re.MULTILINE)
    assert silent == []  # every option says what it means


def test_nothing_in_it_depends_on_the_machine() -> None:
    assert str(Path.home()) not in commands_page()
    assert str(PAGE.parents[1]) not in commands_page()
