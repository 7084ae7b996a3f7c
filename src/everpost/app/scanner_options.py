"""The options of the malware scanners: `[guard.clamd]`, `[[guard.icap]]`, `[guard.yara]`."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from everpost.app.options import Section, doc

MIB: Final = 1024 * 1024
_ENGINE: Final = re.compile(r"[A-Za-z0-9_-]{1,40}\Z")
_ENDPOINT: Final = re.compile(r"(?:[^\s:/\[\]]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}\Z")
_SERVICE: Final = re.compile(r"icaps?://(?:[^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/\S+\Z")


class RemoteScanner(Section, frozen=True):
    """What all scanners have that run elsewhere."""

    seconds: Annotated[
        float, doc("Longest time for one message, with the wait for its turn.", unit="seconds", ge=0.5, le=45)
    ] = 20.0
    at_once: Annotated[
        int, doc("Most messages that it looks at at a time, for one worker process.", ge=1, le=1000)
    ] = 8  # fmt: skip
    object_octets: Annotated[
        int, doc("Largest object that is sent; no more than it takes.", unit="octets", ge=MIB, le=1024 * MIB)
    ] = 25 * MIB
    parts: Annotated[
        bool, doc("Send decoded parts and unpacked files as well, not only the message as it came.")
    ] = True  # fmt: skip
    unavailable: Annotated[
        Literal["deliver", "defer", "quarantine"],
        doc("What is done with mail that it could not look at: deliver it with a mark, answer 4xx, keep it apart."),
    ] = "deliver"


class Clamd(RemoteScanner, frozen=True):
    """The daemon of ClamAV. How to set it up stands in [guard-scanners.md](guard-scanners.md)."""

    address: Annotated[
        str, doc("Path of its socket, or address:port. Empty: it is not asked.", example="/run/clamav/clamd.ctl")
    ] = ""
    suspect: Annotated[
        tuple[str, ...],
        doc("What it finds under a name that begins like one of these adds to the score; all else is malware."),
    ] = ("Heuristics.", "PUA.")


class Icap(RemoteScanner, frozen=True):
    """Another malware engine, asked by ICAP (RFC 3507). The table may stand several times: all of them are asked."""

    name: Annotated[str, doc("What it is called in signals, log and figures.", example="acme")] = ""
    url: Annotated[str, doc("Its service; icaps for TLS.", example="icap://av.example.org:1344/respmod")] = ""
    ca_file: Annotated[str, doc("Certificates that its own is checked by, in PEM. Empty: those of the system.")] = ""


class Yara(Section, frozen=True):
    """YARA rules of your own, over decoded texts, parts and unpacked files."""

    rules_dir: Annotated[
        str,
        doc(
            "Folder of rule files (*.yar, *.yara), also in folders below. Read again when they change. Empty: none.",
            example="/etc/everpost/yara",
        ),
    ] = ""
    seconds: Annotated[float, doc("Longest time for one message.", unit="seconds", ge=0.5, le=40)] = 5.0
    unavailable: Annotated[
        Literal["deliver", "defer", "quarantine"],
        doc(
            "What is done with mail that they were not held against: deliver it with a mark, answer 4xx, keep it apart."
        ),
    ] = "deliver"


def scanner_problems(clamd: Clamd, icap: tuple[Icap, ...]) -> list[tuple[str, str]]:
    """What types and bounds cannot say, as (key, sentence)."""
    found = []
    if clamd.address and not clamd.address.startswith("/") and not _ENDPOINT.match(clamd.address):
        found.append(
            ("guard.clamd.address", f"{clamd.address!r}: write a path like /run/clamav/clamd.ctl, or address:port")
        )
    taken = {"clamd", "yara"}
    for number, engine in enumerate(icap):
        key = f"guard.icap[{number}]"
        if not _ENGINE.match(engine.name) or engine.name in taken:
            found.append((f"{key}.name", f"{engine.name!r}: a name of its own, of letters, digits, - and _, is needed"))
        taken.add(engine.name)
        if not _SERVICE.match(engine.url):
            found.append((f"{key}.url", f"{engine.url!r}: write it like icap://av.example.org:1344/respmod"))
    return found
