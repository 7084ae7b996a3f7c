"""One message in one file."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from everpost.standby.history.mbox import crlf
from everpost.standby.history.model import MAX_MESSAGE_OCTETS


def read_message(file: Path) -> tuple[bytes, datetime]:
    """Its bytes with CRLF at the ends of lines, and the file's time. Raises `OSError`, `ValueError`."""
    with file.open("rb") as opened:
        content = opened.read(MAX_MESSAGE_OCTETS + 1)
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    if len(content) > MAX_MESSAGE_OCTETS:
        raise ValueError(f"longer than {MAX_MESSAGE_OCTETS // 1024**2} MiB")
    if not content.strip():
        raise ValueError("empty")
    return crlf(content), written
