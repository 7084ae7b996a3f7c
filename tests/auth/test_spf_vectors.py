"""The OpenSPF suite for RFC 7208: every case of every scenario."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

from auth_tools.vectors import needs, scenarios
from auth_tools.zone import Zone
from everpost.auth.resolver import RecordType
from everpost.auth.spf import check_mail_from

pytestmark = needs("spf-rfc7208")
SUITE = scenarios("spf-rfc7208/test/rfc7208-tests.yml")


def joined(value: str | list[str]) -> str:
    """A TXT record of one or several strings, one character an octet."""
    return (value if isinstance(value, str) else "".join(value)).encode("utf-8").decode("latin-1")


def zone_of(data: dict[str, list[Any]]) -> Zone:
    names: dict[str, dict[RecordType, list[str]]] = {}
    dead: dict[str, frozenset[RecordType]] = {}
    aliases: dict[str, str] = {}
    for name, entries in data.items():
        records: dict[RecordType, list[tuple[int, str]]] = {}
        kinds = {kind for entry in entries if isinstance(entry, dict) for kind in entry}
        for entry in entries:
            if entry == "TIMEOUT":
                answered = {
                    kind for item in entries if isinstance(item, dict) for kind, v in item.items() if v != "NONE"
                }
                dead[name] = frozenset(kind for kind in RecordType if kind.value not in answered)
                continue
            ((kind, value),) = entry.items()
            if kind == "SPF" and "TXT" not in kinds:  # records of type 99 stand for TXT where there are none
                kind = "TXT"
            if kind == "CNAME":
                aliases[name] = value
            if kind not in RecordType.__members__ or value == "NONE":
                continue
            order, text = value if kind == "MX" else (0, joined(value))
            records.setdefault(RecordType(kind), []).append((order, text))
        names[name] = {
            kind: [text for _, text in sorted(found, key=lambda item: item[0])] for kind, found in records.items()
        }
    for alias, name in aliases.items():
        names[alias] = names.get(name, {})  # a resolver follows them
    return Zone(names, dead)


def cases() -> Iterator[Any]:
    """One parameter set a case."""
    for scenario in SUITE:
        for name, case in scenario["tests"].items():
            yield pytest.param(scenario["zonedata"], case, id=f"{scenario['description']}-{name}".replace(" ", "-"))


def test_suite_is_whole() -> None:
    assert sum(len(scenario["tests"]) for scenario in SUITE) == 203


@pytest.mark.parametrize(("data", "case"), list(cases()))
async def test_case(data: dict[str, list[Any]], case: dict[str, Any]) -> None:
    found = await check_mail_from(ip_address(case["host"]), case["mailfrom"], case["helo"], zone_of(data))
    wanted = case["result"]
    assert found.verdict in ([wanted] if isinstance(wanted, str) else wanted), found
    explanation = case.get("explanation")
    if explanation is not None and found.verdict == "fail":
        assert found.explanation.lower() == ("" if explanation == "DEFAULT" else explanation.lower())
