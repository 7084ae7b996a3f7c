"""The stand-in's IMAP server: a subset of IMAP4rev1 (RFC 3501) with UIDPLUS, MOVE, SPECIAL-USE and a master login."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from everpost.app.demo.standin import parser
from everpost.app.demo.standin.accounts import Accounts
from everpost.app.demo.standin.parser import BadCommand, Section, Word, text_of
from everpost.app.demo.standin.render import list_pattern, quoted, render
from everpost.app.demo.standin.search import compile_search
from everpost.app.demo.standin.store import SPECIAL_USE, Folder, Store

CAPABILITIES = "IMAP4rev1 LITERAL+ SASL-IR UIDPLUS MOVE SPECIAL-USE NAMESPACE ID IDLE UNSELECT AUTH=PLAIN"
MAX_LINE = 65_536
MAX_LITERAL = 64 * 1024 * 1024  # of APPEND, once logged in
MAX_SMALL_LITERAL = 8_192  # of everything else
IDLE_POLL = 0.5  # seconds
TIMEOUT = 1800.0  # seconds without a command (RFC 3501 §5.4)
_SEEN = frozenset({"\\Seen"})
_BATCH = 20  # messages read at once by FETCH


class Refused(Exception):
    """The command is understood and not done. The message may begin with a response code."""


class _Gone(Exception):
    """The client has left, or says what cannot be survived."""


@dataclass(slots=True)
class _Selected:
    folder: Folder
    read_only: bool
    uids: list[int] = field(default_factory=list)
    revision: int = 0


class ImapSession:
    """One connection."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, store: Store, accounts: Accounts
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._store = store
        self._accounts = accounts
        self._user: str | None = None
        self._selected: _Selected | None = None
        self._done = False

    async def serve(self) -> None:
        """Until the client leaves, or is silent for half an hour."""
        self._say(f"* OK [CAPABILITY {CAPABILITIES}] stand-in ready")
        try:
            while not self._done:
                await self._writer.drain()
                async with asyncio.timeout(TIMEOUT):
                    command = await self._read_command()
                await self._execute(command)
            await self._writer.drain()
        except (_Gone, TimeoutError, OSError):
            pass

    def _say(self, line: str) -> None:
        self._writer.write(line.encode("utf-8") + b"\r\n")

    async def _read_line(self) -> bytes:
        try:
            return (await self._reader.readuntil(b"\r\n"))[:-2]
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise _Gone from error

    async def _read_command(self) -> bytes:
        """A line with all literals it announces, at most `MAX_LINE` octets besides one literal."""
        command = await self._read_line()
        small = len(command)
        while announced := parser.literal_at_end(command[-20:]):
            size, wait = announced
            words = command[:40].upper().split(b" ")
            large = self._user is not None and words[1:2] == [b"APPEND"] and size <= MAX_LITERAL
            small += 0 if large else size
            if (not large and size > MAX_SMALL_LITERAL) or small > MAX_LINE:
                self._say("* BYE literal too big")
                raise _Gone
            if wait:
                self._say("+ go ahead")
                await self._writer.drain()
            try:
                literal = await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as error:
                raise _Gone from error
            rest = await self._read_line()
            small += len(rest)
            # What follows a literal starts anew, so that a literal's own end announces nothing.
            command += b"\r\n" + literal + rest
            if not parser.literal_at_end(rest[-20:]):
                break
        return command

    async def _execute(self, command: bytes) -> None:
        tag = "*"
        try:
            words = parser.parse(command)
            if words and isinstance(words[0], str):
                tag = words[0]
            name, arguments = parser.command_name(words)
            done = await self._dispatch(name, arguments)
            self._say(f"{tag} OK {done}")
        except BadCommand as error:
            self._say(f"{tag} BAD {error}")
        except Refused as error:
            self._say(f"{tag} NO {error}")
        except sqlite3.Error:
            self._say(f"{tag} NO [UNAVAILABLE] storage failed")

    async def _dispatch(self, name: str, arguments: list[Word]) -> str:
        if name in _ALWAYS:
            return await _ALWAYS[name](self, arguments)
        if self._user is None:
            if name in _BEFORE_LOGIN:
                return await _BEFORE_LOGIN[name](self, arguments)
            raise Refused("log in first") if name in _LOGGED_IN or name in _SELECTED else BadCommand("unknown command")
        if name in _LOGGED_IN:
            return await _LOGGED_IN[name](self, arguments)
        if name not in _SELECTED:
            raise BadCommand("unknown command")
        if self._selected is None:
            raise Refused("select a folder first")
        done = await _SELECTED[name](self, arguments)
        # Numbers may not change under FETCH, STORE and SEARCH by number (RFC 3501 §7.4.1).
        if name not in ("FETCH", "STORE", "SEARCH"):
            await self._refresh()
        return done

    async def _capability(self, arguments: list[Word]) -> str:
        self._say(f"* CAPABILITY {CAPABILITIES}")
        return "done"

    async def _noop(self, arguments: list[Word]) -> str:
        await self._refresh()
        return "done"

    async def _id(self, arguments: list[Word]) -> str:
        self._say('* ID ("name" "Everpost stand-in")')
        return "done"

    async def _logout(self, arguments: list[Word]) -> str:
        self._say("* BYE")
        self._done = True
        return "bye"

    # ------------------------------------------------------------------ logging in

    async def _login(self, arguments: list[Word]) -> str:
        if len(arguments) != 2:
            raise BadCommand("LOGIN needs user and password")
        return self._enter("", text_of(arguments[0]), text_of(arguments[1]))

    async def _authenticate(self, arguments: list[Word]) -> str:
        if not arguments or text_of(arguments[0]).upper() != "PLAIN":
            raise Refused("only PLAIN")
        if len(arguments) > 1:
            answer = text_of(arguments[1]).encode()
        else:
            self._say("+ ")
            await self._writer.drain()
            answer = await self._read_line()
        try:
            acting_for, user, password = base64.b64decode(answer, validate=True).decode("utf-8").split("\0")
        except (ValueError, binascii.Error) as error:
            raise BadCommand("malformed response") from error
        return self._enter(acting_for, user, password)

    def _enter(self, acting_for: str, user: str, password: str) -> str:
        self._user = self._accounts.log_in(acting_for, user, password)
        if self._user is None:
            raise Refused("[AUTHENTICATIONFAILED] wrong user or password")
        return f"[CAPABILITY {CAPABILITIES}] logged in"

    # ------------------------------------------------------------------ folders

    async def _namespace(self, arguments: list[Word]) -> str:
        self._say('* NAMESPACE (("" "/")) NIL NIL')
        return "done"

    async def _list(self, arguments: list[Word]) -> str:
        special_only = False
        if arguments and isinstance(arguments[0], list):
            special_only = any(text_of(word).upper() == "SPECIAL-USE" for word in arguments[0])
            arguments = arguments[1:]
        if len(arguments) < 2:
            raise BadCommand("reference and pattern are expected")
        patterns = arguments[1] if isinstance(arguments[1], list) else [arguments[1]]
        prefix = text_of(arguments[0])
        if patterns == [b""]:
            self._say('* LIST (\\Noselect) "/" ""')
            return "done"
        matches = [list_pattern(prefix + text_of(pattern)) for pattern in patterns]
        folders = await self._store.run(self._store.folders, self._me)
        for folder in folders:
            use = SPECIAL_USE.get(folder.name, "")
            if any(match.fullmatch(folder.name) for match in matches) and (use or not special_only):
                parent = any(other.name.startswith(folder.name + "/") for other in folders)
                children = "\\HasChildren" if parent else "\\HasNoChildren"
                self._say(f'* LIST ({f"{children} {use}".strip()}) "/" {quoted(folder.name)}')
        return "done"

    async def _lsub(self, arguments: list[Word]) -> str:
        for folder in await self._store.run(self._store.folders, self._me):
            self._say(f'* LSUB () "/" {quoted(folder.name)}')
        return "done"

    async def _subscribe(self, arguments: list[Word]) -> str:
        return "every folder is subscribed"

    async def _create(self, arguments: list[Word]) -> str:
        name = text_of(arguments[0]).rstrip("/") if arguments else ""
        if not name or len(name) > 500 or "//" in name or not name.isprintable():
            raise Refused("[CANNOT] no name for a folder")
        if not await self._store.run(self._store.create, self._me, name):
            raise Refused("[ALREADYEXISTS] it exists")
        return "created"

    async def _status(self, arguments: list[Word]) -> str:
        if len(arguments) != 2 or not isinstance(arguments[1], list):
            raise BadCommand("folder and items are expected")
        folder = await self._folder(arguments[0])
        rows = await self._store.run(self._store.rows, folder.id)
        known = {
            "MESSAGES": len(rows),
            "RECENT": 0,
            "UIDNEXT": folder.uidnext,
            "UIDVALIDITY": folder.uidvalidity,
            "UNSEEN": sum("\\Seen" not in row.flags for row in rows),
        }
        items = [text_of(word).upper() for word in arguments[1]]
        if unknown := set(items) - set(known):
            raise BadCommand(f"STATUS {min(unknown)[:20]} is not known here")
        self._say(f"* STATUS {quoted(folder.name)} ({' '.join(f'{item} {known[item]}' for item in items)})")
        return "done"

    async def _append(self, arguments: list[Word]) -> str:
        if len(arguments) < 2 or not isinstance(arguments[-1], bytes):
            raise BadCommand("folder and literal are expected")
        raw, between = arguments[-1], arguments[1:-1]
        flags: frozenset[str] = frozenset()
        if between and isinstance(between[0], list):
            flags, between = parser.read_flags(between[0]), between[1:]
        date = parser.read_date_time(between.pop(0)) if between else parser.format_date_time(datetime.now(UTC))
        if between:
            raise BadCommand("too many arguments")
        folder = await self._folder(arguments[0])
        uid = await self._store.run(self._store.append, folder.id, raw, flags, date)
        await self._refresh()
        return f"[APPENDUID {folder.uidvalidity} {uid}] appended"

    async def _open(self, arguments: list[Word], *, read_only: bool) -> str:
        self._selected = None
        if not arguments:
            raise BadCommand("a folder is expected")
        folder = await self._folder(arguments[0])
        uids = await self._store.run(self._store.uids, folder.id)
        self._selected = _Selected(folder, read_only, uids, folder.revision)
        self._say("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
        self._say("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] flags")
        self._say(f"* {len(uids)} EXISTS")
        self._say("* 0 RECENT")
        self._say(f"* OK [UIDVALIDITY {folder.uidvalidity}] valid")
        self._say(f"* OK [UIDNEXT {folder.uidnext}] next")
        return "[READ-ONLY] selected" if read_only else "[READ-WRITE] selected"

    # ------------------------------------------------------------------ messages

    async def _search(self, arguments: list[Word], *, by_uid: bool = False) -> str:
        now = self._now
        search = compile_search(arguments, len(now.uids), now.uids[-1] if now.uids else 0)
        numbers = {uid: number for number, uid in enumerate(now.uids, 1)}

        def find() -> list[int]:
            within = None
            if search.message_id is not None:
                within = sorted(self._store.by_message_id(now.folder.id, search.message_id))
            rows = self._store.rows(now.folder.id, within, heads=search.needs_heads)
            return [row.uid for row in rows if row.uid in numbers and search.test(numbers[row.uid], row)]

        found = await self._store.run(find)
        self._say(" ".join(["* SEARCH", *(str(uid if by_uid else numbers[uid]) for uid in found)]))
        return "done"

    async def _fetch(self, arguments: list[Word], *, by_uid: bool = False) -> str:
        if len(arguments) != 2:
            raise BadCommand("set and items are expected")
        chosen = self._choose(arguments[0], by_uid=by_uid)
        items = parser.fetch_items(arguments[1])
        if by_uid and "UID" not in items:
            items.insert(0, "UID")
        now = self._now
        sees = not now.read_only and any(isinstance(item, Section) and not item.peek for item in items)
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            uids = [uid for _, uid in batch]
            if sees:
                await self._store.run(self._store.store_flags, now.folder.id, uids, "+", _SEEN)
            await self._fetch_batch(batch, items + (["FLAGS"] if sees and "FLAGS" not in items else []))
        return "done"

    async def _fetch_batch(self, batch: list[tuple[int, int]], items: list[str | Section]) -> None:
        folder = self._now.folder.id
        rows = await self._store.run(self._store.rows, folder, [uid for _, uid in batch])
        numbers = {uid: number for number, uid in batch}
        for row in rows:
            content: tuple[bytes, bytes] | None = (b"", b"")
            if any(isinstance(item, Section) for item in items):
                content = await self._store.run(self._store.content, folder, row.uid)
            if content is not None:
                parts = b" ".join(render(item, row, content) for item in items)
                self._writer.write(b"* %d FETCH (%b)\r\n" % (numbers[row.uid], parts))
                await self._writer.drain()

    async def _store_flags(self, arguments: list[Word], *, by_uid: bool = False) -> str:
        if len(arguments) < 3:
            raise BadCommand("set, FLAGS and flags are expected")
        how = re.fullmatch(r"([+-]?)FLAGS(\.SILENT)?", text_of(arguments[1]).upper())
        if how is None:
            raise BadCommand("FLAGS, +FLAGS or -FLAGS are expected")
        flags = parser.read_flags(arguments[2] if isinstance(arguments[2], list) else arguments[2:])
        chosen = self._choose(arguments[0], by_uid=by_uid)
        folder = self._writable().folder
        uids = [uid for _, uid in chosen]
        rows = await self._store.run(self._store.store_flags, folder.id, uids, how[1], flags)
        numbers = {uid: number for number, uid in chosen}
        for row in rows if not how[2] else []:
            uid_part = f"UID {row.uid} " if by_uid else ""
            self._say(f"* {numbers[row.uid]} FETCH ({uid_part}FLAGS ({' '.join(sorted(row.flags))}))")
        return "done"

    async def _uid_copy(self, arguments: list[Word]) -> str:
        return await self._transfer(arguments, move=False)

    async def _uid_move(self, arguments: list[Word]) -> str:
        self._writable()
        return await self._transfer(arguments, move=True)

    async def _transfer(self, arguments: list[Word], *, move: bool) -> str:
        if len(arguments) != 2:
            raise BadCommand("set and folder are expected")
        uids = [uid for _, uid in self._choose(arguments[0], by_uid=True)]
        target = await self._folder(arguments[1])
        source = self._now.folder
        pairs = await self._store.run(self._store.copy, source.id, uids, target.id, move=move)
        if not pairs:
            return "nothing to do"
        old, new = (",".join(str(pair[side]) for pair in pairs) for side in (0, 1))
        code = f"[COPYUID {target.uidvalidity} {old} {new}]"
        if move:
            self._say(f"* OK {code} moved")  # RFC 6851 §4.3
            return "moved"
        return f"{code} copied"

    async def _expunge(self, arguments: list[Word]) -> str:
        folder = self._writable().folder
        await self._store.run(self._store.expunge, folder.id, None)
        return "done"

    async def _uid_expunge(self, arguments: list[Word]) -> str:
        if len(arguments) != 1:
            raise BadCommand("a set is expected")
        folder = self._writable().folder
        uids = {uid for _, uid in self._choose(arguments[0], by_uid=True)}
        await self._store.run(self._store.expunge, folder.id, uids)
        return "done"

    async def _close(self, arguments: list[Word]) -> str:
        now, self._selected = self._now, None
        if not now.read_only:
            await self._store.run(self._store.expunge, now.folder.id, None)
        return "closed"

    async def _unselect(self, arguments: list[Word]) -> str:
        self._selected = None
        return "unselected"

    async def _idle(self, arguments: list[Word]) -> str:
        self._say("+ idling")
        line = asyncio.ensure_future(self._read_line())
        try:
            async with asyncio.timeout(TIMEOUT):
                while not line.done():
                    await self._refresh()
                    await self._writer.drain()
                    await asyncio.wait({line}, timeout=IDLE_POLL)
        finally:
            line.cancel()
        if line.result().upper() != b"DONE":
            raise BadCommand("DONE is expected")
        return "done"

    # ------------------------------------------------------------------ helpers

    @property
    def _me(self) -> str:
        assert self._user is not None
        return self._user

    @property
    def _now(self) -> _Selected:
        assert self._selected is not None
        return self._selected

    def _writable(self) -> _Selected:
        if self._now.read_only:
            raise Refused("the folder is open for reading only")
        return self._now

    async def _folder(self, word: Word) -> Folder:
        name = text_of(word)
        folder = await self._store.run(self._store.folder, self._me, name)
        if folder is None:
            raise Refused("[TRYCREATE] no such folder")
        return folder

    def _choose(self, word: Word, *, by_uid: bool) -> list[tuple[int, int]]:
        """Number and UID of the messages in a set that this session knows."""
        uids = self._now.uids
        largest = (uids[-1] if uids else 0) if by_uid else len(uids)
        wanted = parser.number_set(word, largest)
        return [
            (number, uid)
            for number, uid in enumerate(uids, 1)
            if any(low <= (uid if by_uid else number) <= high for low, high in wanted)
        ]

    async def _refresh(self) -> None:
        """Tell what came and went since the client heard last."""
        now = self._selected
        if now is None:
            return
        folder = now.folder.id
        revision = await self._store.run(self._store.revision, folder)
        if revision == now.revision:
            return
        fresh = await self._store.run(self._store.uids, folder)
        kept = set(fresh)
        for number in range(len(now.uids), 0, -1):
            if now.uids[number - 1] not in kept:
                self._say(f"* {number} EXPUNGE")
                del now.uids[number - 1]
        if len(fresh) != len(now.uids):
            self._say(f"* {len(fresh)} EXISTS")
        now.uids, now.revision = fresh, revision


_Handler = Callable[[ImapSession, list[Word]], Awaitable[str]]

_ALWAYS: dict[str, _Handler] = {
    "CAPABILITY": ImapSession._capability,
    "NOOP": ImapSession._noop,
    "CHECK": ImapSession._noop,
    "ID": ImapSession._id,
    "LOGOUT": ImapSession._logout,
}
_BEFORE_LOGIN: dict[str, _Handler] = {"LOGIN": ImapSession._login, "AUTHENTICATE": ImapSession._authenticate}
_LOGGED_IN: dict[str, _Handler] = {
    "NAMESPACE": ImapSession._namespace,
    "LIST": ImapSession._list,
    "LSUB": ImapSession._lsub,
    "SUBSCRIBE": ImapSession._subscribe,
    "CREATE": ImapSession._create,
    "STATUS": ImapSession._status,
    "APPEND": ImapSession._append,
    "SELECT": partial(ImapSession._open, read_only=False),
    "EXAMINE": partial(ImapSession._open, read_only=True),
    "IDLE": ImapSession._idle,
}
_SELECTED: dict[str, _Handler] = {
    "SEARCH": ImapSession._search,
    "UID SEARCH": partial(ImapSession._search, by_uid=True),
    "FETCH": ImapSession._fetch,
    "UID FETCH": partial(ImapSession._fetch, by_uid=True),
    "STORE": ImapSession._store_flags,
    "UID STORE": partial(ImapSession._store_flags, by_uid=True),
    "UID COPY": ImapSession._uid_copy,
    "UID MOVE": ImapSession._uid_move,
    "EXPUNGE": ImapSession._expunge,
    "UID EXPUNGE": ImapSession._uid_expunge,
    "CLOSE": ImapSession._close,
    "UNSELECT": ImapSession._unselect,
}
