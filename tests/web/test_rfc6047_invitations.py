"""Calendar objects by mail (RFC 6047)."""

from __future__ import annotations

import re

from web_tools.world import FOLDER, Person

REPLY = "BEGIN:VCALENDAR\nVERSION:2.0\nMETHOD:{}\nEND:VCALENDAR\n"


async def source(ann: Person, kind: str, text: str) -> str:
    parts = [{"partId": "1", "type": "text/plain"}, {"partId": "2", "type": kind}]
    body = {
        "textBody": None,
        "bodyStructure": {"type": "multipart/alternative", "subParts": parts},
        "bodyValues": {"1": {"value": "Accepted\n"}, "2": {"value": text}},
        "mailboxIds": {FOLDER["drafts"]: True},
    }
    made = await ann.draft(**body)
    return (await ann.download(made["blobId"])).text


async def test_section_2_4_the_media_type_tells_the_method(ann: Person) -> None:
    found = await source(ann, "text/calendar", REPLY.format("REPLY"))
    assert "Content-Type: text/calendar; charset=us-ascii; method=REPLY\r\n" in found


async def test_nothing_else_gets_into_the_header(ann: Person) -> None:
    for method in ("REPLY; x=y", "REPLY\rBcc: me@example.net", "ré", ""):
        found = await source(ann, "text/calendar", REPLY.format(method))
        assert re.search(r"Content-Type: text/calendar; charset=(us-ascii|utf-8)\r\n", found)
    found = await source(ann, "text/plain", REPLY.format("REPLY"))
    assert "method=" not in found
