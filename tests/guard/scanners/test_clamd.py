"""The client against a real clamd: found, clean, too large, hung, killed in the middle, started again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from everpost.guard import kinds
from everpost.guard.scanners import clamd as client_module
from everpost.guard.scanners import engine as engine_module
from everpost.guard.scanners.clamd import Clamd as ClamdClient
from everpost.guard.scanners.engine import Engine, EngineSettings
from everpost.guard.scanners.model import Detection, Nature, Piece, Subject, TooLarge, Unavailable, WhenAway
from everpost.guard.scanners.tape import batches, tape, tape_octets
from peers.clamd import EICAR, EICAR_NAME, SAMPLE_NAME, SAMPLES, Clamd
from peers.process import PeerMissing

FOUND = Detection(f"{EICAR_NAME}.UNOFFICIAL")
CLEAN = b"From: a@example.com\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    try:
        server = Clamd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


@pytest.fixture
def fresh() -> Iterator[Clamd]:
    """One that a test may kill."""
    try:
        server = Clamd()
    except PeerMissing as missing:
        pytest.skip(str(missing))
    with server:
        yield server


def subject(message: bytes, *pieces: Piece) -> Subject:
    return Subject(len(message), lambda: (message,), pieces)


async def ask(clamd: Clamd, data: bytes) -> tuple[Detection, ...]:
    return await ClamdClient(clamd.address).scan((data,), len(data))


@pytest.mark.peer
async def test_what_it_says_is_understood(clamd: Clamd) -> None:
    assert (await ClamdClient(clamd.address).check()).startswith("ClamAV ")
    assert await ask(clamd, CLEAN) == ()
    assert await ask(clamd, EICAR) == (FOUND,)
    assert await ask(clamd, b"") == ()
    many = await asyncio.gather(*(ask(clamd, EICAR if number % 2 else CLEAN) for number in range(40)))
    assert many == [(FOUND,) if number % 2 else () for number in range(40)]


@pytest.mark.peer
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the package clamav-testfiles")
async def test_samples_are_found_in_every_wrapping(clamd: Clamd) -> None:
    for path in sorted(SAMPLES.iterdir()):
        assert await ask(clamd, path.read_bytes()) == (Detection(f"{SAMPLE_NAME}.UNOFFICIAL"),), path.name


@pytest.mark.peer
async def test_heuristics_and_limits_are_not_taken_for_malware(clamd: Clamd, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"hello" * 100)
    if not Path("/usr/bin/zip").exists():
        pytest.skip("needs zip")
    subprocess.run(["zip", "-q", "-P", "secret", "a.zip", "a.txt"], cwd=tmp_path, check=True)
    [found] = await ask(clamd, (tmp_path / "a.zip").read_bytes())
    assert (found.name, found.nature) == ("Heuristics.Encrypted.Zip", Nature.SUSPECT)


@pytest.mark.peer
async def test_its_size_limit_is_told_from_its_being_away(clamd: Clamd) -> None:
    with pytest.raises(TooLarge):
        await ClamdClient(clamd.address).scan((bytes(1024 * 1024) for _ in range(50)), 50 * 1024 * 1024)
    engine = Engine("clamd", ClamdClient(clamd.address), EngineSettings(max_octets=64 * 1024 * 1024))
    large = bytes(8 * 1024 * 1024)
    [signal] = await engine.look(subject(large))
    assert (signal.kind, "StreamMaxLength" in signal.evidence) == (kinds.SCANNER_INCOMPLETE.name, True)
    signals = await engine.look(subject(large, Piece("a.com", EICAR)))
    assert {each.kind for each in signals} == {kinds.SCANNER_INCOMPLETE.name, kinds.SCANNER_MALWARE.name}


@pytest.mark.peer
async def test_the_part_is_named_and_what_only_we_unpacked_is_found(clamd: Clamd) -> None:
    engine = Engine("clamd", ClamdClient(clamd.address))
    pieces = [Piece("a.zip", b"encrypted"), Piece("a.zip › b.txt", b"fine"), Piece("a.zip › e.com", EICAR)]
    [signal] = await engine.look(subject(CLEAN, *pieces))
    assert signal.evidence == f"clamd: {FOUND.name} in a.zip › e.com"
    many = [Piece(f"{number}.txt", b"x" * number) for number in range(1500)]
    [signal] = await engine.look(subject(CLEAN, *many, Piece("the last one", EICAR)))
    assert signal.evidence == f"clamd: {FOUND.name} in the message"  # found, though its place is not searched for
    only_whole = Engine("clamd", ClamdClient(clamd.address), EngineSettings(pieces=False))
    assert await only_whole.look(subject(CLEAN, *pieces)) == ()


@pytest.mark.peer
async def test_killed_in_the_middle_and_started_again(fresh: Clamd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PAUSE_S", 0.05)
    engine = Engine("clamd", ClamdClient(fresh.address), EngineSettings(at_once=4))
    results: list[str] = []
    engine._on_scan = lambda _engine, result, _seconds: results.append(result)

    async def go() -> None:
        fresh.pause()  # so that it certainly is in the middle
        scans = [asyncio.create_task(engine.look(subject(EICAR))) for _ in range(20)]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(fresh.kill)
        for signals in await asyncio.gather(*scans):
            assert [each.kind for each in signals] == [kinds.SCANNER_AWAY.name]

    await go()
    assert set(results) <= {"failed", "away"}
    await asyncio.to_thread(fresh.start)
    await asyncio.sleep(0.1)
    [signal] = await engine.look(subject(EICAR))
    assert signal.kind == kinds.SCANNER_MALWARE.name


@pytest.mark.peer
async def test_one_that_hangs_is_not_waited_for_again_and_again(fresh: Clamd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_S", 0.2)
    monkeypatch.setattr(engine_module, "PAUSE_S", 30.0)
    engine = Engine(
        "clamd", ClamdClient(fresh.address), EngineSettings(seconds=0.3, when_away=WhenAway.QUARANTINE)
    )  # fmt: skip
    fresh.pause()
    started = asyncio.get_running_loop().time()
    for _ in range(50):
        [signal] = await engine.look(subject(CLEAN))
        assert signal.kind == kinds.SCANNER_AWAY_QUARANTINE.name
    assert asyncio.get_running_loop().time() - started < 1.5
    fresh.resume()


# ------------------------------------------------------------------ without a daemon


async def serve(answer: bytes, path: Path, *, slow_s: float = 0.0) -> asyncio.Server:
    """A clamd that answers PING, and everything else like this."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        command = await reader.readuntil(b"\0")
        if command == b"zPING\0":
            writer.write(b"PONG\0")
        elif command == b"zVERSION\0":
            writer.write(b"ClamAV 0\0")
        else:
            while size := int.from_bytes(await reader.readexactly(4), "big"):
                await reader.readexactly(size)
            await asyncio.sleep(slow_s)
            writer.write(answer)
        writer.close()

    return await asyncio.start_unix_server(talk, path)


