"""Messages of an mbox file as mail for the demo's people, read as a stream."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from everpost.app.demo.messages import GeneratedMessage, Person
from everpost.standby.history.mbox import open_mbox, split_mbox, unquoted

MAX_MESSAGE = 25 * 1024 * 1024  # octets; longer ones are left out
_SENDER = "list-bounces@example.net"  # never the author's: nothing may be reported to strangers
_DATE = re.compile(rb"^date:[ \t]*([^\r\n]{1,100})", re.MULTILINE | re.IGNORECASE)


def from_mbox(path: Path, people: Sequence[Person], limit: int | None = None) -> Iterator[GeneratedMessage]:
    """At most `limit` messages in the file's order, one recipient each, people in turn.

    Reads plain and zstd-compressed (`.zst`) files with mboxrd quoting. Line ends become CRLF, also bare CRs; other
    than that the bytes stay. `sent_at` is the Date field where it can be read, and never goes back. Raises `OSError`,
    `zstandard.ZstdError`, and `ValueError` without people.
    """
    if not people:
        raise ValueError("mail needs somebody to go to")
    return _messages(path, people, limit)


def _messages(path: Path, people: Sequence[Person], limit: int | None) -> Iterator[GeneratedMessage]:
    latest = datetime.fromtimestamp(0, UTC)
    with open_mbox(path) as stream:
        whole = (each.content for each in split_mbox(stream, limit=MAX_MESSAGE) if each.content)
        for number, content in enumerate(whole):
            if limit is not None and number >= limit:
                return
            raw = unquoted(content)
            latest = max(latest, _date(raw) or latest)
            yield GeneratedMessage(_SENDER, (people[number % len(people)].address,), raw, latest)


def _date(raw: bytes) -> datetime | None:
    found = _DATE.search(raw[: raw.find(b"\r\n\r\n") + 2])
    if found is None:
        return None
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = parsedate_to_datetime(found[1].decode("ascii", "replace"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return min(moment.astimezone(UTC), datetime.now(UTC))
    return None
