"""Everpost beside Postfix and Dovecot: the same mail, the same machine, one run. See README.md."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the real peers are those of the tests
