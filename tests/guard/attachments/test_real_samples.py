"""Samples of others: ClamAV's test files in their disguises, MimeKit's TNEF and S/MIME."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from attachment_tools import look
from everpost.guard.attachments import FindingKind
from everpost.guard.attachments.walk import INTERNAL
from everpost.mail.mime import decode_body, scan
from vector_tools import MIMEKIT, MISSING

CLAMAV = Path("/usr/share/clamav-testfiles")
SIZE = 544
_BODIES = ("message.", "body.")  # what other readers call the text of the message itself
NOT_UNPACKED = {
    "clam.arj": "ARJ",
    "clam.chm": "LZX; help files are programs by themselves",
    "clam.sis": "Symbian",
    "clam.impl.zip": "Implode",
    "clam_IScab_ext.exe": "LZX within an installer",
    "clam_IScab_int.exe": "LZX within an installer",
    "clam_ISmsi_ext.exe": "an installer of its own format",
    "clam_ISmsi_int.exe": "an installer of its own format",
}
samples = sorted(CLAMAV.glob("*")) if CLAMAV.is_dir() else []


@pytest.mark.peer
@pytest.mark.skipif(not samples, reason="needs the package clamav-testfiles")
def test_the_program_comes_to_light_in_every_disguise() -> None:
    hidden = set()
    for path in samples:
        found = look(path.read_bytes(), "parcel", seconds=10)
        programs = {member.path for member in found.members if member.true_type in ("pe", "dos")}
        whole = any(SIZE <= member.size <= SIZE + 5 for member in found.members if member.path in programs)
        packed_program = path.suffix == ".exe" and path.name not in NOT_UNPACKED
        if not whole and not (packed_program and "parcel" in programs):
            hidden.add(path.name)
            assert path.suffix == ".exe" or not found.complete, f"{path.name} passes as looked at"
        assert not [one for one in found.findings if one.evidence.startswith(INTERNAL)]
    assert hidden == set(NOT_UNPACKED)


@pytest.mark.skipif(not MIMEKIT.is_dir(), reason=MISSING)
@pytest.mark.parametrize("path", sorted((MIMEKIT / "tnef").glob("*.tnef")), ids=lambda path: path.stem)
def test_tnef(path: Path) -> None:
    found = look(path.read_bytes(), "winmail.dat")
    assert FindingKind.TNEF in found.kinds()
    assert not [one for one in found.findings if one.evidence.startswith(INTERNAL)]
    expected = path.with_suffix(".list").read_text("utf-8", "replace") if path.with_suffix(".list").exists() else ""
    names = [line.strip() for line in expected.splitlines() if re.search(r"\.\w{2,4}$", line.strip())]
    unpacked = {member.name.strip().lower() for member in found.members}
    missing = [name for name in names if name.lower() not in unpacked and not name.lower().startswith(_BODIES)]
    assert not missing, (missing, unpacked)


@pytest.mark.skipif(not MIMEKIT.is_dir(), reason=MISSING)
def test_whole_messages_of_others() -> None:
    for path in (*MIMEKIT.glob("tnef/*.eml"), *MIMEKIT.glob("smime/*.txt"), *MIMEKIT.glob("messages/*.txt")):
        data = path.read_bytes()
        found = look(data, "a.eml")
        assert not [one for one in found.findings if one.evidence.startswith(INTERNAL)], path.name
        assert decode_body(data, scan(data)) is not None
