"""What a person can do about the queue: each verb, its audit, its limits, and nothing of another organisation."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from app_tools import Office, number_of
from everpost.intake.submission import Source
from everpost.queue.model import CHANNEL

QUEUED = ("queued", None)
HELD = ("held", "operator")


async def test_hold_and_release_of_a_message_and_of_one_recipient(office: Office) -> None:
    message = await office.accept("anna@example.org", "ben@example.org")
    done = await office.everpost.json(
        "queue", "hold", message, "ben@example.org", "--org", "example", "--reason", "odd"
    )
    assert done["message"] == message
    assert [(each["recipient"], each["status"]) for each in done["done"]] == [("ben@example.org", "held")]
    assert await office.statuses(message) == [QUEUED, HELD]
    told = await office.everpost.run("queue", "hold", message, "--org", "example")
    assert "held anna@example.org" in told
    assert "left alone ben@example.org: it is held already (operator)" in told
    assert "nothing was held" in await office.everpost.error("queue", "hold", message, "--org", "example")
    await office.everpost.run("queue", "release", message, "ANNA@example.org", "--org", "example")
    assert await office.statuses(message) == [QUEUED, HELD]
    assert "queued already" in await office.everpost.error(
        "queue", "release", message, "anna@example.org", "--org", "example"
    )
    assert await office.events() == [
        ("queue.hold", f"message {message}", {"message": message, "recipients": ["ben@example.org"], "reason": "odd"}),
        ("queue.hold", f"message {message}", {"message": message, "recipients": ["anna@example.org"]}),
        ("queue.release", f"message {message}", {"message": message, "recipients": ["anna@example.org"]}),
    ]


async def test_a_group_is_named_as_it_was_accepted(office: Office) -> None:
    message = await office.accept("team@example.org")
    assert (
        len((await office.everpost.json("queue", "hold", message, "team@example.org", "--org", "example"))["done"]) == 2
    )


async def test_retry(office: Office) -> None:
    message = await office.accept("anna@example.org", "ben@example.org")
    await office.execute("UPDATE delivery SET next_attempt_at = now() + interval '1 hour'")
    await office.execute("UPDATE delivery SET leased_by = 7 WHERE number = 1")
    told = await office.everpost.run("queue", "retry", message, "--org", "example")
    assert "left alone ben@example.org: it is being attempted just now" in told
    due = "SELECT number, next_attempt_at <= now() FROM delivery ORDER BY number"
    assert await office.fetch(due) == [(0, True), (1, False)]
    await office.execute("UPDATE delivery SET next_attempt_at = now() + interval '1 hour', leased_by = NULL")
    assert await office.everpost.json("queue", "retry", "--lane", "primary:main", "--org", "other", code=1)
    told = await office.everpost.run("queue", "retry", "--lane", "primary:main", "--org", "example")
    assert told == "2 deliveries are due now\n"
    await office.execute("UPDATE delivery SET next_attempt_at = now() + interval '1 hour'")
    assert await office.everpost.json("queue", "retry", "--all", "--org", "other") == {"deliveries": 0}
    assert await office.everpost.json("queue", "retry", "--all", "--org", "example") == {"deliveries": 2}
    assert "exactly one" in await office.everpost.error("queue", "retry", "--org", "example", code=2)
    lane = (await office.fetch("SELECT DISTINCT lane FROM delivery"))[0][0]
    assert [(action, subject) for action, subject, _ in await office.events()] == [
        ("queue.retry", f"message {message}"), ("queue.retry", f"lane {lane}"), ("queue.retry", "all lanes"),
    ]  # fmt: skip


async def test_expire_tells_the_sender_unless_asked_not_to(office: Office) -> None:
    from everpost.mail.envelope import Notify

    for notify, report in ((None, "failed"), (Notify.FAILURE, "failed"), (Notify.NEVER, None)):
        message = await office.accept(
            "zoe@elsewhere.example", sender="anna@example.org", source=Source.SMARTHOST, owner="example", notify=notify
        )
        await office.everpost.run("queue", "expire", message, "--org", "example")
        rows = await office.fetch(
            "SELECT status, report_due, last_reply FROM delivery WHERE message_id = $1", number_of(message)
        )
        assert rows == [("expired", report, "550 5.4.7 Expired by the administrator")]
        assert "expired already" in await office.everpost.error("queue", "expire", message, "--org", "example")
    assert [action for action, _, _ in await office.events()] == ["queue.expire"] * 3


async def test_expire_of_what_can_wait_is_refused(office: Office) -> None:
    message = await office.accept("anna@example.org")

    async def refused() -> str:
        return await office.everpost.error("queue", "expire", message, "--org", "example")

    await office.execute("UPDATE delivery SET leased_by = 7, next_attempt_at = now() + interval '1 minute'")
    assert "being attempted" in await refused()
    await office.execute("UPDATE delivery SET leased_by = NULL, hold_reason = 'returning'")
    assert "a failback has it in hand" in await refused()
    assert "a failback has it in hand" in await office.everpost.error("queue", "hold", message, "--org", "example")
    await office.execute("UPDATE delivery SET hold_reason = NULL")
    for state in ("down", "suspect", "compromised", "recovering"):
        await office.execute("UPDATE primary_server SET trust_state = $1", state)
        assert f"the primary main is {state}" in await refused()
    await office.execute("UPDATE primary_server SET trust_state = 'trusted'")
    await office.everpost.run("activate", "--mailbox", "anna@example.org", "--reason", "test")
    assert "waits for the failback" in await refused()
    assert await office.events() == []
    await office.everpost.run("deactivate", "--mailbox", "anna@example.org")
    await office.execute("UPDATE delivery SET status = 'queued', hold_reason = NULL")
    await office.execute("UPDATE activation SET ended_at = now()")
    await office.everpost.run("queue", "expire", message, "--org", "example")


async def test_release_lets_nothing_out_to_a_compromised_primary(office: Office) -> None:
    message = await office.accept("anna@example.org")
    await office.everpost.run("queue", "hold", message, "--org", "example")
    await office.everpost.run("trust", "isolate", "main", "--reason", "odd", "--org", "example")
    told = await office.everpost.error("queue", "release", message, "--org", "example")
    assert "main is isolated as compromised" in told
    assert "clean-bill main" in told
    assert await office.statuses(message) == [HELD]


async def test_release_lets_nothing_out_that_a_compromised_primary_relayed(office: Office) -> None:
    sent = [
        await office.accept("zoe@elsewhere.example", sender=sender, source=Source.SMARTHOST, owner="example")
        for sender in ("anna@example.org", None)
    ]
    own = await office.accept(
        "zoe@elsewhere.example", sender="anna@example.org", source=Source.SUBMISSION, owner="example"
    )
    for message in (*sent, own):
        await office.everpost.run("queue", "hold", message, "--org", "example")
    await office.everpost.run("trust", "isolate", "main", "--reason", "odd", "--org", "example")
    for message in sent:
        assert "relayed it is isolated" in await office.everpost.error("queue", "release", message, "--org", "example")
    await office.everpost.run("queue", "release", own, "--org", "example")
    assert await office.statuses(own) == [QUEUED]


async def test_release_leaves_to_the_failback_what_belongs_to_it(office: Office) -> None:
    message = await office.accept("anna@example.org", "ben@example.org")
    await office.everpost.run("queue", "hold", message, "--org", "example")
    await office.everpost.run("activate", "--mailbox", "anna@example.org", "--reason", "test")
    told = await office.everpost.run("queue", "release", message, "--org", "example")
    assert "released anna@example.org: its mailbox is at the standby" in told
    assert await office.statuses(message) == [("held", "activated"), QUEUED]
    assert "the failback brings it" in await office.everpost.error(
        "queue", "release", message, "anna@example.org", "--org", "example"
    )


async def test_a_released_delivery_is_not_attempted_beside_an_attempt_under_way(office: Office) -> None:
    message = await office.accept("anna@example.org")
    await office.execute("UPDATE delivery SET leased_by = 7, next_attempt_at = now() + interval '1 minute'")
    assert "if it succeeds, it counts" in await office.everpost.run("queue", "hold", message, "--org", "example")
    assert "not ended yet" in await office.everpost.error("queue", "expire", message, "--org", "example")
    await office.everpost.run("queue", "release", message, "--org", "example")
    assert await office.fetch("SELECT next_attempt_at > now(), leased_by FROM delivery") == [(True, 7)]


async def test_a_row_in_a_workers_hands_is_left_alone_without_waiting(office: Office, database_dsn: str) -> None:
    message = await office.accept("anna@example.org", "ben@example.org")
    worker = await asyncpg.connect(database_dsn)
    async with worker.transaction():
        await worker.execute("UPDATE delivery SET attempts = 1 WHERE number = 0")
        told = await office.everpost.json("queue", "hold", message, "--org", "example")
    await worker.close()
    assert [each["why"] for each in told["left"]] == ["a worker has it in hand just now"]
    assert await office.statuses(message) == [QUEUED, HELD]


async def test_suspend_and_resume(office: Office) -> None:
    run, error = office.everpost.run, office.everpost.error
    await office.accept("zoe@gmail.example", sender="anna@example.org", source=Source.SUBMISSION, owner="example")
    org = ("--org", "example")
    assert await run("queue", "suspend", "gmail.example", "--reason", "blocked", *org) == "gmail.example suspended\n"
    told = await run("queue", "suspend", "gmial.example", "--reason", "x", *org)
    assert "nothing waits for it just now (did you mean gmail.example?)" in told
    await run("queue", "suspend", "primary:main", "--reason", "tests", "--until", "2999-01-01T00:00", *org)
    await run("queue", "suspend", "--all", "--reason", "everything", *org)
    found = await office.everpost.json("queue", "suspensions", *org)
    assert [(each["lane"], each["reason"], each["expires_at"] is None) for each in found["suspensions"]] == [
        ("all lanes", "everything", True), ("gmail.example", "blocked", True), ("gmial.example", "x", True),
        ("primary:main", "tests", False),
    ]  # fmt: skip
    assert found["bindings"] == []
    assert (await office.everpost.json("queue", "suspensions", "--org", "other"))["suspensions"] == []
    assert "no suspension of primary:main" in await error("queue", "resume", "primary:main", "--org", "other")
    assert "(did you mean gmail.example?)" in await error("queue", "resume", "gmaill.example", *org)
    for lane in ("gmail.example", "primary:main", "--all"):
        await run("queue", "resume", lane, *org)
    assert "before it begins" in await error(
        "queue", "suspend", "--all", "--reason", "x", "--until", "2001-01-01T00:00", *org
    )
    assert "give one, or --all" in await error("queue", "suspend", "--reason", "x", *org, code=2)
    assert [(action, subject) for action, subject, _ in await office.events()][:2] == [
        ("queue.suspend", "lane domain:gmail.example"), ("queue.suspend", "lane domain:gmial.example"),
    ]  # fmt: skip
    assert [action for action, _, _ in await office.events()].count("queue.resume") == 3
    assert await run("queue", "suspensions", *org)


async def test_rebind_and_unbind(office: Office) -> None:
    org = ("--org", "example")
    told = await office.everpost.run("queue", "rebind", "primary:main", "127.0.0.1:2525", *org)
    assert told.startswith("primary:main goes to 127.0.0.1:2525")
    await office.everpost.run("queue", "rebind", "elsewhere.example", "[2001:db8::1]", *org)
    found = (await office.everpost.json("queue", "suspensions", *org))["bindings"]
    assert [(each["lane"], each["host"], each["port"]) for each in found] == [
        ("elsewhere.example", "2001:db8::1", 25), ("primary:main", "127.0.0.1", 2525),
    ]  # fmt: skip
    error = office.everpost.error
    assert "not sent elsewhere" in await error("queue", "unbind", "primary:main", "--org", "other")
    await office.everpost.run("queue", "unbind", "primary:main", *org)
    assert "those that are: elsewhere.example" in await error("queue", "unbind", "primary:main", *org)
    for server in ("", "::1", "host:0", "host:65536", "host:x"):
        await error("queue", "rebind", "primary:main", server, *org, code=2)
    assert [action for action, _, _ in await office.events()] == ["queue.rebind", "queue.rebind", "queue.unbind"]


@pytest.mark.parametrize(
    ("lane", "says"),
    [
        ("primary:mian", "did you mean main?"),
        ("primary:x", "there are: main"),
        ("main", "written primary:main"),
        ("nonsense", "is no lane"),
        ("two words.example", "is no lane"),
        ("", "is no lane"),
        ("x" * 300, "is no lane"),
    ],
)
async def test_lanes_that_are_none(office: Office, lane: str, says: str) -> None:
    assert says in await office.everpost.error("queue", "suspend", lane, "--reason", "x", "--org", "example")
    assert says in await office.everpost.error("queue", "list", "--lane", lane or " ", "--org", "example")


async def test_ids_and_recipients_that_are_none(office: Office) -> None:
    message = await office.accept("anna@example.org")
    error = office.everpost.error
    for verb in ("hold", "release", "retry", "expire"):
        assert "not an identifier" in await error("queue", verb, "nonsense!", "--org", "example", code=2)
        assert "there is no message ZZZ" in await error("queue", verb, "ZZZ", "--org", "example")
        told = await error("queue", verb, message, "ben@example.org", "--org", "example")
        assert "is no recipient" in told
        assert "anna@example.org" in told


async def test_nobody_touches_another_organisations_mail(office: Office) -> None:
    message = await office.accept("anna@example.org")
    for verb in ("hold", "release", "retry", "expire"):
        told = await office.everpost.error("queue", verb, message, "--org", "other")
        assert "there is no message" in told
        assert "anna" not in told
    assert await office.statuses(message) == [QUEUED]
    assert await office.everpost.json("queue", "list", "--org", "other") == []
    assert await office.everpost.json("queue", "counts", "--org", "other") == []
    assert await office.events("other") == []
    assert [row["message_id"] for row in await office.everpost.json("queue", "list", "--org", "example")] == [message]


async def test_list_and_counts(office: Office) -> None:
    first = await office.accept("anna@example.org", "ben@example.org")
    await office.accept(
        "zoe@elsewhere.example", sender="anna@example.org", source=Source.SMARTHOST, owner="example", subject="Out"
    )
    await office.everpost.run("queue", "hold", first, "ben@example.org", "--org", "example")
    rows = await office.everpost.json("queue", "list", "--org", "example")
    assert [(row["recipient"], row["status"], row["lane"]) for row in rows] == [
        ("anna@example.org", "queued", "primary:main"),
        ("zoe@elsewhere.example", "queued", "elsewhere.example"),
        ("ben@example.org", "held", "primary:main"),
    ]
    assert rows[0].keys() >= {"message_id", "number", "reverse_path", "subject", "attempts", "next_attempt_at", "size"}

    async def listed(*words: str) -> list[str]:
        return [row["recipient"] for row in await office.everpost.json("queue", "list", "--org", "example", *words)]

    assert await listed("--held") == ["ben@example.org"]
    assert len(await listed("--queued")) == 2
    assert await listed("--lane", "Elsewhere.example") == ["zoe@elsewhere.example"]
    assert await listed("--search", "CORA@") == ["anna@example.org", "ben@example.org"]
    assert await listed("--search", "%") == []
    assert len(await listed("--limit", "1")) == 1
    assert "--limit shows more" in await office.everpost.run("queue", "list", "--org", "example", "--limit", "1")
    counts = await office.everpost.json("queue", "counts", "--org", "example")
    assert [(row["lane"], row["status"], row["hold_reason"], row["count"]) for row in counts] == [
        ("elsewhere.example", "queued", None, 1),
        ("primary:main", "held", "operator", 1),
        ("primary:main", "queued", None, 1),
    ]
    assert all(row["oldest"] for row in counts)


async def test_what_strangers_write_does_not_break_the_table(office: Office) -> None:
    long = "x" * 60 + "@" + ".".join(["label" * 8] * 4) + ".example"
    await office.accept(
        "anna@example.org", sender=long, subject="=?utf-8?q?=1B[31mred=0D=0A=E2=80=AE" + "y" * 900 + "?="
    )
    await office.execute("UPDATE delivery SET last_reply = $1", "450 \x1b]0;title\x07" + "z" * 900)
    told = await office.everpost.run("queue", "list", "--org", "example")
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert max(len(line) for line in told.splitlines()) <= 200
    assert len(told.splitlines()) < 12
    (row,) = await office.everpost.json("queue", "list", "--org", "example")
    assert row["reverse_path"] == long
    assert len(row["subject"]) > 800


async def test_workers_are_woken_where_there_is_something_to_do(office: Office, database_dsn: str) -> None:
    message = await office.accept("anna@example.org")
    listener = await asyncpg.connect(database_dsn)
    heard: asyncio.Queue[str] = asyncio.Queue()
    await listener.add_listener(CHANNEL, lambda *values: heard.put_nowait(values[3]))
    org = ("--org", "example")
    await office.everpost.run("queue", "hold", message, *org)
    for words in (
        ("release", message), ("retry", message), ("suspend", "--all", "--reason", "x"), ("resume", "--all"),
        ("rebind", "primary:main", "127.0.0.1"), ("unbind", "primary:main"),
    ):  # fmt: skip
        await office.everpost.run("queue", *words, *org)
        assert await asyncio.wait_for(heard.get(), 5) == ""
    assert heard.empty()
    await listener.close()
