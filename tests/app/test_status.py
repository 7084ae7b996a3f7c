"""One page of what is going on, and what needs a person."""

from __future__ import annotations

import re

from app_tools import Office
from everpost.app.cli.context import EXIT_DATABASE
from everpost.app.config import load_config

ORG = ("--org", "example")


async def worker(office: Office, run: int = 1, *, seen: str = "0 s", generation: int = 1_000_000) -> None:
    await office.execute(
        "INSERT INTO worker (run, host, pid, seen_at, generation)"
        " VALUES ($1, 'node', 42, now() - $2::text::interval, $3)",
        run, seen, generation,
    )  # fmt: skip


async def problems(office: Office) -> list[str]:
    """By --check, in both forms."""
    found = (await office.everpost.json("status"))["problems"]
    code = 1 if found else 0
    assert (await office.everpost.run("status", "--check", code=code)).splitlines() == found
    assert (await office.everpost.json("status", "--check", code=code))["problems"] == found
    return found


async def test_nothing_needs_a_person(office: Office) -> None:
    await worker(office)
    assert await problems(office) == []


async def test_workers(office: Office) -> None:
    assert await problems(office) == ["no worker is alive: start `everpost serve`"]
    await worker(office, 1, seen="20 s")
    assert await problems(office) == ["no worker is alive: start `everpost serve`"]
    await worker(office, 2, generation=0)
    found = (await office.everpost.json("status"))["workers"]
    assert [(each["run"], each["alive"], each["behind"]) for each in found] == [(1, False, False), (2, True, True)]
    told = await office.everpost.run("status")
    assert "node pid 42 (run 1): NOT SEEN for 20 s" in told
    assert "does not act upon the latest switch yet" in told


async def test_primaries_that_nothing_takes_the_place_of(office: Office) -> None:
    await worker(office)
    await office.execute("UPDATE primary_server SET trust_state = 'down', state_reason = 'connect'")
    found = await problems(office)
    assert found == [
        f"{org}: primary main is down and nothing takes its place: `everpost activate --primary main`"
        for org in ("example", "other")
    ]
    assert "main: DOWN since" in await office.everpost.run("status")
    await office.everpost.run("activate", "--domain", "example.org", "--reason", "power cut", *ORG)
    assert [each.split(":")[0] for each in await problems(office)] == ["other"]
    await office.execute("UPDATE primary_server SET trust_state = 'suspect'")
    assert any("main is suspect" in each for each in await problems(office))
    status = await office.everpost.json("status", *ORG)
    (activation,) = status["organisations"][0]["activations"]
    assert (activation["scope_kind"], activation["scope_name"]) == ("domain", "example.org")
    assert (activation["reason"], activation["cause"]) == ("power cut", "person")
    assert "domain example.org: since" in await office.everpost.run("status", *ORG)


async def test_held_deliveries_and_alerts(office: Office) -> None:
    await worker(office)
    await office.accept("anna@example.org", "ben@example.org")
    await office.execute("UPDATE delivery SET status = 'held', hold_reason = 'refused by primary' WHERE number = 0")
    await office.everpost.run("contact", "add", "ops@elsewhere.example", *ORG)
    await office.execute(
        "INSERT INTO alert (organisation_id, id, kind, subject, text, at)"
        " SELECT id, 1, 'primary down', 'Down', '', now() FROM organisation WHERE name = 'example'"
    )
    await office.execute(
        "INSERT INTO alert_call (organisation_id, alert_id, contact_id) SELECT organisation_id, 1, id FROM contact"
    )
    refused = "example: deliveries held as refused by the primary: 1: `everpost queue list --held`"
    assert await problems(office) == [refused]  # the alert has had no time yet
    await office.execute("UPDATE alert SET at = now() - interval '2 minutes'")
    await office.execute("UPDATE alert_call SET attempts = 3, last_result = 'ConnectError: no'")
    missed = "example: alerts not delivered: 1, the latest to ops@elsewhere.example: ConnectError: no"
    assert await problems(office) == [refused, missed]
    await office.execute("UPDATE alert_call SET attempts = 12, done_at = now()")
    assert await problems(office) == [refused, missed]
    await office.execute("UPDATE alert_call SET attempts = 2")
    assert await problems(office) == [refused]
    found = await office.everpost.json("status", *ORG)
    assert [(row["lane"], row["status"], row["count"]) for row in found["organisations"][0]["queue"]] == [
        ("primary:main", "held", 1), ("primary:main", "queued", 1),
    ]  # fmt: skip
    told = await office.everpost.run("status", *ORG)
    assert re.search(r"primary:main: 1 held: refused by primary, 1 queued; the oldest \d+ s", told)


async def test_suspensions(office: Office) -> None:
    await office.everpost.run("queue", "suspend", "primary:main", "--reason", "new disk", *ORG)
    found = (await office.everpost.json("status"))["organisations"]
    assert [[(each["lane"], each["reason"]) for each in org["suspensions"]] for org in found] == [
        [("primary:main", "new disk")], [],
    ]  # fmt: skip
    told = await office.everpost.run("status")
    assert re.search(r"suspended +primary:main by cli\S*, \d+ s ago: new disk", told)


async def test_failbacks_and_counts(office: Office) -> None:
    await worker(office)
    await office.everpost.run("activate", "--primary", "main", "--reason", "test", *ORG)
    await office.accept("anna@example.org")
    begun = await office.everpost.json("deactivate", "--primary", "main", *ORG)
    found = await office.everpost.json("status")
    assert [each["name"] for each in found["organisations"]] == ["example", "other"]
    (failback,) = found["organisations"][0]["failbacks"]
    assert (failback["id"], failback["state"], failback["returned"]) == (begun["failback"], "running", 0)
    assert failback["mailboxes"] == 2
    assert [each["mailboxes"] for each in found["organisations"]] == [2, 1]
    assert found["database"].keys() >= {"kind", "version", "octets", "messages_estimate", "entries_estimate"}
    assert found["database"]["octets"] > 1_000_000
    await office.everpost.run("failback", "pause", begun["failback"], "--reason", "lunch", *ORG)
    assert await problems(office) == [f"example: failback {begun['failback']} is paused: lunch"]
    assert "0 of 2 mailboxes are back" in await office.everpost.run("status", *ORG)
    assert "no organisation 'none'" in await office.everpost.error("status", "--org", "none")


async def test_what_strangers_write_stays_on_its_line(office: Office) -> None:
    await office.execute(
        "INSERT INTO probe_result"
        " SELECT organisation_id, id, now(), false, 'banner', $1, 1, now(), 1 FROM primary_server",
        "\x1b[2J220 hello\r\nall is well",
    )
    told = await office.everpost.run("status")
    assert "\x1b" not in told
    assert not any(line.startswith("all is well") for line in told.splitlines())


async def test_database_away(office: Office) -> None:
    config = office.everpost.config
    dsn = load_config(config, {}).database
    config.write_text(config.read_text().replace(dsn, "postgresql://x@127.0.0.1:1/x"))
    await office.everpost.error("status", code=EXIT_DATABASE)
