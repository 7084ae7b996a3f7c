"""Signed messages of others, with their keys: those of RFC 8463 and of large senders."""

from __future__ import annotations

from pathlib import Path

import pytest

from auth_tools.checks import dkim
from auth_tools.vectors import VECTORS, needs
from auth_tools.zone import zone_of_texts
from everpost.auth.dkim import DkimResult, DkimVerdict

FOLDER = VECTORS / "mail-auth" / "resources" / "dkim"


async def check(path: Path) -> tuple[DkimResult, ...]:
    records, _, message = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    zone = zone_of_texts(dict(line.split(" ", 1) for line in records.decode("ascii").splitlines()))
    return await dkim(message.replace(b"\n", b"\r\n"), zone, now=1667843664)


@needs("mail-auth")
@pytest.mark.parametrize("name", ["001", "002", "003", "004", "005", "006"])
async def test_message(name: str) -> None:
    results = await check(FOLDER / f"{name}.txt")
    assert results
    assert {result.verdict for result in results} == {DkimVerdict.PASS}, results


MIMEKIT = VECTORS / "mimekit" / "UnitTests" / "TestData" / "dkim"


@needs("mimekit")
@pytest.mark.parametrize("name", ["gmail", "multipart-no-end-boundary", "related"])
async def test_message_of_a_large_sender(name: str) -> None:
    lines = (MIMEKIT / "gmail.pub").read_text(encoding="ascii").splitlines()
    zone = zone_of_texts({"20120113._domainkey.gmail.com": f"k=rsa; p={''.join(lines[1:-1])}"})
    message = (MIMEKIT / f"{name}.msg").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    results = await dkim(message, zone)
    assert [result.verdict for result in results] == [DkimVerdict.PASS], results
    changed = await dkim(message.replace(b"Subject: ", b"Subject: Re: ", 1), zone)
    assert [result.verdict for result in changed] == [DkimVerdict.FAIL]
