"""The ARC suite: validation and signing, every case."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from auth_tools.checks import crlf, divided
from auth_tools.vectors import needs, scenarios
from auth_tools.zone import Zone, zone_of_texts
from everpost.auth.arc import ArcResult, Chain, check_chain, find_chain, wanted_bodies
from everpost.auth.arc_seal import SealRefused, arc_set
from everpost.auth.canonical import SignedHeader, hash_body
from everpost.auth.dkim_sign import RELAXED, SigningKey
from everpost.auth.results import merged_results

pytestmark = needs("arc")
VALIDATION = scenarios("arc/tests/arc-draft-validation-tests.yml")
SIGNING = scenarios("arc/tests/arc-draft-sign-tests.yml")


def zone_of(scenario: dict[str, Any]) -> Zone:
    return zone_of_texts({name: "".join(text.splitlines()) for name, text in scenario["txt-records"].items()})


def cases(suite: list[dict[str, Any]]) -> Iterator[Any]:
    for scenario in suite:
        for name, case in scenario["tests"].items():
            yield pytest.param(scenario, case, id=name)


async def checked(message: bytes, zone: Zone) -> tuple[SignedHeader, bytes, Chain, ArcResult]:
    header, body = divided(message)
    chain = find_chain(header)
    result = await check_chain(header, chain, hash_body([body], wanted_bodies(chain)), zone)
    return header, body, chain, result


def test_suite_is_whole() -> None:
    assert sum(len(scenario["tests"]) for scenario in VALIDATION) == 171
    assert sum(len(scenario["tests"]) for scenario in SIGNING) == 17


@pytest.mark.parametrize(("scenario", "case"), list(cases(VALIDATION)))
async def test_validation(scenario: dict[str, Any], case: dict[str, Any]) -> None:
    *_, result = await checked(crlf(case["message"]), zone_of(scenario))
    # Three cases leave it open what a seal that says cv=fail is; here it is a chain that has failed.
    assert result.verdict == (case["cv"].lower() or "fail"), result


def words(text: str) -> str:
    """Where lines are folded does not matter, neither within base64."""
    return "".join(text.split())


@pytest.mark.parametrize(("scenario", "case"), list(cases(SIGNING)))
async def test_signing(scenario: dict[str, Any], case: dict[str, Any]) -> None:
    zone = zone_of(scenario)
    header, body, chain, result = await checked(crlf(case["message"]), zone)
    private = load_pem_private_key(scenario["privatekey"].encode("ascii"), None)
    assert isinstance(private, RSAPrivateKey)
    key = SigningKey(scenario["domain"], scenario["sel"], private)
    digest = hash_body([body], [RELAXED])[RELAXED]
    results = merged_results(header.header, case["srv-id"])
    names = tuple(case["sig-headers"].split(":"))
    now = datetime.fromtimestamp(case["t"], UTC)
    if not case["AS"].strip():
        with pytest.raises(SealRefused):
            arc_set(header, digest, chain, result, results, key, now=now, names=names)
        return
    fields = arc_set(header, digest, chain, result, results, key, now=now, names=names)
    made = {field.name: field.raw.decode("ascii") for field in divided(fields + b"\r\n")[0].header.fields}
    assert words(made["ARC-Authentication-Results"]) == words(case["AAR"])
    assert words(made["ARC-Message-Signature"]) == words(case["AMS"])
    assert words(made["ARC-Seal"]) == words(case["AS"])
