"""jmapc, a JMAP client for Python, unmodified: log in, list, read, flag, move, send, hear of changes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import jmapc
import pytest
from jmapc import methods

from clients.conftest import Server
from web_tools.world import FOLDER, Person, World, message


async def test_a_person_works_with_jmapc(
    world: World, ann: Person, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.authority))
    await world.deliver("ann@example.org", message("Minutes", body="Please read.\r\n"))
    bob = await world.person("bob@example.org")
    client = jmapc.Client.create_with_password(server.host, "ann@example.org", "secret")
    await asyncio.to_thread(_work, client, tmp_path)
    (sent,) = await ann.email_ids("sent")
    email = await ann.email(
        sent, fetchTextBodyValues=True, properties=["subject", "keywords", "textBody", "bodyValues"]
    )
    assert email["subject"] == "Re: Minutes"
    assert email["keywords"] == {"$seen": True}
    (moved,) = await ann.email_ids("archive")
    assert (await ann.email(moved))["keywords"] == {"$flagged": True, "$seen": True}
    (arrived,) = await bob.email_ids()
    assert (await bob.email(arrived))["subject"] == "Re: Minutes"


def _work(client: jmapc.Client, folder: Path) -> None:
    mailboxes = client.request(methods.MailboxGet(ids=None), raise_errors=True)
    roles = {mailbox.role: mailbox.id for mailbox in mailboxes.data}
    assert roles["inbox"] == FOLDER["inbox"]

    # list and read, with a back-reference
    found, got = client.request(
        [
            methods.EmailQuery(
                filter=jmapc.EmailQueryFilterCondition(in_mailbox=roles["inbox"]),
                sort=[jmapc.Comparator(property="receivedAt", is_ascending=False)],
            ),
            methods.EmailGet(ids=jmapc.Ref("/ids"), fetch_text_body_values=True),
        ],
        raise_errors=True,
    )
    (email,) = got.response.data
    assert found.response.ids == [email.id]
    assert email.subject == "Minutes"
    assert email.mail_from[0].email == "stranger@elsewhere.example"
    assert email.body_values[email.text_body[0].part_id].value == "Please read.\n"

    # flag and move
    changed = client.request(
        methods.EmailSet(
            update={
                email.id: {
                    "keywords/$flagged": True, "keywords/$seen": True,
                    f"mailboxIds/{roles['archive']}": True, f"mailboxIds/{roles['inbox']}": None,
                }
            }
        ),
        raise_errors=True,
    )  # fmt: skip
    assert list(changed.updated) == [email.id]

    # the attachment goes up, the answer goes out and moves to Sent
    paper = folder / "paper.txt"
    paper.write_text("on paper")
    blob = client.upload_blob(paper)
    identity = client.request(methods.IdentityGet(ids=None), raise_errors=True).data[0]
    results = client.request(
        [
            methods.EmailSet(create={"answer": _answer(email, blob, roles["drafts"])}),
            methods.EmailSubmissionSet(
                create={"send": jmapc.EmailSubmission(email_id="#answer", identity_id=identity.id)},
                on_success_update_email={
                    "#send": {
                        "keywords/$draft": None,
                        f"mailboxIds/{roles['sent']}": True, f"mailboxIds/{roles['drafts']}": None,
                    }
                },
            ),
        ],
        raise_errors=True,
    )  # fmt: skip
    assert results[1].response.created["send"].undo_status is jmapc.UndoStatus.FINAL
    assert len(results) == 3  # the third is the Email/set that the submission implied

    # read again what went out, down to the attachment
    answer = client.request(methods.EmailGet(ids=[results[0].response.created["answer"].id]), raise_errors=True).data[0]
    copy = folder / "copy.txt"
    client.download_attachment(answer.attachments[0], copy)
    assert copy.read_text() == "on paper"


def _answer(email: jmapc.Email, blob: jmapc.Blob, drafts: str) -> jmapc.Email:
    return jmapc.Email(
        mailbox_ids={drafts: True},
        keywords={"$draft": True, "$seen": True},
        mail_from=[jmapc.EmailAddress(name="Ann", email="ann@example.org")],
        to=[jmapc.EmailAddress(email="bob@example.org")],
        subject="Re: Minutes",
        in_reply_to=email.message_id,
        references=email.message_id,
        text_body=[jmapc.EmailBodyPart(part_id="body", type="text/plain")],
        body_values={"body": jmapc.EmailBodyValue(value="I have read them.")},
        attachments=[
            jmapc.EmailBodyPart(blob_id=blob.id, type="text/plain", name="paper.txt", disposition="attachment")
        ],
    )
