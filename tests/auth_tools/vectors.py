"""Vectors of others: in the folder that TEST_VECTORS names, or beside this checkout. They are never copied."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(os.environ.get("TEST_VECTORS") or Path(__file__).resolve().parents[3] / "shared" / "vectors")


def needs(folder: str) -> pytest.MarkDecorator:
    """Skip, and say why, where a folder of vectors is missing."""
    return pytest.mark.skipif(not (VECTORS / folder).is_dir(), reason=f"no vectors: TEST_VECTORS has no {folder}")


def scenarios(path: str) -> list[dict[str, Any]]:
    """The documents of a YAML file; none where it is missing, so that the tests can be collected."""
    yaml = pytest.importorskip("yaml", reason="the vectors are YAML: PyYAML is not installed")
    file = VECTORS / path
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8"))) if file.is_file() else []
