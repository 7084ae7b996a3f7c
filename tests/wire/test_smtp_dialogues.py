"""Dialogue scripts, each played line by line, octet by octet, and all at once.

`C:` the client's line (CRLF is added; `C~` adds none), `S:` the server's, `M:` a message the host accepted,
`!: tls` the handshake, `# name=value` the profile. Backslash escapes as in Python.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from everpost.wire.smtp.events import Event, ServerLimits, ServerProfile
from smtp_tools.host import Host

FOLDER = Path(__file__).parent / "dialogues"
SCRIPTS = sorted(FOLDER.glob("*.txt"))


def octets(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


def profile(lines: list[str]) -> ServerProfile:
    limits: dict[str, int] = {}
    values: dict[str, object] = {"hostname": "mx.example.org"}
    for line in lines:
        if not line.startswith("# "):
            continue
        for word in line[2:].split():
            name, _, value = word.partition("=")
            if name in {field.name for field in fields(ServerLimits)}:
                limits[name] = int(value)
            elif name == "auth_mechanisms":
                values[name] = tuple(value.split(","))
            else:
                values[name] = value == "1"
    return ServerProfile(limits=ServerLimits(**limits), **values)  # type: ignore[arg-type]


def play(script: Path, mode: str) -> list[Event]:
    lines = script.read_text("utf-8").split("\n")
    host = Host(profile(lines))
    host.run()
    pending, expected, messages = b"", b"", []

    def feed() -> None:
        nonlocal pending
        step = 1 if mode == "octets" else max(len(pending), 1)
        for start in range(0, len(pending), step):
            host.feed(pending[start : start + step])
        pending = b""

    def check() -> None:
        feed()
        assert host.sent.decode().split("\r\n") == expected.decode().split("\r\n")

    for line in lines:
        mark, rest = line[:2], line[3:]
        if mark in ("C:", "C~"):
            if mode == "lines":
                check()
            pending += octets(rest) + (b"\r\n" if mark == "C:" else b"")
        elif mark == "S:":
            expected += rest.encode() + b"\r\n"
        elif mark == "M:":
            messages.append(octets(rest))
        elif mark == "!:":
            check()
            assert host.wants_tls
            host.start_tls()
    check()
    assert host.messages == messages
    host.feed(b"")
    return host.events


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_dialogue_does_not_depend_on_how_it_is_cut(script: Path) -> None:
    by_line = play(script, "lines")
    assert play(script, "octets") == by_line
    assert play(script, "at once") == by_line


def test_there_are_dialogues() -> None:
    assert len(SCRIPTS) >= 10
