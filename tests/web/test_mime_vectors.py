"""Every message of the vectors comes in, is read in full, and comes out as it was."""

from __future__ import annotations

import pytest

from everpost.standby.drafts import normalise_line_ends
from vector_tools import MAIL_PARSER, MISSING, messages_of_mail_parser, messages_of_mimekit
from web_tools.world import FOLDER, Person

pytestmark = pytest.mark.skipif(not MAIL_PARSER.is_dir(), reason=MISSING)
EVERYTHING = {"fetchAllBodyValues": True, "bodyProperties": ["partId", "blobId", "size", "type", "headers", "subParts"]}
PROPERTIES = [
    "headers",
    "bodyStructure",
    "textBody",
    "htmlBody",
    "attachments",
    "bodyValues",
    "subject",
    "from",
    "size",
]


async def test_nothing_fails_and_nothing_is_lost(ann: Person) -> None:
    paths = [*messages_of_mail_parser(), *messages_of_mimekit()]
    assert len(paths) > 130
    for path in paths:
        octets = path.read_bytes()
        blob = await ann.upload(octets)
        answer = await ann.call("Email/import", emails={"i": {"blobId": blob, "mailboxIds": {FOLDER["inbox"]: True}}})
        if answer["notCreated"]:  # what does not begin like a message is none; it stays an upload
            assert answer["notCreated"]["i"]["type"] == "invalidEmail"
            assert b":" not in octets.split(b"\n", 1)[0] or b"\0" in octets[:4096], path
            continue
        email_id = answer["created"]["i"]["id"]
        email = await ann.email(email_id, properties=PROPERTIES, **EVERYTHING)
        stored = (await ann.download(answer["created"]["i"]["blobId"])).content
        assert stored == normalise_line_ends(octets), path
        assert email["size"] == len(stored)
        for part in (*email["textBody"], *email["htmlBody"], *email["attachments"]):
            assert (await ann.download(part["blobId"])).status_code == 200, path
        parsed = await ann.call("Email/parse", blobIds=[blob], properties=["subject", "from"])
        if parsed["notParsable"]:
            continue
        assert parsed["parsed"][blob]["subject"] == email["subject"], path
