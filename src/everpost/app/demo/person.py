"""A person at work in the standby while their mail server is away, and what must come of it on the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from everpost.app.demo.count import Copy, copy_of
from everpost.app.demo.jmap import Mailbox

FOLDER = "Decisions"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a copy has to stand on the server afterwards, and with which flags at least."""

    copy: Copy
    folder: str
    flags: frozenset[str]


@dataclass
class Work:
    """What one or more people did."""

    read: int = 0
    wanted: list[Wanted] = field(default_factory=list)
    added: list[Copy] = field(default_factory=list)  # new copies: sent messages, what colleagues got, drafts
    removed: list[Copy] = field(default_factory=list)  # destroyed for good


async def work(box: Mailbox, colleague: str, outsider: str, done: Work) -> None:
    """Read, flag, move, delete, reply, send and leave a draft; `done` learns what is to be seen of it later."""
    ids = await box.emails("inbox", 20)
    rows = await box.get(ids, "subject", "from", "messageId", "blobId", "textBody", "bodyValues", bodies=True)
    done.read += len(rows)
    raw = {row["id"]: await box.download(row["blobId"]) for row in rows}
    # A message without a Message-ID, or one that came twice, cannot be told from another on the server.
    idents = [copy_of("", content).ident for content in raw.values()]
    plain = [row for row in rows if row["messageId"] and idents.count(copy_of("", raw[row["id"]]).ident) == 1]
    if len(plain) < 8:
        return
    copies = {row["id"]: copy_of(box.address, raw[row["id"]]) for row in plain}
    await box.update({row["id"]: {"keywords/$seen": True} for row in plain[:6]})
    await box.update({row["id"]: {"keywords/$flagged": True} for row in plain[:2]})
    done.wanted += [Wanted(copies[row["id"]], "INBOX", frozenset(("\\Seen", "\\Flagged"))) for row in plain[:2]]
    done.wanted.append(Wanted(copies[plain[2]["id"]], "INBOX", frozenset(("\\Seen",))))
    await box.create_folder(FOLDER)
    for row, role, folder in (
        (plain[3], "archive", "Archive"),
        (plain[4], FOLDER, FOLDER),
        (plain[5], "trash", "Trash"),
    ):
        await box.update({row["id"]: {"mailboxIds": {box.folders[role]: True}}})
        done.wanted.append(Wanted(copies[row["id"]], folder, frozenset(("\\Seen",))))
    await box.destroy([plain[6]["id"]])
    done.removed.append(copies[plain[6]["id"]])
    await _reply(box, plain[7], copies[plain[7]["id"]], colleague, outsider, done)


async def _reply(box: Mailbox, row: dict, copy: Copy, colleague: str, outsider: str, done: Work) -> None:  # type: ignore[type-arg]
    subject = row["subject"] or ""
    answer = await box.draft(
        [outsider, colleague], subject if subject.lower().startswith("re:") else f"Re: {subject}",
        "Our mail server is down, but I am here: this comes from the standby.\n",
        inReplyTo=row["messageId"], references=row["messageId"],
    )  # fmt: skip
    await box.send(answer)
    await box.update({row["id"]: {"keywords/$answered": True, "keywords/$seen": True}})
    done.wanted.append(Wanted(copy, "INBOX", frozenset(("\\Answered", "\\Seen"))))
    unsent = await box.draft([outsider], "Not finished", "I shall write the rest when I know more.\n")
    for ident, folder, flags in ((answer, "Sent", ("\\Seen",)), (unsent, "Drafts", ("\\Draft",))):
        (made,) = await box.get([ident], "blobId")
        content = await box.download(made["blobId"])
        done.added.append(copy_of(box.address, content))
        done.wanted.append(Wanted(copy_of(box.address, content), folder, frozenset(flags)))
        if ident == answer:
            done.added.append(copy_of(colleague, content))
