"""What a picture is, told from its first octets: its type and its size, whatever its server says about it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

HEAD_OCTETS: Final = 64 * 1024
"""How much is looked at to find the size."""
TINY: Final = 4
"""Pictures of at most so many pixels' width and height, or of one pixel in either, are there to track."""
_JPEG_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(frozen=True, slots=True)
class Picture:
    """`width` and `height` in pixels; 0 where they were not found."""

    type: str
    width: int
    height: int

    @property
    def is_tracker(self) -> bool:
        if not self.width or not self.height:
            return False
        return min(self.width, self.height) <= 1 or max(self.width, self.height) <= TINY


def recognise(data: bytes) -> Picture | None:
    """PNG, JPEG, GIF, WebP or AVIF; None for everything else, SVG among it."""
    head = data[:HEAD_OCTETS]
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
        return Picture("image/png", *struct.unpack_from(">II", head, 16))
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return Picture("image/gif", *struct.unpack_from("<HH", head, 6))
    if head.startswith(b"\xff\xd8\xff"):
        return Picture("image/jpeg", *_jpeg_size(head))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Picture("image/webp", *_webp_size(head))
    if head[4:8] == b"ftyp" and (head[8:12] in (b"avif", b"avis") or b"avif" in head[16:64]):
        return Picture("image/avif", *_avif_size(head))
    return None


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """From the first start of frame (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + max(length, 2)
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    """RFC 9649: lossy, lossless or extended."""
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8 " and len(head) >= 30:
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0


def _avif_size(head: bytes) -> tuple[int, int]:
    """From the first image spatial extents property (ISO/IEC 23008-12, 6.5.3)."""
    at = head.find(b"ispe")
    if at < 0 or at + 16 > len(head):
        return 0, 0
    width, height = struct.unpack_from(">II", head, at + 8)
    return width, height
