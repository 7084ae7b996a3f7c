"""The process that holds the YARA rules: compiles or loads them, then scans what it is sent, one message at a time.

yara_x keeps Python's lock while it compiles and scans: within a worker, a hard rule would hold up all its mail. Here it
can be ended by force. Frames on standard input and output: a length of four octets, then MessagePack.
"""

from __future__ import annotations

import io
import math
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import yara_x

MAX_FILES: Final = 10_000
MAX_SOURCE: Final = 64 * 1024 * 1024  # octets of all rule files
MAX_MATCHES: Final = 100
SUFFIXES: Final = frozenset((".yar", ".yara"))


class Start(msgspec.Struct, frozen=True, array_like=True):
    """The first frame: the folder to compile, or rules that were compiled before."""

    folder: str
    compiled: bytes = b""


class Ready(msgspec.Struct, frozen=True, array_like=True):
    """The answer to it. With a `problem` there are no rules, and the process ends."""

    rules: int = 0
    compiled: bytes = b""
    problem: str = ""


class Request(msgspec.Struct, frozen=True, array_like=True):
    """The pieces of one message with their paths, and how long all of them together may take."""

    seconds: float
    pieces: list[tuple[str, bytes]]


class Match(msgspec.Struct, frozen=True, array_like=True):
    """A rule that was met, the file it stands in, and the piece that met it. `weight` is the rule's own, if any."""

    rule: str
    file: str
    path: str
    weight: float | None = None


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """What was found; `late` where not all could be looked at in time."""

    matches: list[Match]
    late: bool = False


class BadRules(Exception):
    """The rules cannot be used; the message names the file and the line."""


def rule_files(folder: Path) -> list[Path]:
    """The rule files in a folder and below, in order. Raises `BadRules`."""
    try:
        if not folder.is_dir():
            raise BadRules(f"{folder}: no such folder")
        found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    except OSError as error:
        raise BadRules(f"{folder}: {error.strerror or error}") from error
    if len(found) > MAX_FILES:
        raise BadRules(f"{folder}: more than {MAX_FILES} rule files")
    return found


def compile_folder(folder: Path) -> yara_x.Rules:
    """All rule files, each a namespace of its own. Raises `BadRules`: one broken file is enough."""
    compiler = yara_x.Compiler()
    compiler.add_include_dir(str(folder))
    octets = 0
    for path in rule_files(folder):
        name = str(path.relative_to(folder))
        try:
            source = path.read_text(encoding="utf-8")
            octets += len(source)
            if octets > MAX_SOURCE:
                raise BadRules(f"{folder}: more than {MAX_SOURCE} octets of rules")
            compiler.new_namespace(name)
            compiler.add_source(source, origin=name)
        except (OSError, UnicodeDecodeError, yara_x.CompileError) as error:
            raise BadRules(f"{name}: {' '.join(str(error).split())}"[:500]) from error
    return compiler.build()


def scan(rules: yara_x.Rules, request: Request) -> Reply:
    """Every piece, until the time is over."""
    scanner = yara_x.Scanner(rules)
    scanner.max_matches_per_pattern(10)
    end = time.monotonic() + request.seconds
    matches: list[Match] = []
    for path, data in request.pieces:
        left = end - time.monotonic()
        if left <= 0:
            return Reply(matches, late=True)
        scanner.set_timeout(max(1, math.ceil(left)))
        try:
            found = scanner.scan(data).matching_rules
        except yara_x.TimeoutError:
            return Reply(matches, late=True)
        matches += [Match(each.identifier, each.namespace, path, _weight(each)) for each in found]
        if len(matches) >= MAX_MATCHES:
            return Reply(matches[:MAX_MATCHES])
    return Reply(matches)


def _weight(rule: yara_x.Rule) -> float | None:
    for name, value in rule.metadata:
        if name == "weight" and isinstance(value, int | float):
            return float(value)
    return None


def _make(start: Start) -> tuple[yara_x.Rules | None, Ready]:
    try:
        if start.compiled:
            rules = yara_x.Rules.deserialize_from(io.BytesIO(start.compiled))
        else:
            rules = compile_folder(Path(start.folder))
    except BadRules as problem:
        return None, Ready(problem=str(problem))
    compiled = io.BytesIO()
    rules.serialize_into(compiled)
    return rules, Ready(sum(1 for _ in rules), compiled.getvalue())


def _read(stream: BinaryIO) -> bytes:
    head = stream.read(4)
    return stream.read(int.from_bytes(head, "big")) if len(head) == 4 else b""


def _write(stream: BinaryIO, message: Ready | Reply) -> None:
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(4, "big") + data)
    stream.flush()


def main() -> None:
    """Serve until standard input ends: with the worker, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    rules, ready = _make(msgspec.msgpack.decode(_read(sys.stdin.buffer), type=Start))
    _write(sys.stdout.buffer, ready)
    decode = msgspec.msgpack.Decoder(Request).decode
    while rules is not None and (frame := _read(sys.stdin.buffer)):
        _write(sys.stdout.buffer, scan(rules, decode(frame)))


if __name__ == "__main__":
    main()
