"""The SPF scenarios of mail-auth: RFC 7208's own examples among them. The files repeat keys, so they are read by line.

Each difference from what they expect is listed with its reason; a listed one that no longer differs fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from auth_tools.vectors import VECTORS, needs
from auth_tools.zone import Zone
from everpost.auth.resolver import RecordType, reverse_name
from everpost.auth.spf import SpfVerdict, check_helo, check_mail_from

pytestmark = needs("mail-auth")
FOLDER = VECTORS / "mail-auth" / "resources" / "spf"
A_ONLY = "exists: asks for A records, whatever the client's address is (RFC 7208 §5.7); there AAAA records do"
DIFFERENCES: dict[str, str] = {
    "all-0-0": "a syntax error counts wherever it stands, even after all (RFC 7208 §4.6)",
    "basic-4-0": "more than two questions without an answer are an error (RFC 7208 §4.6.4)",
    "basic-4-5": "more than ten MX records are an error (RFC 7208 §4.6.4)",
    "exists-0-1": A_ONLY,
    "macro-1-1": A_ONLY,
    "ip-1-3": "ip6: never matches a client with an IPv4 address (RFC 7208 §5)",
}


@dataclass
class Scenario:
    name: str = ""
    zone: Zone = field(default_factory=Zone)
    cases: list[dict[str, str]] = field(default_factory=list)


def add(zone: Zone, name: str, kind: RecordType, text: str) -> None:
    records = zone.names.setdefault(name.lower(), {})
    assert isinstance(records, dict)
    records.setdefault(kind, []).append(text)


def add_address(zone: Zone, name: str, text: str) -> None:
    add(zone, name, RecordType.AAAA if ":" in text else RecordType.A, text)


def add_record(zone: Zone, kind: str, name: str, value: str) -> None:
    match kind:
        case "spf" | "exp":
            add(zone, name, RecordType.TXT, value)
        case "a" | "aaaa":
            for text in value.split(","):
                add_address(zone, name, text.strip())
        case "mx":
            for number, text in enumerate(value.split(",")):
                exchange = f"mx{number}.{name}"
                add(zone, name, RecordType.MX, exchange)
                add_address(zone, exchange, text.strip())
        case "ptr":
            for text in value.split(","):
                add(zone, reverse_name(ip_address(name)), RecordType.PTR, text.strip().removesuffix("."))
        case _:
            raise AssertionError(kind)


def read(text: str) -> Scenario:
    """What stands in a file is kept until it is said anew; each expectation is a case."""
    scenario = Scenario()
    for name in ("_dns_error.org", "_dns_error.test.org"):
        scenario.zone.dead[name] = frozenset(RecordType)
    state: dict[str, str] = {}
    testing = False
    for line in text.splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(":")
        value = value.strip()
        testing = testing or line.startswith("tests:")
        if line.startswith("#") or (not value and key != "sender"):
            continue
        if key == "name":
            scenario.name = value
        elif testing and key in ("spf", "domain", "sender", "ip", "expect"):
            if key == "spf":  # replaces the record of a name from here on
                name, _, value = value.partition(" ")
                key = f"spf {name}"
            state[key] = value
            if key == "expect":
                scenario.cases.append(dict(state))
        else:
            name, _, record = value.partition(" ")
            add_record(scenario.zone, key, name, record.strip())
    return scenario


def scenarios() -> list[tuple[str, Scenario]]:
    found: list[tuple[str, Scenario]] = []
    for path in sorted(FOLDER.glob("*.yml")):
        for number, text in enumerate(path.read_text(encoding="utf-8").split("\n---\n")):
            found.append((f"{path.stem}-{number}", read(text)))
    return found


CASES = [
    pytest.param(scenario, case, f"{place}-{number}", id=f"{place}-{number}")
    for place, scenario in scenarios()
    for number, case in enumerate(scenario.cases)
]


def test_files_are_whole() -> None:
    assert len(CASES) == 163


@pytest.mark.parametrize(("scenario", "case", "place"), CASES)
async def test_case(scenario: Scenario, case: dict[str, str], place: str) -> None:
    for key, record in case.items():
        if key.startswith("spf "):
            name = key.partition(" ")[2]
            scenario.zone.names[name] = {**scenario.zone.names.get(name, {}), RecordType.TXT: [record]}
    wanted, _, explanation = case["expect"].partition(" ")
    address, helo, sender = ip_address(case["ip"]), case["domain"], case["sender"]
    found = await check_helo(address, helo, scenario.zone)
    if found.verdict is SpfVerdict.PASS or helo == sender.rpartition("@")[2]:
        found = await check_mail_from(address, sender, helo, scenario.zone)
    fits = found.verdict == wanted and (not explanation or found.explanation == explanation)
    assert fits != (place in DIFFERENCES), (scenario.name, case, found)
