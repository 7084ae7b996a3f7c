"""docs/jmap-settings.md: a person's settings at the server."""

from __future__ import annotations

from typing import Any

import pytest

from everpost.store.database import Database
from web_tools.world import Person, World

DEFAULTS = {
    "id": "singleton", "language": None, "theme": "system", "readingPane": "right", "threads": True, "richText": True,
    "undoSeconds": 8, "labels": [], "picturesFrom": [], "identityId": None,
}  # fmt: skip


async def settings(person: Person, **arguments: Any) -> dict[str, Any]:
    return (await person.call("Settings/get", **arguments))["list"][0]


async def put(person: Person, **patch: Any) -> dict[str, Any]:
    return await person.call("Settings/set", update={"singleton": patch})


async def test_settings_are_the_defaults_then_what_was_set(ann: Person) -> None:
    assert await settings(ann) == DEFAULTS
    before = (await ann.call("Settings/get"))["state"]
    wanted = {
        "language": "fr", "theme": "dark", "readingPane": "bottom", "threads": False, "undoSeconds": 30,
        "labels": ["b+c3+bcro"], "picturesFrom": ["news@shop.example"], "identityId": "a1",
    }  # fmt: skip
    answer = await put(ann, **wanted)
    assert answer["updated"] == {"singleton": None}
    assert answer["oldState"] == before != answer["newState"]
    assert await settings(ann) == DEFAULTS | wanted
    assert await settings(ann, properties=["theme"]) == {"theme": "dark"} | {"id": "singleton"}
    await put(ann, theme=None, language=None)
    assert await settings(ann) == DEFAULTS | wanted | {"theme": "system", "language": None}


async def test_settings_that_stay_as_they_are_move_no_state(ann: Person) -> None:
    answer = await put(ann, theme="system", id="singleton")
    assert answer["oldState"] == answer["newState"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theme", "pink"), ("language", "deutsch, bitte"), ("undoSeconds", -1), ("undoSeconds", 3601), ("threads", 1),
        ("labels", ["two words"]), ("labels", ["x"] * 501), ("picturesFrom", ["a\0@example.org"]), ("unknown", 1),
        ("identityId", "no id"), ("readingPane", "left"),
    ],
)  # fmt: skip
async def test_settings_refuse_what_they_cannot_be_by_name(ann: Person, name: str, value: Any) -> None:
    answer = await put(ann, richText=False, **{name: value})
    refusal = answer["notUpdated"]["singleton"]
    assert refusal["type"] == "invalidProperties"
    assert refusal["properties"] == [name]
    assert await settings(ann) == DEFAULTS


async def test_settings_are_one_object_that_is_neither_made_nor_destroyed(ann: Person) -> None:
    answer = await ann.call(
        "Settings/set", create={"c": {"theme": "dark"}}, destroy=["singleton", "x"], update={"y": {"theme": "dark"}}
    )
    assert answer["notCreated"]["c"]["type"] == "singleton"
    assert answer["notDestroyed"] == {
        "singleton": {"type": "singleton", "description": "there is exactly one"}, "x": {"type": "notFound"},
    }  # fmt: skip
    assert answer["notUpdated"]["y"]["type"] == "notFound"
    got = await ann.call("Settings/get", ids=["singleton", "x"])
    assert [len(got["list"]), got["notFound"]] == [1, ["x"]]


async def test_rfc8620_5_3_settings_if_in_state(ann: Person) -> None:
    asked = {"ifInState": "0x", "update": {"singleton": {"theme": "dark"}}}
    assert await ann.refused("Settings/set", **asked) == "stateMismatch"
    assert await settings(ann) == DEFAULTS


async def test_settings_of_others_are_theirs(ann: Person, world: World) -> None:
    bob = await world.person("bob@example.org")
    await put(ann, theme="dark")
    assert await settings(bob) == DEFAULTS


async def test_settings_of_a_version_to_come_are_the_defaults_here(ann: Person, database: Database) -> None:
    await put(ann, theme="dark")
    async with database.transaction() as connection:
        await connection.execute("UPDATE preference SET document = $1", {"theme": "sepia"})
    assert await settings(ann) == DEFAULTS
