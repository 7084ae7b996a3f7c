"""Mailboxes of the stand-in in SQLite. What a call returned from is committed."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from everpost.app.demo.standin.parser import format_date_time, read_date

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SPECIAL_USE = {"Drafts": "\\Drafts", "Sent": "\\Sent", "Trash": "\\Trash", "Junk": "\\Junk", "Archive": "\\Archive"}

# WAL: readers do not stop the writer. FULL: the log is flushed at every commit, so that a 250 holds through a power
# cut as well; commits are shared by the messages that are ready, which makes that cheap.
_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS folders (
  id INTEGER PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, uidvalidity INTEGER NOT NULL,
  uidnext INTEGER NOT NULL DEFAULT 1, revision INTEGER NOT NULL DEFAULT 1, UNIQUE (user, name));
CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, head BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS messages (
  folder INTEGER NOT NULL, uid INTEGER NOT NULL, blob INTEGER NOT NULL, flags TEXT NOT NULL, date TEXT NOT NULL,
  day INTEGER NOT NULL, size INTEGER NOT NULL, message_id TEXT NOT NULL, PRIMARY KEY (folder, uid)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS messages_blob ON messages (blob);
CREATE INDEX IF NOT EXISTS messages_id ON messages (folder, message_id);
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is now; `revision` changes whenever messages come, go or change flags."""

    id: int
    name: str
    uidvalidity: int
    uidnext: int
    revision: int


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of a message without its content. `head` is empty where it was not asked for."""

    uid: int
    flags: frozenset[str]
    date: str
    day: int
    size: int
    head: bytes


def split_message(raw: bytes) -> tuple[bytes, bytes]:
    """Header section with its empty line, and body."""
    if raw.startswith(b"\r\n"):
        return raw[:2], raw[2:]
    at = raw.find(b"\r\n\r\n")
    return (raw[: at + 4], raw[at + 4 :]) if at >= 0 else (raw, b"")


def header_values(head: bytes, name: str) -> list[bytes]:
    """Values of all fields of that name, unfolded, without decoding."""
    prefix = name.lower().encode("utf-8") + b":"
    values: list[bytes] = []
    inside = False
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t"):
            if inside:
                values[-1] += line
        elif inside := line[: len(prefix)].lower() == prefix:
            values.append(line[len(prefix) :].strip())
    return values


class Store:
    """All calls of `run` go through one thread with one connection, one after the other."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.executescript(_SCHEMA)
        self._thread = ThreadPoolExecutor(1, "store")
        self._waiting: list[tuple[bytes, tuple[str, ...], asyncio.Future[None]]] = []
        self._committing = False

    async def run(self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Do it in the store's thread."""
        call = functools.partial(work, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def deliver(self, raw: bytes, users: tuple[str, ...]) -> None:
        """Into the inboxes of the users; returns once it is durable. Messages that wait share a commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((raw, users, done))
        if not self._committing:
            self._committing = True
            try:
                while self._waiting:
                    await self._commit_waiting()
            finally:
                self._committing = False
        await done

    async def _commit_waiting(self) -> None:
        batch, self._waiting = self._waiting[:100], self._waiting[100:]
        error: Exception | None = None
        try:
            await self.run(self._deliver, [(raw, users) for raw, users, _ in batch])
        except sqlite3.Error as failure:
            error = failure
        for _, _, done in batch:
            if done.cancelled():
                continue
            if error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _deliver(self, batch: Sequence[tuple[bytes, tuple[str, ...]]]) -> None:
        date = format_date_time(datetime.now(UTC))
        with _Transaction(self._db):
            for raw, users in batch:
                blob = self._add_blob(raw)
                for user in users:
                    folder = self.folder(user, "INBOX")
                    assert folder is not None
                    self._add_message(folder.id, blob, frozenset(), date, raw)

    # What follows is meant for `run`.

    def ensure_user(self, user: str) -> None:
        """Make the folders every user has."""
        with _Transaction(self._db):
            for name in ("INBOX", *SPECIAL_USE):
                self._insert_folder(user, name)

    def create(self, user: str, name: str) -> bool:
        """A new folder with those above it; False where it was there."""
        parts = name.split("/")
        with _Transaction(self._db):
            return [self._insert_folder(user, "/".join(parts[: n + 1])) for n in range(len(parts))][-1]

    def folders(self, user: str) -> list[Folder]:
        query = "SELECT id, name, uidvalidity, uidnext, revision FROM folders WHERE user = ? ORDER BY name"
        return [Folder(*row) for row in self._db.execute(query, (user,))]

    def folder(self, user: str, name: str) -> Folder | None:
        name = "INBOX" if name.upper() == "INBOX" else name
        query = "SELECT id, name, uidvalidity, uidnext, revision FROM folders WHERE user = ? AND name = ?"
        row = self._db.execute(query, (user, name)).fetchone()
        return Folder(*row) if row else None

    def revision(self, folder: int) -> int:
        row = self._db.execute("SELECT revision FROM folders WHERE id = ?", (folder,)).fetchone()
        return int(row[0]) if row else 0

    def uids(self, folder: int) -> list[int]:
        return [uid for (uid,) in self._db.execute("SELECT uid FROM messages WHERE folder = ? ORDER BY uid", (folder,))]

    def rows(self, folder: int, uids: Iterable[int] | None = None, *, heads: bool = False) -> list[Row]:
        """The messages with these UIDs that are still there; None: all."""
        source = "JOIN blobs ON blobs.id = blob" if heads else ""
        head = "head" if heads else "x''"
        query = f"SELECT uid, flags, date, day, size, {head} FROM messages {source} WHERE folder = ?"  # noqa: S608
        if uids is None:
            found = self._db.execute(f"{query} ORDER BY uid", (folder,)).fetchall()
        else:
            found = [row for uid in uids for row in self._db.execute(f"{query} AND uid = ?", (folder, uid))]
        return [Row(row[0], frozenset(row[1].split()), *row[2:]) for row in found]

    def by_message_id(self, folder: int, message_id: str) -> set[int]:
        query = "SELECT uid FROM messages WHERE folder = ? AND message_id = ?"
        return {uid for (uid,) in self._db.execute(query, (folder, message_id))}

    def content(self, folder: int, uid: int) -> tuple[bytes, bytes] | None:
        """Header section and body; None where the message has gone."""
        query = "SELECT head, body FROM messages JOIN blobs ON blobs.id = blob WHERE folder = ? AND uid = ?"
        row = self._db.execute(query, (folder, uid)).fetchone()
        return (row[0], row[1]) if row else None

    def append(self, folder: int, raw: bytes, flags: frozenset[str], date: str) -> int:
        """A message into a folder; returns its UID."""
        with _Transaction(self._db):
            return self._add_message(folder, self._add_blob(raw), flags, date, raw)

    def store_flags(self, folder: int, uids: Iterable[int], change: str, flags: frozenset[str]) -> list[Row]:
        """`change` is `+` to add, `-` to remove, empty to replace; returns the rows as they are then."""
        uids = list(uids)
        with _Transaction(self._db):
            for row in self.rows(folder, uids):
                after = row.flags | flags if change == "+" else row.flags - flags if change == "-" else flags
                sql = "UPDATE messages SET flags = ? WHERE folder = ? AND uid = ?"
                self._db.execute(sql, (" ".join(sorted(after)), folder, row.uid))
            self._touch(folder)
        return self.rows(folder, uids)

    def copy(self, folder: int, uids: Iterable[int], target: int, *, move: bool) -> list[tuple[int, int]]:
        """Copy or move with flags and dates; pairs of old and new UID."""
        pairs = []
        with _Transaction(self._db):
            for uid in uids:
                query = "SELECT blob, flags, date, day, size, message_id FROM messages WHERE folder = ? AND uid = ?"
                row = self._db.execute(query, (folder, uid)).fetchone()
                if row is None:
                    continue
                pairs.append((uid, self._insert(target, *row)))
                if move:
                    self._db.execute("DELETE FROM messages WHERE folder = ? AND uid = ?", (folder, uid))
            self._touch(folder)
        return pairs

    def expunge(self, folder: int, uids: set[int] | None) -> None:
        """Remove what is flagged \\Deleted, of these UIDs only unless None."""
        with _Transaction(self._db):
            for row in self.rows(folder, None if uids is None else sorted(uids)):
                if "\\Deleted" not in row.flags:
                    continue
                key = (folder, row.uid)
                (blob,) = self._db.execute("SELECT blob FROM messages WHERE folder = ? AND uid = ?", key).fetchone()
                self._db.execute("DELETE FROM messages WHERE folder = ? AND uid = ?", key)
                unused = "DELETE FROM blobs WHERE id = ? AND NOT EXISTS (SELECT 1 FROM messages WHERE blob = ?)"
                self._db.execute(unused, (blob, blob))
            self._touch(folder)

    def _insert_folder(self, user: str, name: str) -> bool:
        sql = "INSERT OR IGNORE INTO folders (user, name, uidvalidity) VALUES (?, ?, ?)"
        return self._db.execute(sql, (user, name, int(time.time()))).rowcount == 1

    def _add_blob(self, raw: bytes) -> int:
        blob = self._db.execute("INSERT INTO blobs (head, body) VALUES (?, ?)", split_message(raw)).lastrowid
        assert blob is not None
        return blob

    def _add_message(self, folder: int, blob: int, flags: frozenset[str], date: str, raw: bytes) -> int:
        ids = header_values(split_message(raw)[0], "Message-ID")
        ident = ids[0].decode("utf-8", "replace") if ids else ""
        return self._insert(folder, blob, " ".join(sorted(flags)), date, read_date(date[:11].strip()), len(raw), ident)

    def _insert(self, folder: int, blob: int, flags: str, date: str, day: int, size: int, message_id: str) -> int:
        sql = "UPDATE folders SET uidnext = uidnext + 1, revision = revision + 1 WHERE id = ? RETURNING uidnext - 1"
        (uid,) = self._db.execute(sql, (folder,)).fetchone()
        sql = "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        self._db.execute(sql, (folder, uid, blob, flags, date, day, size, message_id))
        return int(uid)

    def _touch(self, folder: int) -> None:
        self._db.execute("UPDATE folders SET revision = revision + 1 WHERE id = ?", (folder,))

    def close(self) -> None:
        self._thread.shutdown()
        self._db.close()


class _Transaction:
    """BEGIN IMMEDIATE to COMMIT, or ROLLBACK on an error."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
