"""EICAR in every disguise of MIME we could think of: found by clamd, or the message is not passed as clean."""

from __future__ import annotations

from base64 import encodebytes
from collections.abc import Iterator

import pytest

from attachment_tools import sevenzipped, zipped_aes, zipped_classic
from everpost.guard import kinds
from everpost.guard.model import Judgement, Signal, Way
from everpost.guard.scanners.clamd import Clamd as ClamdClient
from everpost.guard.scanners.engine import Engine
from everpost.guard.scanners.model import Nature
from everpost.guard.scanners.shelf import Shelf
from everpost.guard.steps.attachments import Attachments
from everpost.guard.steps.reading import Reading
from everpost.guard.steps.scanners import Scanners
from everpost.guard.verdict import Policy, judge
from guard_tools import case_of
from peers.clamd import EICAR, EICAR_NAME, SAMPLES, Clamd
from peers.process import PeerMissing
from scanner_tools import BASE64, OCTETS, disguises, mixed

pytestmark = pytest.mark.peer
DISGUISES = list(disguises())
ONLY_SUSPICIOUS = {"half of it in a partial"}  # nobody can know the other half


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    try:
        server = Clamd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


async def look(clamd: Clamd, message: bytes) -> list[Signal]:
    """The signals of the steps that read, unpack and scan."""
    case = case_of(message)
    signals = list(await Reading()(case))
    signals += await Attachments(2.0, shelf=Shelf())(case)
    signals += await Scanners([Engine("clamd", ClamdClient(clamd.address))])(case)
    return signals


@pytest.mark.parametrize(("name", "message"), DISGUISES, ids=[name for name, _ in DISGUISES])
async def test_eicar_is_found_or_not_passed_as_clean(clamd: Clamd, name: str, message: bytes) -> None:
    signals = await look(clamd, message)
    verdict = judge(signals, Way.INBOUND, Policy())
    if name in ONLY_SUSPICIOUS:
        assert verdict.judgement is Judgement.SUSPICIOUS
        return
    assert verdict.judgement is Judgement.MALWARE
    evidence = [each.evidence for each in signals if each.kind == kinds.SCANNER_MALWARE.name]
    assert evidence[0].startswith(f"clamd: {EICAR_NAME}")


async def test_what_is_no_eicar_is_not_found(clamd: Clamd) -> None:
    """Else the test above would prove nothing."""
    message = mixed(b"Content-Type: text/plain\r\n\r\nSee the file.\r\n", b"X: y\r\n\r\n" + EICAR.swapcase())
    assert judge(await look(clamd, message), Way.INBOUND, Policy()).judgement is Judgement.CLEAN


@pytest.mark.parametrize(
    "archive",
    [
        zipped_aes("Geheim!7", ("e.com", EICAR)), zipped_classic("Geheim!7", "e.com", EICAR),
        sevenzipped(("e.com", EICAR), password="Geheim!7", header=True),
    ],
    ids=["zip, AES", "zip, classic", "7z"],
)  # fmt: skip
async def test_what_only_we_can_open_is_scanned_as_well(clamd: Clamd, archive: bytes) -> None:
    """clamd does not read the password in the text."""
    file = OCTETS + b'Content-Disposition: attachment; filename="a.bin"\r\n' + BASE64 + b"\r\n" + encodebytes(archive)
    message = mixed(b"Content-Type: text/plain\r\n\r\nThe password is Geheim!7\r\n", file)
    whole = await ClamdClient(clamd.address).scan((message,), len(message))
    assert all(each.nature is not Nature.MALWARE for each in whole)
    found = [each.evidence for each in await look(clamd, message) if each.kind == kinds.SCANNER_MALWARE.name]
    assert found == [f"clamd: {EICAR_NAME}.UNOFFICIAL in a.bin › e.com"]


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the package clamav-testfiles")
async def test_samples_are_found_as_attachments(clamd: Clamd) -> None:
    for path in sorted(SAMPLES.iterdir()):
        message = mixed(
            b"Content-Type: text/plain\r\n\r\nhello\r\n", OCTETS + BASE64 + b"\r\n" + encodebytes(path.read_bytes())
        )
        assert kinds.SCANNER_MALWARE.name in {each.kind for each in await look(clamd, message)}, path.name
