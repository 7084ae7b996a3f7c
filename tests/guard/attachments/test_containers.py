"""Archives, disk images and messages: what is in them comes to light, encrypted or not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest
import rars
import zstandard
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from attachment_tools import (
    EXE,
    cab,
    fat,
    iso,
    kinds,
    lnk,
    look,
    paths,
    sevenzipped,
    tnef,
    zipped,
    zipped_aes,
    zipped_classic,
)
from everpost.guard.attachments import Attachment, FindingKind, inspect

NAME = "Rechnung Nr. 4711.pdf.exe"


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def rarred(name: str, data: bytes, family: str = "rar50", password: str | None = None, header: bool = False) -> bytes:
    builder = rars.RarBuilder(family, password=password, encrypt_headers=header)
    builder.add_bytes(data, name)
    return bytes(builder.to_bytes())


def mail(name: str, data: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.org", "x"
    message.set_content("Hello")
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return bytes(message)


def vhd(disk: bytes) -> bytes:
    footer = bytearray(512)
    footer[:8], footer[60:64] = b"conectix", (2).to_bytes(4, "big")
    return disk + footer


def dynamic_vhd(disk: bytes) -> bytes:
    size = 2 * 1024 * 1024
    footer = bytearray(512)
    footer[:8], footer[16:24], footer[60:64] = b"conectix", (512).to_bytes(8, "big"), (3).to_bytes(4, "big")
    header = bytearray(1024)
    header[:8], header[16:24] = b"cxsparse", (1536).to_bytes(8, "big")
    header[28:32], header[32:36] = (1).to_bytes(4, "big"), size.to_bytes(4, "big")
    table = (4).to_bytes(4, "big").ljust(512, b"\xff")
    return bytes(footer + header + table) + b"\xff" * 512 + disk.ljust(size, b"\0") + bytes(footer)


def partitioned(volume: bytes) -> bytes:
    sector = bytearray(512)
    sector[446:462] = struct.pack("<B3sB3sII", 0, b"", 1, b"", 2, len(volume) // 512)
    sector[510:] = b"\x55\xaa"
    return bytes(sector) + bytes(512) + volume


def signed(content: bytes) -> bytes:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(1))
    certificate = builder.sign(key, hashes.SHA256())
    signing = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    return signing.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


CONTAINERS = {
    "zip": zipped((NAME, EXE)),
    "zip stored": zipped((NAME, EXE), method=0),
    "zip bzip2": zipped((NAME, EXE), method=12),
    "zip lzma": zipped((NAME, EXE), method=14),
    "7z": sevenzipped((NAME, EXE)),
    "rar 5": rarred(NAME, EXE),
    "rar 3": rarred(NAME, EXE, "rar29"),
    "tar": tarred(NAME, EXE),
    "tar.gz": gzip.compress(tarred(NAME, EXE)),
    "tar.bz2": bz2.compress(tarred(NAME, EXE)),
    "tar.xz": lzma.compress(tarred(NAME, EXE)),
    "tar.zst": zstandard.compress(tarred(NAME, EXE)),
    "cab": cab(NAME, EXE),
    "iso": iso(NAME, EXE),
    "fat": fat(NAME, EXE),
    "vhd": vhd(fat(NAME, EXE)),
    "dynamic vhd": dynamic_vhd(fat(NAME, EXE)),
    "mbr": partitioned(fat(NAME, EXE)),
    "tnef": tnef(NAME, EXE),
    "eml": mail(NAME, EXE),
    "s/mime": signed(mail(NAME, EXE)),
    "zip in 7z in eml": mail("a.7z", sevenzipped(("a.zip", zipped((NAME, EXE))))),
    "program with a zip behind it": EXE + zipped((NAME, EXE + b"x")),
    "zip that its directory does not list": zipped((NAME, EXE))[: -22 - 46 - len(NAME)] + zipped(("a.txt", b"x")),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_what_is_inside_is_found(kind: str) -> None:
    found = look(CONTAINERS[kind], "parcel")
    inner = [path for path in paths(found, FindingKind.DOUBLE_EXTENSION) if path.endswith(NAME)]
    assert inner, found.findings
    assert any(member.true_type == "pe" and member.name.endswith(NAME) for member in found.members)
    assert found.complete


def test_a_path_names_the_place() -> None:
    found = look(zipped(("a/b.zip", zipped(("c.exe", EXE)))), "report.zip")
    assert "report.zip › a/b.zip › c.exe" in paths(found, FindingKind.EXECUTABLE)
    assert [member.depth for member in found.members] == [0, 1, 2]


LOCKED = {
    "zip aes": zipped_aes("Geheim!7", (NAME, EXE)),
    "zip classic": zipped_classic("Geheim!7", NAME, EXE),
    "7z": sevenzipped((NAME, EXE), password="Geheim!7"),
    "7z with header": sevenzipped((NAME, EXE), password="Geheim!7", header=True),
    "rar 5": rarred(NAME, EXE, password="Geheim!7"),
    "rar 5 with header": rarred(NAME, EXE, password="Geheim!7", header=True),
    "rar 3": rarred(NAME, EXE, "rar29", password="Geheim!7"),
}
TEXTS = (
    "Please open the attachment. Password: Geheim!7",
    "Das Kennwort lautet Geheim!7.",
    "Le mot de passe est « Geheim!7 »",
    "PIN\nGeheim!7",
    "use 'Geheim!7' to open it",
    "it is all in there, Geheim!7 and so on",
)


@pytest.mark.parametrize("kind", LOCKED)
@pytest.mark.parametrize("text", TEXTS)
def test_a_password_in_the_text_opens_it(kind: str, text: str) -> None:
    found = look(LOCKED[kind], "parcel", texts=["Invoice", text])
    assert FindingKind.PASSWORD_IN_TEXT in found.kinds()
    assert "Geheim!7" in next(one.evidence for one in found.findings if one.kind is FindingKind.PASSWORD_IN_TEXT)
    assert any(member.true_type == "pe" for member in found.members)
    assert found.complete


@pytest.mark.parametrize("kind", LOCKED)
def test_without_it_the_names_are_judged(kind: str) -> None:
    found = look(LOCKED[kind], "parcel", texts=["Nothing of use here, 5 words."])
    assert FindingKind.ENCRYPTED in found.kinds()
    assert not found.complete
    assert (FindingKind.DOUBLE_EXTENSION in found.kinds()) is ("with header" not in kind)


def test_a_wrong_password_is_not_taken_for_the_right_one_by_its_first_octet() -> None:
    """One in 256 does give an octet with which a header may begin."""
    words = " ".join(f"word{number}" for number in range(30))
    for _ in range(40):
        locked = sevenzipped((NAME, EXE), password="Geheim!7", header=True)
        assert FindingKind.PASSWORD_IN_TEXT not in look(locked, "parcel", texts=[words]).kinds()


def test_a_password_that_opened_one_is_the_first_for_the_next() -> None:
    words = " ".join(f"word{number}" for number in range(300))
    parcels = [Attachment(f"{n}.7z", "", sevenzipped((f"{n}.exe", EXE), password="Geheim!7")) for n in range(3)]
    found = inspect(parcels, [f"{words} code: Geheim!7"])
    assert len(paths(found, FindingKind.PASSWORD_IN_TEXT)) == 3


def test_what_is_encrypted_for_a_key_is_said_to_be() -> None:
    oid = bytes.fromhex("06092a864886f70d010703")
    assert {FindingKind.SMIME, FindingKind.ENCRYPTED} <= kinds(b"\x30" + bytes((len(oid),)) + oid)


def test_what_is_not_unpacked_is_said() -> None:
    found = look(b"\x60\xea" + (40).to_bytes(2, "little") + bytes(60), "a.arj")
    assert found.kinds() == {FindingKind.NOT_UNPACKED}
    assert not found.complete


def test_a_file_system_that_is_not_read_is_carved() -> None:
    image = bytearray(0x10000) + EXE.ljust(4096, b"\0") + lnk("/c calc") + bytes(4096)
    image[0x8001:0x8006], image[0x8801:0x8806] = b"BEA01", b"NSR02"
    found = look(bytes(image), "disk.img")
    assert {FindingKind.DISK_IMAGE, FindingKind.EXECUTABLE, FindingKind.LNK_COMMAND} <= found.kinds()


def test_a_torn_archive_gives_what_is_left() -> None:
    whole = gzip.compress(EXE + bytes(range(256)) * 4)
    found = look(whole[:-200], "setup.exe.gz")
    assert {FindingKind.DAMAGED, FindingKind.EXECUTABLE} <= found.kinds()