@pytest.mark.parametrize(
    "answer", [b"", b"stream: OK", b"nonsense\0", b"x" * 100_000, b"stream: \xff\xfe\0"],
    ids=["nothing", "cut short", "nonsense", "without end", "no text"],
)  # fmt: skip
async def test_an_answer_that_makes_no_sense_is_none(answer: bytes, tmp_path: Path) -> None:
    async with await serve(answer, tmp_path / "socket"):
        with pytest.raises(Unavailable):
            await ClamdClient(str(tmp_path / "socket")).scan((CLEAN,), len(CLEAN))


async def test_an_error_of_its_own_leaves_the_message_unseen(tmp_path: Path) -> None:
    async with await serve(b"stream: Can't write to temporary file. ERROR\0", tmp_path / "socket"):
        engine = Engine("clamd", ClamdClient(str(tmp_path / "socket")), EngineSettings(when_away=WhenAway.DEFER))
        [signal] = await engine.look(subject(CLEAN))
        assert (signal.kind, signal.evidence) == (
            kinds.SCANNER_AWAY_DEFER.name, "clamd: Can't write to temporary file.",
        )  # fmt: skip


async def test_a_message_that_is_slow_does_not_make_the_engine_count_as_away(tmp_path: Path) -> None:
    async with await serve(b"stream: OK\0", tmp_path / "socket", slow_s=0.3):
        engine = Engine("clamd", ClamdClient(str(tmp_path / "socket")), EngineSettings(seconds=0.1))
        for _ in range(2):
            signals = await engine.look(subject(CLEAN))
            assert {each.kind for each in signals} == {kinds.SCANNER_AWAY.name, kinds.SCANNER_SLOW.name}


async def test_no_daemon_at_all(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        await ClamdClient(str(tmp_path / "none")).check()


def test_batches_of_a_tape_fit_and_lose_nothing_but_what_is_too_large() -> None:
    pieces = [Piece(str(size), bytes(size)) for size in (0, 1, 511, 512, 513, 5000, 20_000, 3000)]
    found = list(batches(pieces, 10_240))
    assert [piece.path for batch in found for piece in batch] == ["0", "1", "511", "512", "513", "5000", "3000"]
    for batch in found:
        octets = b"".join(tape(batch))
        assert len(octets) == tape_octets(batch) <= 10_240
