"""`everpost guard` on the command line: learning from files, once, and forgetting."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.test_cli import Everpost, everpost, example
from guard_tools.corpus import mail

__all__ = ["everpost", "example"]


@pytest.fixture
def spam(tmp_path: Path) -> Path:
    folder = tmp_path / "spam" / "deeper"
    folder.mkdir(parents=True)
    for number in range(5):
        (folder / f"{number}.eml").write_bytes(mail(number, spam=True))
    (folder / "empty.eml").write_bytes(b"")
    return folder.parent


@pytest.fixture
def ham(tmp_path: Path) -> Path:
    file = tmp_path / "ham.mbox"
    mails = [b"From a@b Mon Jan  1 00:00:00 2024\n" + mail(number, spam=False) + b"\n" for number in range(4)]
    file.write_bytes(b"".join(mails))
    return file


async def test_files_folders_and_mboxes_are_learned_once(example: Everpost, spam: Path, ham: Path) -> None:
    done = await example.json("guard", "learn", "--spam", str(spam))
    assert done == {"read": 6, "learned": 5, "unreadable": 1, "spam": 5, "ham": 0}
    assert (await example.json("guard", "learn", "--spam", str(spam)))["learned"] == 0
    done = await example.json("guard", "learn", "--ham", str(ham), str(spam / "deeper" / "0.eml"))
    assert done == {"read": 5, "learned": 5, "unreadable": 0, "spam": 4, "ham": 5}  # one changed sides
    prior, own = await example.json("guard", "lessons")
    assert (prior["of"], prior["spam"], prior["ham"], prior["up_to_date"]) == ("prior", 4, 5, True)
    assert (own["of"], own["spam"]) == ("example", 0)
    events = await example.json("audit", "list")
    assert events is not None


async def test_forgetting(example: Everpost, spam: Path, ham: Path) -> None:
    await example.run("mailbox", "create", "anna@example.org")
    await example.run("guard", "learn", "--spam", str(spam), "--org", "example")
    await example.run("guard", "learn", "--ham", str(ham))
    assert (await example.json("guard", "forget", str(spam / "deeper" / "1.eml"), "--org", "example"))["forgotten"] == 1
    assert (await example.json("guard", "forget", "--mailbox", "anna@example.org"))["forgotten"] == 0
    assert (await example.json("guard", "forget", "--all", "--org", "example"))["forgotten"] == 4
    prior, own = await example.json("guard", "lessons")
    assert (prior["ham"], own["spam"]) == (4, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("learn", "."), "--spam or --ham"),
        (("forget",), "say what to forget"),
        (("forget", "--all", "--mailbox", "anna@example.org"), "say what to forget"),
        (("forget", "--all", "--org", "nobody"), "nobody"),
    ],
)
async def test_wrong_use_says_what_is_missing(example: Everpost, words: tuple[str, ...], said: str) -> None:
    assert said in await example.run("guard", *words, code=1)
