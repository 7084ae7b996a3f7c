"""Files of whole messages, in the disguises of MIME, through decoding and inspection."""

from __future__ import annotations

import base64
import io
import zipfile

import pytest

from everpost.guard import kinds
from everpost.guard.attachments.model import FindingKind
from everpost.guard.model import Judgement, Signal, Way
from everpost.guard.steps.attachments import Attachments
from everpost.guard.steps.reading import Reading
from everpost.guard.verdict import Policy, judge
from guard_tools import case_of

PROGRAM = b"MZ" + b"\0" * 58 + (64).to_bytes(4, "little") + b"PE\0\0" + b"\0" * 200


def zipped(name: str, data: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return target.getvalue()


def message(
    name: str, data: bytes, kind: str = "application/octet-stream", field: str = "Content-Disposition"
) -> bytes:
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    shown = f'Content-Disposition: attachment; filename="{name}"' if field == "Content-Disposition" else "X-Nothing: 1"
    return (
        b"From: a@example.com\r\nSubject: invoice\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee attached.\r\n"
        + f"--b\r\nContent-Type: {kind}\r\n{shown}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
        + encoded + b"--b--\r\n"
    )  # fmt: skip


async def signals(content: bytes) -> list[Signal]:
    case = case_of(content)
    await Reading()(case)
    return list(await Attachments(2.0)(case))


def kinds_of(found: list[Signal]) -> set[str]:
    return {each.kind for each in found}


@pytest.mark.parametrize(
    "content",
    [
        message("setup.exe", PROGRAM),
        message("invoice.zip", zipped("invoice.pdf.exe", PROGRAM), "application/zip"),
        message("picture.png", PROGRAM, "image/png"),
        message("", PROGRAM, "text/calendar", "none").replace(b"text/calendar", b"application/x-whatever"),
        message("a.zip", zipped("b.zip", zipped("c.zip", zipped("d.exe", PROGRAM)))),
        b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
        b"--o\r\nContent-Type: message/rfc822\r\n\r\n" + message("setup.exe", PROGRAM) + b"\r\n--o--\r\n",
    ],
    ids=["plain", "zip", "as a picture", "without a name", "zip in zip in zip", "in a message"],
)
async def test_a_program_is_found_whatever_it_is_wrapped_in(content: bytes) -> None:
    found = await signals(content)
    assert kinds.ATTACHMENT_KINDS[FindingKind.EXECUTABLE].name in kinds_of(found)
    assert judge(found, Way.INBOUND, Policy()).judgement is Judgement.MALWARE


async def test_ordinary_files_raise_nothing() -> None:
    for content in (
        message("notes.txt", b"hello\n", "text/plain"),
        message("notes.zip", zipped("notes.txt", b"hello\n"), "application/zip"),
        message("page.pdf", b"%PDF-1.4\n%%EOF\n", "application/pdf"),
    ):
        assert judge(await signals(content), Way.INBOUND, Policy()).judgement is Judgement.CLEAN


async def test_a_bomb_ends_within_its_limits() -> None:
    inner = zipped("zeros", b"\0" * 30_000_000)
    found = await signals(message("bomb.zip", zipped("inner.zip", inner), "application/zip"))
    assert kinds.ATTACHMENT_KINDS[FindingKind.BOMB].name in kinds_of(found)


def test_every_finding_is_worth_something() -> None:
    assert set(kinds.ATTACHMENT_KINDS) == set(FindingKind)
