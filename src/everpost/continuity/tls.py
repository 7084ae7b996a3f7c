"""TLS towards a primary, as its connectors want it."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path


def connector_context(*, verify: bool, ca_file: str) -> ssl.SSLContext:
    """Checks chain and name against `ca_file` (or the system's authorities), or, without `verify`, nothing.

    Made once for each file as it stands: reading the system's authorities takes 25 ms.
    Raises `OSError` where the file cannot be read, `ssl.SSLError` where it holds no certificate.
    """
    written = Path(ca_file).stat().st_mtime_ns if ca_file else 0
    return _context(verify, ca_file, written)


@functools.lru_cache(maxsize=256)
def _context(verify: bool, ca_file: str, _written: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file or None)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
