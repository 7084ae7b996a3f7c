"""What the operations do, and refuse."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from api_tools.house import House
from api_tools.samples import WORKER
from continuity.setting import add_delivery, execute, fetch
from everpost.store.ids import decode_id
from world import until

REASON = {"reason": "looks odd"}
CORA = {"kind": "mailbox", "name": "cora@example.org"}


async def refused(house: House, name: str, body: Any = None, **more: Any) -> tuple[int, str]:
    answer = await house.call(name, body, **more)
    return answer.status_code, answer.json()["code"]


async def overview(house: House) -> Any:
    [found] = (await house.get("get_overview"))["organisations"]
    return found


async def test_trust(house: House) -> None:
    assert await refused(house, "clear_primary", REASON) == (409, "impossible")
    assert (await house.get("doubt_primary", REASON))["state"] == "suspect"
    [primary] = (await overview(house))["primaries"]
    assert (primary["trust_state"], primary["state_reason"], primary["state_actor"], primary["id"]) == (
        "suspect", "looks odd", "admin:example-admin", house.things["example"].ids["primary"],
    )  # fmt: skip
    assert (await house.get("clear_primary", REASON))["state"] == "trusted"
    isolated = await house.get("isolate_primary", REASON)
    assert (isolated["state"], isolated["confirmed"]) == ("compromised", True)
    bill = {"rebuilt": True, "credentials_rotated": True, "way_in_closed": False, "forwarding_checked": True}
    incomplete = await house.call("give_clean_bill", bill | {"evidence": ""})
    assert incomplete.json()["detail"] == "not confirmed: way in closed, evidence"
    complete = bill | {"way_in_closed": True, "evidence": "report 7"}
    assert (await house.get("give_clean_bill", complete))["state"] == "down"
    problems = (await house.get("get_overview"))["problems"]
    assert "no worker is alive: start `everpost serve`" in problems


async def test_a_primary_says_how_much_it_is_the_home_of(house: House) -> None:
    example, other = (await house.get("get_overview", who="root"))["organisations"]
    for seen in (example, other):
        [primary] = seen["primaries"]
        assert (primary["domains"], primary["mailboxes"]) == (1, 3)
    organisation_id, domain_id = house.things["example"].organisation.id, 77
    await execute(
        house.database, "INSERT INTO domain VALUES ($1, $2, 'more.example', NULL, NULL, NULL)",
        organisation_id, domain_id,
    )  # fmt: skip
    [primary] = (await overview(house))["primaries"]
    assert (primary["domains"], primary["mailboxes"]) == (1, 3)  # that domain is another's
    await execute(
        house.database, "UPDATE domain SET primary_id = (SELECT id FROM primary_server WHERE organisation_id = $1) "
        "WHERE organisation_id = $1 AND id = $2", organisation_id, domain_id,
    )  # fmt: skip
    [primary] = (await overview(house))["primaries"]
    assert (primary["domains"], primary["mailboxes"]) == (2, 3)


async def test_isolation_says_when_a_worker_has_not_confirmed(house: House) -> None:
    await execute(house.database, WORKER.replace("1000000", "0"))
    assert (await house.get("isolate_primary", REASON))["confirmed"] is False


async def test_activation(house: House) -> None:
    scopes = {(each["kind"], each["name"]): each for each in (await house.get("list_scopes", search="CORA"))["scopes"]}
    assert {key: each["mailboxes"] for key, each in scopes.items()} == {
        ("organisation", "example"): 3, ("primary", "main"): 3, ("domain", "example.org"): 3, ("group", "Team"): 2,
        ("mailbox", "cora@example.org"): 1,
    }  # fmt: skip
    domain = {"kind": "domain", "id": scopes["domain", "example.org"]["id"]}
    affected = await house.get("preview_activation", {"scope": domain})
    assert (affected["mailboxes"], affected["moving"], affected["names"], affected["activated"]) == (
        3, 1, ["cora@example.org"], False,
    )  # fmt: skip
    made = await house.get("activate", {"scope": domain, "reason": "storm", "opens_access": False})
    assert (made["mailboxes"], made["opens_access"], made["actor"], made["scope"]["name"]) == (
        3, False, "admin:example-admin", "example.org",
    )  # fmt: skip
    again = await house.get("activate", {"scope": domain, "reason": "again"})
    assert again["id"] == made["id"]
    ended = await house.get("end_activation", REASON, ids={"activation": made["id"]})
    assert ended == {"ended": True, "failback": None}
    assert await refused(house, "end_activation", REASON, ids={"activation": made["id"]}) == (409, "impossible")
    shown = (await house.get("list_activations", ended="true"))["activations"]
    assert made["id"] in [each["id"] for each in shown if each["ended_at"]]
    assert [each["id"] for each in (await house.get("list_activations", limit=1, offset=1))["activations"]]


async def test_scheduled_activations(house: House) -> None:
    now = datetime.now(UTC)
    later, sooner = (now + timedelta(hours=2)).isoformat(), (now + timedelta(hours=1)).isoformat()
    asked = {"scope": CORA, "reason": "move", "starts_at": sooner, "ends_at": later}
    planned = await house.get("activate", asked)
    assert planned["started_at"] is None
    assert await refused(house, "activate", asked | {"starts_at": later, "ends_at": sooner}) == (409, "impossible")
    naive = await house.call("activate", asked | {"starts_at": "2030-01-01T10:00:00"})
    assert (naive.status_code, naive.json()["field"]) == (400, "starts_at")
    current = await house.get("activate", {"scope": CORA, "reason": "now"})
    assert await refused(house, "end_activation", REASON, ids={"activation": planned["id"]}) == (409, "impossible")
    await house.get("end_activation", REASON, ids={"activation": current["id"]})
    gone = await house.get("end_activation", REASON, ids={"activation": planned["id"]})
    assert gone == {"ended": True, "failback": None}


async def test_scopes_that_are_none(house: House) -> None:
    for scope in ({"kind": "group", "name": "Nobody"}, {"kind": "mailbox", "name": "not an address"},
                  {"kind": "domain", "id": "1"}, {"kind": "organisation", "id": "1"}):  # fmt: skip
        answer = await house.call("set_access", {"scope": scope, "open": True})
        assert (answer.status_code, answer.json()["code"]) == (404, "no-such-scope")
    for scope in ({"kind": "group"}, {"kind": "group", "id": "1", "name": "Team"}, {"kind": "planet", "id": "1"}):
        assert (await house.call("set_access", {"scope": scope, "open": True})).status_code == 400
    for word in (True, False, None):
        assert (await house.get("set_access", {"scope": {"kind": "organisation"}, "open": word}))["open"] is word


async def test_failback(house: House) -> None:
    found = await house.get("get_failback")
    assert (found["failback"]["state"], found["states"], found["mailboxes"][0]["mailbox"]) == (
        "running", {"waiting": 1}, "ben@example.org",
    )  # fmt: skip
    preview = await house.get("preview_failback")
    assert (preview["total"], preview["mailboxes"][0]["inbound"], preview["obstacles"]) == (1, 1, [])
    assert len(preview["warnings"]) == 1
    assert (await house.get("pause_failback", {"reason": "lunch"}))["reason"] == "lunch"
    assert (await overview(house))["failbacks"][0]["state"] == "paused"
    assert (await house.get("continue_failback"))["state"] == "running"
    assert (await house.get("stop_failback", REASON))["state"] == "stopped"
    for name in ("pause_failback", "continue_failback", "stop_failback"):
        assert await refused(house, name, REASON) == (409, "impossible")
    assert await refused(house, "get_report") == (409, "not-finished")
    assert await fetch(house.database, "SELECT hold_reason FROM delivery WHERE hold_reason = 'returning'") == []


async def test_report(house: House) -> None:
    finished = {"failback": house.things["example"].ids["finished"]}
    report = await house.get("get_report", ids=finished)
    assert (report["genuine"], report["report"]["mailboxes"][0]["mailbox"]) == (True, "cora@example.org")
    page = await house.call("get_report", ids=finished, format="html")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "Everything came back" in page.text
    assert (await house.call("get_report", ids=finished, format="pdf")).json()["field"] == "format"
    await execute(
        house.database, "UPDATE failback SET report = jsonb_set(report, '{actor}', '\"me\"') WHERE id = $1",
        decode_id(finished["failback"]),
    )  # fmt: skip
    assert (await house.get("get_report", ids=finished))["genuine"] is False
    assert await refused(house, "get_report", ids=finished, format="html") == (409, "not-genuine")


async def test_drill(house: House) -> None:
    asked = {"scope": CORA, "measure_detection": False, "timeout_s": 5}
    assert await refused(house, "start_drill", asked) == (409, "impossible")  # no worker
    await execute(house.database, WORKER)
    assert await refused(house, "start_drill", {"scope": {"kind": "organisation"}}) == (409, "impossible")
    started = await house.get("start_drill", asked)
    assert (started["outcome"], started["scope"]["name"], started["actor"]) == (
        None, "cora@example.org", "admin:example-admin",
    )  # fmt: skip

    async def activated() -> bool:
        return len((await house.get("list_activations"))["activations"]) == 3

    await until(activated)
    assert await refused(house, "start_drill", asked) == (409, "impossible")  # it is activated by the first
    async with asyncio.timeout(5):
        await house.api.close()  # the service stops: it is rolled back
    ended = await house.get("get_drill", ids={"drill": started["id"]})
    assert (ended["outcome"], ended["figures"]["problems"][0]) == ("failed", "interrupted: the service was stopped")
    assert not await activated()


async def test_messages(house: House) -> None:
    ids = house.things["example"].ids
    [found] = (await house.get("find_messages", message_id=f"<{ids['header']}>"))["messages"]
    assert found["id"] == ids["message"]
    both = await house.get("find_messages", recipient="CORA@example.org", sender="x@example.com")
    assert ({each["id"] for each in both["messages"]}, both["complete"]) == ({ids["message"], ids["held"]}, True)
    one = await house.get("find_messages", recipient="cora@example.org", limit=1)
    assert (len(one["messages"]), one["complete"]) == (1, False)
    assert (await house.get("find_messages", sender="cora@example.org"))["messages"] == []
    past = {"since": "2001-01-01T00:00:00Z", "until": "2001-02-01T00:00:00Z"}
    assert (await house.get("find_messages", recipient="cora@example.org", **past))["messages"] == []
    assert await refused(house, "find_messages") == (400, "invalid")
    assert await refused(house, "find_messages", message_id="<>") == (400, "invalid")
    await house.get("hold_message", {"reason": "wait"})
    trace = await house.get("get_message")
    assert (trace["message"]["header_id"], trace["deliveries"][0]["status"], trace["deliveries"][0]["lane"]) == (
        ids["header"], "held", "example.com",
    )  # fmt: skip
    assert trace["events"][-1]["detail"]["reason"] == "wait"


async def test_queue(house: House) -> None:
    listed = await house.get("list_queue", lane="example.com")
    assert {(each["status"], each["lane"]) for each in listed["deliveries"]} == {
        ("queued", "example.com"), ("held", "example.com"),
    }  # fmt: skip
    assert (await house.get("list_queue", limit=1))["more"] is True
    assert {each["lane"] for each in (await house.get("count_queue"))["counts"]} == {"primary:main", "example.com"}
    assert await refused(house, "list_queue", lane="primary:mian") == (400, "no-such-lane")
    assert [each["recipient"] for each in (await house.get("list_queue", search="ANNA"))["deliveries"]] == [
        "anna@example.org"
    ]
    held = await house.get("hold_message", {})
    assert held["done"][0]["status"] == "held"
    again = await house.call("hold_message", {})
    assert (again.status_code, again.json()["code"]) == (409, "nothing-done")
    assert again.json()["left"][0]["why"].startswith("it is held already")
    assert (await house.get("release_message", {}))["done"][0]["status"] == "queued"
    assert await refused(house, "retry_message", {"recipient": "nobody@example.org"}) == (409, "refused")
    assert (await house.get("expire_message", {"reason": "old"}))["done"][0]["status"] == "expired"
    assert await refused(house, "resume_lane", {"lane": "never.example"}) == (409, "nothing-done")
    assert await refused(house, "unbind_lane", {"lane": "never.example"}) == (409, "nothing-done")
    assert await refused(house, "rebind_lane", {"lane": "a.example", "host": "b", "port": 0}) == (400, "invalid")
    past = {"lane": None, "reason": "x", "until": "2001-01-01T00:00:00Z"}
    assert await refused(house, "suspend_lane", past) == (409, "refused")


async def test_mail_flow_and_alerts(house: House) -> None:
    made = house.things["example"].organisation
    for minutes in (0, 0, 10, 59, 61, 200):
        number = await house.database.ids.new()
        await add_delivery(house.database, made, "cora", number, kind="internet", status="delivered")
        await execute(
            house.database, "UPDATE message SET received_at = now() - $2::interval WHERE id = $1",
            number, timedelta(minutes=minutes),
        )  # fmt: skip
        await execute(
            house.database, "UPDATE delivery SET done_at = now() - $2::interval WHERE message_id = $1",
            number, timedelta(minutes=minutes),
        )  # fmt: skip
    found = await overview(house)
    flow = found["flow"]
    assert (len(flow["accepted"]), len(flow["delivered"]), flow["capped"]) == (60, 60, False)
    assert sum(flow["delivered"]) == 4
    assert sum(flow["delivered"][-2:]) == 2
    assert sum(flow["accepted"]) == 4 + 5  # and those of the house
    assert {each["kind"] for each in found["alerts"]} >= {"activated", "failback started"}
    [anna] = [each for each in found["activations"] if each["scope"]["name"] == "anna@example.org"]
    assert (anna["mailboxes"], anna["returned"]) == (1, 0)


async def test_audit(house: House) -> None:
    whole, before = [], None
    while True:
        page = await house.get("list_audit", limit=2, acceptances="true", **({"before": before} if before else {}))
        assert len(page["events"]) <= 2
        whole += page["events"]
        before = page["next"]
        if before is None:
            break
    assert len(whole) > 5
    assert len({event["id"] for event in whole}) == len(whole)
    assert whole == (await house.get("list_audit", limit=500, acceptances="true"))["events"]
    actions = {event["action"] for event in (await house.get("list_audit", action="queue."))["events"]}
    assert actions == {"queue.suspend", "queue.rebind"}
    assert (await house.get("list_audit", action="queue%"))["events"] == []
    assert (await house.get("verify_audit"))["intact"] is True
