"""The trace of a message and its original bytes."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from pathlib import Path

from app_tools import CONTENT, Office, number_of
from everpost.intake.submission import Source

ORG = ("--org", "example")


async def test_the_trace_of_a_message(office: Office) -> None:
    message = await office.accept("team@example.org", subject="Plan")
    await office.everpost.run("queue", "hold", message, "ben@example.org", "--reason", "odd", *ORG)
    await office.execute(
        "INSERT INTO attempt SELECT organisation_id, message_id, number, 1, now(), 'mx.example', 'queued', '450 later'"
        " FROM delivery WHERE number = 0"
    )
    await office.execute(
        "UPDATE delivery SET attempts = 1, last_remote = 'mx.example', last_reply = '450 later' WHERE number = 0"
    )
    found = await office.everpost.json("message", "show", message, *ORG)
    content = CONTENT % (b"Plan", b"one@example.com")
    assert found["message"]["id"] == message
    assert found["message"]["digest"] == hashlib.sha256(content).hexdigest()
    assert (found["message"]["source"], found["message"]["direction"]) == ("mx", "inbound")
    assert (found["message"]["header_id"], found["message"]["subject"]) == ("one@example.com", "Plan")
    assert [(each["address"], each["folders"], each["origin"]) for each in found["entries"]] == [
        ("anna@example.org", ["Inbox"], "wire"), ("ben@example.org", ["Inbox"], "wire"),
    ]  # fmt: skip
    assert [(each["accepted_as"], each["lane"], each["status"]) for each in found["deliveries"]] == [
        ("team@example.org", "primary:main", "queued"), ("team@example.org", "primary:main", "held"),
    ]  # fmt: skip
    assert [each["reply"] for each in found["deliveries"][0]["failures"]] == ["450 later"]
    assert [each["action"] for each in found["events"]] == ["intake.accept", "queue.hold"]
    told = await office.everpost.run("message", "show", message, *ORG)
    for part in ("anna@example.org: Inbox (wire)", "attempt 1: mx.example: 450 later", "held: operator",
                 "queue.hold by cli", "ben@example.org; odd", "accepted as team@example.org"):  # fmt: skip
        assert part in told


async def test_what_strangers_write_stays_on_its_line(office: Office) -> None:
    message = await office.accept("anna@example.org", subject="=?utf-8?q?=1B[31mred=0D=0Aqueue.hold_by_root?=")
    told = await office.everpost.run("message", "show", message, *ORG)
    assert "\x1b" not in told
    assert not any(line.strip().startswith("queue.hold") for line in told.splitlines())


async def test_found_by_message_id(office: Office) -> None:
    first = await office.accept("anna@example.org", message_id="a@x.example")
    again = await office.accept("ben@example.org", message_id="a@x.example")
    bounce = await office.accept(
        "zoe@elsewhere.example", sender=None, source=Source.SMARTHOST, owner="example", message_id="b@x.example"
    )
    for spelled in ("a@x.example", "<a@x.example>"):
        found = await office.everpost.json("message", "find", spelled, *ORG)
        assert [each["id"] for each in found] == [first, again]
    assert [each["id"] for each in await office.everpost.json("message", "find", "<b@x.example>", *ORG)] == [bounce]
    assert await office.everpost.json("message", "find", "<c@x.example>", *ORG) == []
    assert await office.everpost.json("message", "find", "a@x.example", "--org", "other") == []
    assert "looks like" in await office.everpost.error("message", "find", "<>", *ORG, code=2)
    assert first in await office.everpost.run("message", "find", "a@x.example", *ORG)


async def test_export_is_the_original_and_is_audited(office: Office, tmp_path: Path) -> None:
    message = await office.accept("anna@example.org", subject="Plan")
    content = CONTENT % (b"Plan", b"one@example.com")
    assert await office.everpost.bytes("message", "export", message, *ORG) == content
    target = tmp_path / "one.eml"
    told = await office.everpost.json("message", "export", message, "--output", str(target), "--reason", "x", *ORG)
    assert (told["octets"], told["file"]) == (len(content), str(target))
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "--force" in await office.everpost.error("message", "export", message, "--output", str(target), *ORG)
    await office.everpost.run("message", "export", message, "--output", str(target), "--force", *ORG)
    lost = tmp_path / "none" / "one.eml"
    told = await office.everpost.run("message", "export", message, "--output", str(lost), *ORG, code=1)
    assert "cannot be written" in told
    assert sorted(tmp_path.glob("**/*.eml*")) == [target]
    events = await office.events()
    assert {(action, subject) for action, subject, _ in events} == {("message.export", f"message {message}")}
    assert [detail.get("reason") for _, _, detail in events][:2] == [None, "x"]
    found = await office.everpost.json("message", "show", message, *ORG)
    assert [each["action"] for each in found["events"]].count("message.export") == len(events)


async def test_unreadable_bytes_are_said_and_leave_no_file(office: Office, tmp_path: Path) -> None:
    message = await office.accept("anna@example.org")
    await office.execute("UPDATE blob SET data = 'x'")
    target = tmp_path / "one.eml"
    assert "cannot be read" in await office.everpost.error("message", "export", message, "--output", str(target), *ORG)
    assert not target.exists()
    assert await office.events() == []


async def test_nobody_sees_another_organisations_mail(office: Office, tmp_path: Path) -> None:
    message = await office.accept("anna@example.org")
    for words in (("show", message), ("export", message, "--output", str(tmp_path / "x.eml"))):
        told = await office.everpost.error("message", *words, "--org", "other")
        assert "there is no message" in told
        assert "Hello" not in told
    assert not (tmp_path / "x.eml").exists()
    for words in (("show", "no id"), ("export", "no id", "--output", "x")):
        assert "not an identifier" in await office.everpost.error("message", *words, *ORG, code=2)
    assert "there is no message" in await office.everpost.error("message", "show", "ZZZ", *ORG)
    assert number_of(message) > 0


async def test_json_wants_a_file_for_the_bytes(office: Office) -> None:
    message = await office.accept("anna@example.org")
    done = await asyncio.to_thread(office.everpost.invoke, "message", "export", message, "--json", *ORG)
    assert done.exit_code == 2
    assert "--output" in done.stderr
