"""QR codes in pictures. The decoders (Pillow, ZXing) are loaded on first use; pictures are measured before decoding."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

_FORMATS: Final = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
_MIN_SIDE = 21  # modules of the smallest code


@dataclass(frozen=True, slots=True)
class QrLimits:
    """Pictures looked at, octets and pixels of each (before decoding), pixels of all, codes of all."""

    images: int = 20
    octets: int = 20_000_000
    pixels: int = 25_000_000
    pixels_of_all: int = 60_000_000
    codes: int = 20


@dataclass(frozen=True, slots=True)
class FoundCodes:
    """What the codes say; `skipped` counts pictures that were too large, damaged or beyond the bounds."""

    payloads: tuple[str, ...]
    skipped: int = 0


_DEFAULT = QrLimits()


def find_qr(images: Sequence[bytes], limits: QrLimits = _DEFAULT) -> FoundCodes:
    """The contents of the QR codes in some pictures (of an animation, its first frame). Never raises.

    CPU: about 20 ms per million pixels; call it off the event loop.
    """
    payloads: list[str] = []
    skipped = max(0, len(images) - limits.images)
    left = limits.pixels_of_all
    for image in images[: limits.images]:
        if len(payloads) >= limits.codes:
            break
        grey, pixels = _grey(image, limits, left)
        left -= pixels
        if grey is None:
            skipped += 1
        else:
            payloads.extend(_codes(grey))
    return FoundCodes(tuple(dict.fromkeys(payloads))[: limits.codes], skipped)


def _grey(data: bytes, limits: QrLimits, left: int) -> tuple[memoryview | None, int]:
    """The picture as rows of grey octets on white, and its pixels; None for what is no picture or too large."""
    from PIL import Image

    if len(data) > limits.octets:
        return None, 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; ours are measured below
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if min(width, height) < _MIN_SIDE:
                    return None, 0
                if width * height > min(limits.pixels, left):
                    return None, 0
                image.draft("L", image.size)
                if image.has_transparency_data:
                    colour = image.convert("RGBA")
                    page = Image.new("RGBA", image.size, "white")
                    page.alpha_composite(colour)
                    plain = page.convert("L")
                else:
                    plain = image.convert("L")
    except Exception:  # noqa: BLE001 -- Pillow raises whatever its codecs do; a damaged picture is no error of ours
        return None, 0
    return memoryview(plain.tobytes()).cast("B", (height, width)), width * height


def _codes(grey: memoryview) -> list[str]:
    import zxingcpp

    formats = (
        zxingcpp.BarcodeFormat.QRCode, zxingcpp.BarcodeFormat.MicroQRCode,
        zxingcpp.BarcodeFormat.DataMatrix, zxingcpp.BarcodeFormat.Aztec,
    )  # fmt: skip
    found = zxingcpp.read_barcodes(
        grey,
        formats=formats,  # type: ignore[arg-type]  # its stub knows one
        text_mode=zxingcpp.TextMode.Plain,
    )
    return [code.text for code in found if code.text]
