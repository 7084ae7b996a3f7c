"""Rules over the API: versions, refusals that say what is wrong, trials."""

from __future__ import annotations

from api_tools.house import House

RULE = {"id": "one", "when": [{"field": "subject", "any": ["."]}], "do": [{"do": "junk"}]}


async def test_rules_are_kept_by_version(house: House) -> None:
    assert (await house.get("get_policy"))["version"] == 0
    first = await house.get("set_policy", {"policy": {"rule": [RULE]}, "reason": "because", "expected": 0})
    assert (first["version"], first["actor"], first["policy"]["rule"]) == (1, "admin:example-admin", [RULE])
    late = await house.call("set_policy", {"policy": {}, "expected": 0})
    assert (late.status_code, late.json()["code"]) == (409, "outdated")
    assert (await house.get("set_policy", {"policy": {}}))["version"] == 2
    assert (await house.get("get_policy", version=1))["policy"] == {"rule": [RULE]}
    assert (await house.call("get_policy", version=7)).status_code == 404
    versions = (await house.get("list_policy_versions"))["versions"]
    assert [(each["version"], each["reason"]) for each in versions] == [(2, ""), (1, "because")]


async def test_a_bad_one_is_told_and_changes_nothing(house: House) -> None:
    bad = RULE | {"when": [{"field": "subject", "any": ["("]}]}
    for operation in ("set_policy", "try_policy"):
        answer = await house.call(operation, {"policy": {"rule": [bad]}})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-policy")
        assert "rule 'one', condition 1 (subject): '(' is no pattern" in answer.json()["detail"]
    assert (await house.get("get_policy"))["version"] == 0


async def test_a_trial_counts_and_changes_nothing(house: House) -> None:
    trial = await house.get("try_policy", {"policy": {"rule": [RULE]}, "days": 3650})
    assert trial["messages"] + trial["unreadable"] > 0
    assert trial["complete"] is True
    assert (await house.get("get_policy"))["version"] == 0


async def test_settings_are_changed_one_by_one(house: House) -> None:
    before = await house.get("get_settings")
    assert before == {"forwarding": "inside", "links": "keep", "banner": "none", "language": "en", "disclaimer": ""}
    assert await house.get("change_settings", {"links": "all"}) == before | {"links": "all"}
    assert await house.get("change_settings", {"forwarding": "none"}) == before | {"links": "all", "forwarding": "none"}
    assert (await house.call("change_settings", {"language": "xx"})).status_code == 400
    text = "Example Ltd\r\nRegistered in Ruritania "
    after = await house.get("change_settings", {"disclaimer": text})
    assert after == before | {
        "links": "all",
        "forwarding": "none",
        "disclaimer": "Example Ltd\nRegistered in Ruritania",
    }
    assert await house.get("change_settings", {"language": "de"}) == after | {"language": "de"}
    assert (await house.call("change_settings", {"disclaimer": "x" * 4001})).status_code == 422
    assert (await house.get("change_settings", {"disclaimer": ""}))["disclaimer"] == ""
