"""`everpost mailbox import`, as people use it."""

from __future__ import annotations

from pathlib import Path

from continuity.test_commands import Everpost, everpost  # noqa: F401
from history.setting import mbox, message


async def test_import_of_an_mbox(everpost: Everpost, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "old.mbox"
    file.write_bytes(mbox(message("one"), b"", message("two")))
    words = ("mailbox", "import", "anna@example.org", "--mbox", str(file), "--folder", "Old/2024")
    dry = await everpost.run(*words, "--dry-run", code=1)
    assert (dry["brought"], dry["dry_run"]) == (2, True)
    done = await everpost.run(*words, code=1)
    assert (done["brought"], done["met"], done["unreadable"], done["folders_created"]) == (2, 0, 1, 2)
    assert done["problems"][0].startswith("old.mbox, offset ")
    again = await everpost.run(*words, code=1)  # from the unreadable one on
    assert (again["brought"], again["met"]) == (0, 1)


async def test_what_cannot_be_is_said(everpost: Everpost, tmp_path: Path) -> None:  # noqa: F811
    words = ("mailbox", "import", "anna@example.org")
    assert "no IMAP connector" in (await everpost.run(*words, code=1))["error"]
    assert "no Maildir" in (await everpost.run(*words, "--maildir", str(tmp_path), code=1))["error"]
    assert "one source" in (await everpost.run(*words, "--maildir", str(tmp_path), "--imap", "x", code=1))["error"]
    secret = tmp_path / "secret"
    secret.write_text("x\n")
    refused = await everpost.run(
        *words, "--imap", "127.0.0.1:9", "--tls", "none", "--password-file", str(secret), code=1
    )  # fmt: skip
    assert "127.0.0.1" in refused["error"]
