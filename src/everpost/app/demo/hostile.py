"""What a stranger tries while everybody is busy with the outage. Nothing in it can do harm."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

from everpost.app.demo.messages import GeneratedMessage, Person

SENDER = "accounts@example.net"
_PROGRAM = b"MZ" + bytes(58) + b"\x40\0\0\0" + b"PE\0\0" + b"nothing that runs"
_PAGE = (
    "<script>var b=atob('{data}');var u=URL.createObjectURL(new Blob([b]));"
    "var a=document.createElement('a');a.href=u;a.download='invoice.exe';a.click();</script>"
)


def make_hostile(people: Sequence[Person]) -> list[GeneratedMessage]:
    """A program in an archive, a page that puts a program together, a program in the clothes of a document."""
    return [
        _message(people[0], "Unpaid invoice 2291", "invoice.zip", "application/zip", _archive("invoice_2291.pdf.exe")),
        _message(people[1], "New voice message", "voice.html", "text/html", _page()),
        _message(people[2], "Your updated contract", "contract.docx", "application/octet-stream", _PROGRAM),
    ]


def _message(to: Person, subject: str, name: str, kind: str, content: bytes) -> GeneratedMessage:
    message = EmailMessage(policy=SMTP)
    message["From"] = f"Accounts <{SENDER}>"
    message["To"] = f"{to.name} <{to.address}>"
    message["Subject"] = subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{name}@example.net>"
    message.set_content("Please look at the attached file today.\n")
    main, _, sub = kind.partition("/")
    message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return GeneratedMessage(SENDER, (to.address,), message.as_bytes(), datetime.now(UTC))


def _archive(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, _PROGRAM)
    return packed.getvalue()


def _page() -> bytes:
    return _PAGE.format(data="TVqQAAMAAAAEAAAA" * 40).encode()
