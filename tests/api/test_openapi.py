"""The document that describes the API is a good one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api_tools.house import House
from everpost.serve.web.api.openapi import CODES, document
from everpost.serve.web.api.operations import OPERATIONS

SOURCE = Path(__file__).resolve().parents[2] / "src" / "everpost" / "serve" / "web" / "api"


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for each in value.values():
            yield from nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from nodes(each)


def resolve(ref: str) -> Any:
    found: Any = document()
    assert ref.startswith("#/")
    for part in ref[2:].split("/"):
        found = found[part]
    return found


async def test_it_is_served_to_anybody(house: House) -> None:
    async with house.client() as client:
        answer = await client.get("/openapi.json")
        assert answer.status_code == 200
        assert answer.json() == document()


def test_every_reference_leads_somewhere() -> None:
    refs = [node["$ref"] for node in nodes(document()) if "$ref" in node]
    assert len(refs) > 100
    for ref in refs:
        assert isinstance(resolve(ref), dict), ref


def test_every_schema_is_used() -> None:
    refs = {node["$ref"] for node in nodes(document()) if "$ref" in node}
    assert {f"#/components/schemas/{name}" for name in document()["components"]["schemas"]} <= refs


def test_its_structure() -> None:
    found = document()
    assert found["openapi"] == "3.1.0"
    assert found["info"]["title"]
    assert found["info"]["version"]
    tags = {tag["name"] for tag in found["tags"]}
    schemes = set(found["components"]["securitySchemes"])
    assert {name for each in found["security"] for name in each} == schemes
    seen = []
    for path, methods in found["paths"].items():
        assert re.fullmatch(r"(/[a-z{}-]+)+", path)
        for method, operation in methods.items():
            assert method in ("get", "post")
            seen.append(operation["operationId"])
            assert set(operation["tags"]) <= tags
            assert operation["summary"].endswith(".")
            _check_parameters(path, operation["parameters"])
            _check_responses(operation["responses"])
            if "requestBody" in operation:
                assert method == "post"
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                assert resolve(schema["$ref"])["additionalProperties"] is False
    assert sorted(seen) == sorted(operation.name for operation in OPERATIONS)


def _check_parameters(path: str, parameters: list[dict[str, Any]]) -> None:
    in_path = [each["name"] for each in parameters if each["in"] == "path"]
    assert in_path == re.findall(r"\{(\w+)\}", path)
    assert len({(each["name"], each["in"]) for each in parameters}) == len(parameters)
    for each in parameters:
        assert each["in"] in ("path", "query")
        assert each["required"] is (each["in"] == "path")
        assert each["schema"]


def _check_responses(responses: dict[str, Any]) -> None:
    good = [status for status in responses if status.startswith("2")]
    assert len(good) == 1
    assert "default" in responses
    for status, response in responses.items():
        assert re.fullmatch(r"[2-5]\d\d|default", status)
        found = resolve(response["$ref"]) if "$ref" in response else response
        assert found["description"]
        assert status == "204" or found["content"]


def test_every_code_is_described() -> None:
    used = set()
    for file in SOURCE.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        used |= set(re.findall(r'refusal\(\s*\d+, "([a-z-]+)"', text))
    assert used == set(CODES)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_says_what_it_does(operation: Any) -> None:
    assert len(operation.summary) > 10
    for kind in (operation.body, operation.answer):
        assert kind is None or kind.__doc__
