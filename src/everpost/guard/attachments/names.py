"""What a file's name gives away: executable extensions, double ones, characters that hide the true one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.filetypes import PICTURES, PROGRAMS, SCRIPTS, FileType
from everpost.guard.attachments.model import FindingKind

MAX_NAME: Final = 255
"""Characters of a name that are looked at and kept."""

_PROGRAMS: Final = """
    exe com scr pif cpl msi msp mst msix msixbundle appx appxbundle appinstaller dll sys drv ocx ax xll jar jnlp apk
    gadget application deb rpm pkg elf run chm hlp appref-ms ipa diagcab msu theme themepack deskthemepack
    settingcontent-ms library-ms search-ms searchconnector-ms xbap scf url website rdp lnk dex mam mad maf mda mde
    ade adp mdb mdt mdw mdz ops pcd prf prg cnt hpj inf ins isp msc vxd its xnk udl workflow osd
"""
_SCRIPTS: Final = """
    js jse mjs vbs vbe vb wsf wsh wsc ws sct ps1 ps1xml ps2 ps2xml psc1 psc2 psm1 psd1 bat cmd hta sh bash csh ksh zsh
    command py pyc pyw pyz pyzw pl rb php reg au3 ahk a3x scpt applescript csproj vbproj sln iqy slk
    msh msh1 msh2 mshxml msh1xml msh2xml shb shs bas jsp asp aspx
"""
_DOCUMENTS: Final = """
    pdf doc docx xls xlsx ppt pptx txt rtf odt ods csv jpg jpeg png gif bmp tif tiff htm html zip rar 7z mp3 mp4 wav avi
    eml msg xml ics
