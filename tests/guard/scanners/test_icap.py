"""The ICAP client: previews, 204 and services that know none, the fields engines use, and what goes wrong."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from everpost.guard import kinds
from everpost.guard.scanners.engine import Engine, EngineSettings
from everpost.guard.scanners.icap import Icap
from everpost.guard.scanners.model import Detection, Nature, NotScanned, Piece, Subject, TooLarge, Unavailable
from peers.certificates import Authority, Certificate
from peers.clamd import EICAR
from scanner_tools.icap import IcapServer

CLEAN = b"From: a@example.com\r\n\r\nhello\r\n"
SIZES = (0, 1, 1023, 1024, 1025, 4096, 300_000)


async def scan(server: IcapServer, *chunks: bytes) -> tuple[Detection, ...]:
    return await Icap(server.url).scan(chunks, sum(map(len, chunks)))


@pytest.mark.parametrize("preview", [None, 0, 1, 1024, 10_000_000])
@pytest.mark.parametrize("knows_204", [True, False])
async def test_clean_and_found_with_every_preview_and_size(preview: int | None, knows_204: bool) -> None:
    async with IcapServer(preview=preview, knows_204=knows_204) as server:
        client = Icap(server.url)
        for size in SIZES:
            data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
            chunks = [data[start : start + 1000] for start in range(0, size, 1000)]
            assert await client.scan(chunks, size) == ()
            assert server.bodies[-1] == data
            assert await client.scan((data, EICAR), size + len(EICAR)) == (Detection("Eicar"),)
            assert server.bodies[-1] == data + EICAR
        if preview is None:
            assert server.continued == 0
        elif preview == 1024:
            assert server.continued == sum(size > 1024 for size in SIZES) + sum(size + 68 > 1024 for size in SIZES)


@pytest.mark.parametrize(
    ("fields", "detection"),
    [
        ("X-Infection-Found: Type=0; Resolution=0; Threat=Win.Eicar;\r\n", Detection("Win.Eicar")),
        ("X-Infection-Found: Type=2; Resolution=0; Threat=Encrypted;\r\n", Detection("Encrypted", Nature.SUSPECT)),
        ("X-Virus-ID: EICAR Test String\r\n", Detection("EICAR Test String")),
        ("X-Violations-Found: 1\r\n\tmail.eml\r\n\tEICAR\r\n\t0\r\n\t0\r\n", Detection("EICAR")),
        ("X-Blocked-Reason: Infected\r\n", Detection("Infected")),
        ("X-Virus-ID: none\r\n", Detection("blocked or changed, without saying why", Nature.SUSPECT)),
        ("", Detection("blocked or changed, without saying why", Nature.SUSPECT)),
    ],
)
async def test_the_fields_that_engines_use(fields: str, detection: Detection) -> None:
    async with IcapServer(found=fields) as server:
        assert await scan(server, EICAR) == (detection,)


async def test_an_answer_before_the_end_is_taken() -> None:
    async with IcapServer(early=True, preview=None) as server:
        assert await scan(server, *(b"x" * 1_000_000,) * 20) == (Detection("Eicar"),)


@pytest.mark.parametrize(
    ("status", "problem"),
    [(404, Unavailable), (405, Unavailable), (413, TooLarge), (500, NotScanned), (503, NotScanned)],
)
async def test_refusals(status: int, problem: type[Exception]) -> None:
    async with IcapServer(status=status) as server:
        with pytest.raises(problem):
            await scan(server, CLEAN)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n\r\n", b"ICAP/1.0 200", b"ICAP/1.0 x OK\r\n\r\n", b"x" * 200_000,
        b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=x\r\n\r\n",
        b"ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=19\r\n\r\nHTTP/1.1 200 OK\r\n\r\nzz\r\n",
    ],
)  # fmt: skip
async def test_what_is_no_icap_is_no_answer(raw: bytes) -> None:
    async with IcapServer(raw=raw, preview=None) as server:
        with pytest.raises(Unavailable):
            await scan(server, CLEAN)


async def test_as_an_engine_of_the_guard() -> None:
    async with IcapServer() as server:
        engine = Engine("acme", Icap(server.url), EngineSettings(seconds=0.5))
        assert await engine.check() == 'Small "1"'
        subject = Subject(len(CLEAN), lambda: (CLEAN,), (Piece("a.zip › e.com", EICAR),))
        [signal] = await engine.look(subject)
        assert (signal.kind, signal.evidence) == (kinds.SCANNER_MALWARE.name, "acme: Eicar in a.zip › e.com")
        server.slow_s = 1.0
        assert kinds.SCANNER_AWAY.name in {each.kind for each in await engine.look(subject)}
    [signal] = await Engine("acme", Icap(server.url)).look(subject)
    assert (signal.kind, "Connect" in signal.evidence) == (kinds.SCANNER_AWAY.name, True)


async def test_over_tls_with_a_certificate_that_is_checked(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "av.example.org")
    trusting = ssl.create_default_context(cafile=authority.ca_file)
    for kind in Certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue(kind))
        async with IcapServer(tls=context) as server:
            client = Icap(server.url, trusting)
            if kind is Certificate.VALID:
                assert await client.scan((EICAR,), len(EICAR)) == (Detection("Eicar"),)
            else:
                with pytest.raises(Unavailable, match="certificate verify failed"):
                    await client.check()


@pytest.mark.parametrize("url", ["http://a/b", "icap:///x", "icap", ""])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="icap://host:port/service"):
        Icap(url)
