"""Builds the front end into the wheel where its built files are absent. Needs Node and npm then, and only then."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("src/everpost/serve/web/static")
SOURCES = Path("web")


class FrontEnd(BuildHookInterface[Any]):
    """Runs before a wheel or source archive is put together; both carry the built files."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        if not (root / BUILT / "index.html").exists():
            self._build(root / SOURCES)
        build_data["artifacts"].append(f"/{BUILT}/**")

    def _build(self, sources: Path) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("the front end is not built, and npm is needed to build it: install Node 20 or newer")
        self.app.display_info("building the front end ...")
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([npm, *arguments], cwd=sources, check=True)  # noqa: S603 (our own commands)
