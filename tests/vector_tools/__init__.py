"""Test vectors of others, which are not part of the project: where they are, and how we differ from them."""

from __future__ import annotations

import os
from pathlib import Path

VECTORS = Path(os.environ.get("TEST_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")
"""The folder with `mail-parser`, `mimekit` and `dompurify` in it."""
MAIL_PARSER = VECTORS / "mail-parser" / "resources"
MIMEKIT = VECTORS / "mimekit" / "UnitTests" / "TestData"
MISSING = "the vectors are not here: name their folder in TEST_VECTORS"


def messages_of_mail_parser() -> list[Path]:
    return sorted((MAIL_PARSER / "eml").glob("*/*.eml"))


def messages_of_mimekit() -> list[Path]:
    """Whole messages; `body.*` are pieces."""
    found = [path for path in (MIMEKIT / "messages").glob("*") if not path.name.startswith("body.")]
    return sorted([*found, *MIMEKIT.glob("dkim/*.msg"), *MIMEKIT.glob("*/*.eml"), *MIMEKIT.glob("smime/*.txt")])