"""
PROGRAM_EXTENSIONS: Final = frozenset(_PROGRAMS.split())
"""What Windows, macOS or a common program starts when it is opened."""
SCRIPT_EXTENSIONS: Final = frozenset(_SCRIPTS.split())
_DOCUMENT_EXTENSIONS: Final = frozenset(_DOCUMENTS.split())

# Bidirectional controls and isolates (Unicode TR 9), and what takes no room.
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]")
_REORDERING: Final = re.compile("[\u202b\u202d\u202e\u2067]")
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200d\u2060-\u2064\ufeff\u3164\uffa0]"
)
_PADDING: Final = re.compile(r"(?:\s|[\u2000-\u200a\u2800\u3000_]){8,}(?=\.?\w{1,12}\s*\Z)|\s{3,}\.\w{1,12}\s*\Z")

_MATCHES: Final[dict[str, frozenset[FileType]]] = {
    "pdf": frozenset((FileType.PDF,)),
    "doc": frozenset((FileType.DOC, FileType.OLE, FileType.RTF, FileType.DOCX, FileType.DOCM, FileType.OLE_ENCRYPTED)),
    "dot": frozenset((FileType.DOC, FileType.OLE, FileType.RTF, FileType.DOCX, FileType.DOCM, FileType.OLE_ENCRYPTED)),
    "xls": frozenset((FileType.XLS, FileType.OLE, FileType.XLSX, FileType.XLSM, FileType.OLE_ENCRYPTED)),
    "ppt": frozenset((FileType.PPT, FileType.OLE, FileType.PPTX, FileType.PPTM, FileType.OLE_ENCRYPTED)),
    "pps": frozenset((FileType.PPT, FileType.OLE, FileType.PPTX, FileType.PPTM, FileType.OLE_ENCRYPTED)),
    "docx": frozenset((FileType.DOCX, FileType.OLE_ENCRYPTED)),
    "docm": frozenset((FileType.DOCM, FileType.DOCX, FileType.OLE_ENCRYPTED)),
    "xlsx": frozenset((FileType.XLSX, FileType.OLE_ENCRYPTED)),
    "xlsm": frozenset((FileType.XLSM, FileType.XLSX, FileType.OLE_ENCRYPTED)),
    "xlsb": frozenset((FileType.XLSB, FileType.OLE_ENCRYPTED)),
    "pptx": frozenset((FileType.PPTX, FileType.OLE_ENCRYPTED)),
    "pptm": frozenset((FileType.PPTM, FileType.PPTX, FileType.OLE_ENCRYPTED)),
    "rtf": frozenset((FileType.RTF,)),
    "zip": frozenset((FileType.ZIP,)),
    "rar": frozenset((FileType.RAR,)),
    "7z": frozenset((FileType.SEVENZIP,)),
    "gz": frozenset((FileType.GZIP,)),
    "bz2": frozenset((FileType.BZIP2,)),
    "xz": frozenset((FileType.XZ,)),
    "tar": frozenset((FileType.TAR,)),
    "cab": frozenset((FileType.CAB,)),
    "iso": frozenset((FileType.ISO, FileType.UDF)),
    "msg": frozenset((FileType.OUTLOOK,)),
    "one": frozenset((FileType.ONENOTE,)),
    "html": frozenset((FileType.HTML,)),
    "htm": frozenset((FileType.HTML,)),
    "svg": frozenset((FileType.SVG,)),
    "csv": frozenset((FileType.TEXT,)),
    "txt": frozenset((FileType.TEXT, FileType.HTML, FileType.XML, FileType.EML, FileType.SCRIPT)),
    **dict.fromkeys(["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp", "ico", "emf", "wmf", "heic"], PICTURES),
    **dict.fromkeys(["mp3", "mp4", "wav", "avi", "mov", "m4a", "ogg", "mkv"], frozenset((FileType.MEDIA,))),
}
_VAGUE: Final = frozenset((FileType.EMPTY, FileType.UNKNOWN, FileType.TEXT))


def shown(name: str) -> str:
    """A name as it may be shown: nothing that moves, hides or breaks a line, and not too long."""
    clean = "".join(
        f"<U+{ord(character):04X}>"
        if _DIRECTION.match(character) or _INVISIBLE.match(character) or unicodedata.category(character) in ("Cc", "Cs")
        else character
        for character in name[:MAX_NAME]
    )
    return clean + "…" if len(name) > MAX_NAME else clean


def extension(name: str) -> str:
    """The last extension, in small letters, as Windows will take it: trailing dots and spaces do not count."""
    bare = _INVISIBLE.sub("", _DIRECTION.sub("", name)).replace("\0", "")
    base = re.split(r"[\\/]", bare)[-1].rstrip(". \t\r\n")
    stem, dot, last = base.rpartition(".")
    return last.strip().lower() if dot and stem is not None and len(last) <= 20 else ""


def inspect_name(name: str) -> Iterator[tuple[FindingKind, str]]:
    """What the name alone tells, with the evidence."""
    name = name[-MAX_NAME:]
    last = extension(name)
    if _REORDERING.search(name):
        yield FindingKind.RIGHT_TO_LEFT_NAME, f"the name turns its reading direction; it ends in .{last or '?'}"
    elif _INVISIBLE.search(name) or _DIRECTION.search(name) or "\0" in name:
        yield FindingKind.HIDDEN_CHARACTERS, f"invisible characters in the name {shown(name)}"
    if _PADDING.search(name):
        yield FindingKind.PADDED_NAME, f"many blanks push the extension .{last} out of sight"
    runs = last in PROGRAM_EXTENSIONS or last in SCRIPT_EXTENSIONS
    if runs and _hides_behind(name):
        yield (
            FindingKind.DOUBLE_EXTENSION,
            f"{shown(re.split(r'[/]', name)[-1])} looks like a document, but is opened as .{last}",
        )
    if last in PROGRAM_EXTENSIONS:
        yield FindingKind.EXECUTABLE, f"the extension .{last} is started when it is opened"
    elif last in SCRIPT_EXTENSIONS:
        yield FindingKind.SCRIPT, f"the extension .{last} is run as a script when it is opened"


def _hides_behind(name: str) -> bool:
    """Whether one of the two extensions before the last one is that of a document."""
    parts = [part.strip(" _").lower() for part in re.split(r"[\\/]", name)[-1].split(".")]
    return any(part in _DOCUMENT_EXTENSIONS for part in parts[1:-1][-2:])


def inspect_type(name: str, declared: str, kind: FileType) -> Iterator[tuple[FindingKind, str]]:
    """Whether name and declared type fit the content."""
    if kind in PROGRAMS:
        yield FindingKind.EXECUTABLE, f"the content is a program ({kind})"
    elif kind in SCRIPTS:
        yield FindingKind.SCRIPT, f"the content is a script ({kind})"
    if kind in _VAGUE:
        return
    last = extension(name)
    fits = _MATCHES.get(last)
    if fits is not None and kind not in fits:
        yield FindingKind.TYPE_MISMATCH, f"named .{last}, but the content is {kind}"
        return
    family = declared.lower().split(";")[0].strip()
    if family.startswith(("image/", "audio/", "video/")) and kind not in PICTURES | {
        FileType.MEDIA,
        FileType.SVG,
    }:
        yield FindingKind.TYPE_MISMATCH, f"declared as {shown(family[:60])}, but the content is {kind}"
    elif family == "text/plain" and kind in PROGRAMS:
        yield FindingKind.TYPE_MISMATCH, f"declared as text, but the content is {kind}"
    elif family == "application/pdf" and kind is not FileType.PDF:
        yield FindingKind.TYPE_MISMATCH, f"declared as application/pdf, but the content is {kind}"
