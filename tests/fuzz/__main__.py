"""`python -m tests.fuzz --seconds N [--target NAME] [--seed N]`: damage seeds, run targets, keep what fails."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import random
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
MAX_OCTETS = 65536
SLOW_SECONDS = 2.0  # one input may not cost more CPU than this
INTERESTING = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".",
    b"\r\n.\r\n",
    b"<",
    b">",
    b'"',
    b"\\",
    b":",
    b";",
    b"=",
    b"@",
    b" ",
    b"\xff",
    b"\xc3",
    b"--",
    b"(",
    b")",
    b"0",
    b"-1",
    b"99999999999999999999",
]


def mutate(chance: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 2, 4, 8, 16))):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.choice((1, 1, 2, 8, 64)))
        kind = chance.randrange(8)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = chance.choice(INTERESTING)
        elif kind == 3:
            data[at:at] = data[at:end] * chance.choice((1, 2, 10, 200))
        elif kind == 4:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            data[at:at] = other[start : start + chance.choice((4, 32, 400))]
        elif kind == 5:
            data[at:end] = chance.randbytes(end - at)
        elif kind == 6:
            data[at:] = chance.choice(seeds)[chance.randrange(len(data) + 1) :]
        else:
            data[at:end] = chance.choice(INTERESTING) * chance.choice((1, 1, 3, 100))
    return bytes(data[:MAX_OCTETS])


def attempt(name: str, run: Callable[[bytes], None], data: bytes, number: int) -> bool:
    started = time.process_time()
    try:
        run(data)
        spent = time.process_time() - started
        if spent <= SLOW_SECONDS:
            return True
        report = f"took {spent:.1f} s of CPU\n"
    except Exception:
        report = traceback.format_exc()
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{name}-{number}.bin"
    path.write_bytes(data)
    print(f"{name}: FAILED on {path.relative_to(ROOT)}\n{report}", file=sys.stderr)
    return False


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, int]:
    target = importlib.import_module(f"tests.fuzz.targets.{name}")
    chance = random.Random(f"{name}:{seed}")
    done = failed = 0
    seeds: list[bytes] = list(target.SEEDS)
    for data in seeds:
        done += 1
        failed += not attempt(name, target.run, data, done)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and failed < 5:
        done += 1
        failed += not attempt(name, target.run, mutate(chance, seeds), done)
    return done, failed


def main() -> int:
    names = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent / "targets")]))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60, help="in all, shared by the targets")
    parser.add_argument("--target", action="append", choices=names)
    parser.add_argument("--seed", type=int, default=None, help="default: the time; printed")
    arguments = parser.parse_args()
    chosen = arguments.target or names
    seed = arguments.seed if arguments.seed is not None else int(time.time())
    print(f"seed {seed}")
    total = 0
    for name in chosen:
        done, failed = fuzz(name, arguments.seconds / len(chosen), seed)
        total += failed
        print(f"{name}: {done} executions, {failed} failed", flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
