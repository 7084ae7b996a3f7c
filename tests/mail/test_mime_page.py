"""docs/mime.md is made of the lists that the tests of the vectors hold."""

from __future__ import annotations

from pathlib import Path

from vector_tools.differences import page

PAGE = Path(__file__).parents[2] / "docs" / "mime.md"


def test_the_page_tells_every_difference() -> None:
    assert PAGE.read_text() == page(), "PYTHONPATH=tests python -m vector_tools.differences > docs/mime.md"
