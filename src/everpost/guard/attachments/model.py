"""The values of the inspection of attachments: what goes in, what is found, and how far it may go."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PATH_SEPARATOR: Final = " › "


class FindingKind(StrEnum):
    """What can be found in an attachment. A closed list: policies name these."""

    # What it is
    EXECUTABLE = "executable"
    SCRIPT = "script"
    DISK_IMAGE = "disk_image"
    LNK = "lnk"
    # What it is called
    DOUBLE_EXTENSION = "double_extension"
    RIGHT_TO_LEFT_NAME = "right_to_left_name"
    HIDDEN_CHARACTERS = "hidden_characters"
    PADDED_NAME = "padded_name"
    TYPE_MISMATCH = "type_mismatch"
    # Containers
    ENCRYPTED = "encrypted"
    PASSWORD_IN_TEXT = "password_in_text"  # noqa: S105 (the name of a finding)
    APPENDED_DATA = "appended_data"
    HIDDEN_MEMBER = "hidden_member"
    TNEF = "tnef"
    SMIME = "smime"
    # Documents
    MACRO = "macro"
    AUTO_MACRO = "auto_macro"
    DDE = "dde"
    TEMPLATE_INJECTION = "template_injection"
    EMBEDDED_OBJECT = "embedded_object"
    EQUATION_EDITOR = "equation_editor"
    ONENOTE_EMBEDDED = "onenote_embedded"
    PDF_JAVASCRIPT = "pdf_javascript"
    PDF_LAUNCH = "pdf_launch"
    PDF_OPEN_ACTION = "pdf_open_action"
    PDF_EMBEDDED_FILE = "pdf_embedded_file"
    # Pages, pictures, links
    HTML_SMUGGLING = "html_smuggling"
    HTML_SCRIPT = "html_script"
    SVG_SCRIPT = "svg_script"
    XML_ENTITY = "xml_entity"
    LNK_COMMAND = "lnk_command"
    # Limits and damage: what was not seen
    BOMB = "bomb"
    TOO_DEEP = "too_deep"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    OUT_OF_TIME = "out_of_time"
    DAMAGED = "damaged"
    NOT_UNPACKED = "not_unpacked"


INCOMPLETE: Final = frozenset(
    (
        FindingKind.ENCRYPTED,
        FindingKind.BOMB,
        FindingKind.TOO_DEEP,
        FindingKind.TOO_LARGE,
        FindingKind.TOO_MANY,
        FindingKind.OUT_OF_TIME,
        FindingKind.DAMAGED,
        FindingKind.NOT_UNPACKED,
    )
)
"""With one of these, something in the message was not looked at."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One attachment as the message carries it, without its transfer encoding.

    `name` and `declared_type` (such as "image/png") are what a stranger wrote; both may be empty.
    """

    name: str
    declared_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """How far one inspection may go; everything is shared by all attachments of a message."""

    depth: int = 20
    """Containers within containers; `.tar.gz` is two."""
    members: int = 2000
    octets: int = 200 * 1024 * 1024
    """Unpacked in all, every level counted."""
    member_octets: int = 100 * 1024 * 1024
    """One unpacked member."""
    ratio: int = 200
    """Octets out for one octet in, beyond which it is a bomb: of one member and of the message."""
    ratio_floor: int = 8 * 1024 * 1024
    """As long as less than this came out, any ratio will do."""
    seconds: float = 2.0
    """Wall time. Looked at between small steps: a step of a library may overrun it by some tenths."""
    password_tries: int = 2000
    password_seconds: float = 0.8
    """Of the wall time, for trying passwords."""
    findings: int = 300


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `path` names the place for a person: "report.zip › invoice.pdf.exe"."""

    kind: FindingKind
    path: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Member:
    """An attachment (depth 0) or what was unpacked from one, for a later search by name, digest or type."""

    path: str
    name: str
    size: int
    sha256: str
    true_type: str
    depth: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """The outcome. `complete` is false where anything could not be looked at; a finding then says what and why."""

    findings: tuple[Finding, ...]
    members: tuple[Member, ...]
    complete: bool

    def kinds(self) -> frozenset[FindingKind]:
        return frozenset(finding.kind for finding in self.findings)
