"""Which reader looks into which type, and what may be put behind a file of another type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from everpost.guard.attachments.containers import cab, rar, sevenzip, single, tape, zipfiles
from everpost.guard.attachments.context import Child, Context, Handler, Item
from everpost.guard.attachments.documents import lnk, ole, onenote, ooxml, pages, pdf, rtf
from everpost.guard.attachments.filetypes import OLE_TYPES, OOXML, PROGRAMS, ZIP_TYPES, FileType, detect
from everpost.guard.attachments.images import disk, fat, iso, ntfs
from everpost.guard.attachments.messages import cms, mail, tnef
from everpost.guard.attachments.model import FindingKind
from everpost.guard.attachments.names import extension

DISK_IMAGES: Final = frozenset(
    (
        FileType.ISO,
        FileType.UDF,
        FileType.FAT,
        FileType.NTFS,
        FileType.MBR,
        FileType.VHD,
        FileType.VHDX,
        FileType.VMDK,
        FileType.QCOW,
        FileType.DMG,
        FileType.WIM,
    )
)
_NOT_READ: Final = frozenset(
    (
        FileType.ARJ,
        FileType.ACE,
        FileType.LZH,
        FileType.ZOO,
        FileType.COMPRESS,
        FileType.LZIP,
        FileType.LZ4,
        FileType.XAR,
        FileType.SIS,
        FileType.ALZ,
        FileType.EGG,
        FileType.VMDK,
        FileType.QCOW,
        FileType.DMG,
        FileType.WIM,
        FileType.CHM,
    )
)
_READERS: Final[dict[FileType, Handler]] = {
    **dict.fromkeys(ZIP_TYPES, zipfiles.unzip),
    **dict.fromkeys(OOXML | {FileType.OPENDOCUMENT}, ooxml.unpack),
    **dict.fromkeys(OLE_TYPES, ole.unpack),
    **dict.fromkeys(
        (FileType.GZIP, FileType.BZIP2, FileType.XZ, FileType.LZMA, FileType.ZSTD, FileType.SZDD), single.unpack
    ),
    FileType.BINHEX: single.unbinhex,
    FileType.RAR: rar.unpack,
    FileType.SEVENZIP: sevenzip.unpack,
    FileType.CAB: cab.unpack,
    FileType.TAR: tape.untar,
    FileType.CPIO: tape.uncpio,
    FileType.ISO: iso.unpack,
    FileType.FAT: fat.unpack,
    FileType.NTFS: ntfs.unpack,
    FileType.VHD: disk.unvhd,
    FileType.MBR: disk.partitions,
    FileType.UDF: disk.carve,
    FileType.VHDX: disk.carve,
    FileType.TNEF: tnef.unpack,
    FileType.EML: mail.unpack_mail,
    FileType.CMS: cms.unpack,
    FileType.RTF: rtf.unpack,
    FileType.PDF: pdf.unpack,
    FileType.ONENOTE: onenote.unpack,
    FileType.LNK: lnk.unpack,
    FileType.HTML: pages.unpack,
    FileType.HTA: pages.unpack,
    FileType.SVG: pages.unpack,
    FileType.XML: pages.unpack,
}
_TABLES: Final = frozenset(("csv", "slk", "iqy", "tsv", "dif", "txt"))
_CONTAINER_MARKS: Final = (b"PK\x03\x04", b"Rar!\x1a\x07", b"7z\xbc\xaf\x27\x1c", b"MSCF\0\0\0\0")
_END_OF_ZIP: Final = b"PK\x05\x06"
_CARRIERS: Final = PROGRAMS - ZIP_TYPES - OLE_TYPES | {
    FileType.PNG,
    FileType.JPEG,
    FileType.GIF,
    FileType.BMP,
    FileType.PDF,
    FileType.HTML,
    FileType.TEXT,
    FileType.UNKNOWN,
    FileType.RTF,
    FileType.MEDIA,
    FileType.SCRIPT,
}


def reader_of(item: Item) -> Handler | None:
    """The reader for this item; None for what carries nothing."""
    if item.type in _READERS:
        return _READERS[item.type]
    if item.type in _NOT_READ:
        return _not_read
    if item.type is FileType.TEXT and extension(item.name) in _TABLES:
        return _table
    if item.type is FileType.UNKNOWN and extension(item.name) in ("img", "iso", "ima", "vfd", "udf"):
        return disk.carve
    return None


def _not_read(item: Item, context: Context) -> Iterator[Child]:
    context.find(FindingKind.NOT_UNPACKED, item.path, f"{item.type} is not unpacked here")
    yield from ()


def _table(item: Item, context: Context) -> Iterator[Child]:
    pages.inspect_table(item, context)
    yield from ()


def appended(item: Item, context: Context) -> Iterator[Child]:
    """An archive behind (or within) a program, a picture or a document: opened by the right program all the same."""
    if item.type not in _CARRIERS:
        return
    data = item.data
    starts = [data.find(mark, 1) for mark in _CONTAINER_MARKS]
    if data.rfind(_END_OF_ZIP, max(0, len(data) - 66_000)) < 0:
        starts[0] = -1  # a local header without an end is met by chance, or lies within a document
    for start in sorted(place for place in starts if place > 0):
        body = data[start:]
        kind = detect(body)
        if kind is FileType.CAB and int.from_bytes(body[8:12], "little") > len(body):
            continue
        context.find(FindingKind.APPENDED_DATA, item.path, f"an archive ({kind}) begins at octet {start}")
        yield Child(f"octet {start}", body)
