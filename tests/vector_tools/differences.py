"""Where our reading of a message differs from what the vectors expect, each with its reason. `docs/mime.md` is made of
it: `PYTHONPATH=tests python -m vector_tools.differences > docs/mime.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

AS_TEXT = "a multipart that cannot be split is shown as text"
DELIMITERS = "only white space may follow the boundary on its line (RFC 2046 §5.1.1); there a prefix is enough"
OUTER_FIRST = "an outer delimiter ends every part inside (RFC 2046 §5.1.2), also where boundaries begin alike"
UUENCODE = "x-uuencode is decoded here"
DETECTED = "undeclared or wrong charset: detected here, U+FFFD there"
NO_BASE64 = "letters that are no base64 by intention: decoded here (RFC 2045 §6.8), left as text there"
FIRST_TYPE = "two Content-Type fields: the first counts here, the last there"
MESSAGE_DIFFERENCES: dict[str, str] = {
    "legacy/017": UUENCODE,
    "legacy/026": UUENCODE,
    "legacy/048": UUENCODE,
    "legacy/033": DETECTED,
    "legacy/052": DETECTED,
    "legacy/045": "CR CR LF is two line ends here",
    "malformed/000": "parts without a blank line are parts here",
    "malformed/001": OUTER_FIRST,
    "malformed/002": AS_TEXT,
    "malformed/003": AS_TEXT,
    "malformed/004": DELIMITERS,
    "malformed/005": DELIMITERS,
    "malformed/007": DELIMITERS,
    "malformed/008": DELIMITERS,
    "malformed/009": OUTER_FIRST,
    "malformed/011": OUTER_FIRST,
    "malformed/012": OUTER_FIRST,
    "malformed/013": AS_TEXT,
    "malformed/016": OUTER_FIRST,
    "malformed/019": AS_TEXT,
    "malformed/020": FIRST_TYPE,
    "malformed/021": FIRST_TYPE,
    "rfc/000": NO_BASE64,
    "thirdparty/000": "control characters are taken out of text here",
    "thirdparty/002": NO_BASE64,
    "thirdparty/005": DELIMITERS,
    "thirdparty/011": "the line end before a delimiter is not the part's, so a header without body has no blank line",
    "thirdparty/015": OUTER_FIRST,
}
SEVERAL_LINES = "the vector goes on with another field or an empty line, which no value of a field does"
COMMENTS = "comments are a name only where there is no display name (RFC 8621 §4.1.2.3)"
UNGROUPED = "mailboxes outside groups stand alone; there they make a group without a name"
ADDRESS_DIFFERENCES: dict[int, str] = {
    **dict.fromkeys((8, 9, 10, 11, 14, 22, 56), COMMENTS),
    13: "source routes and white space are not part of the address (RFC 5322 §4.4)",
    30: SEVERAL_LINES,
    31: SEVERAL_LINES,
    33: "white space around a name is taken off, as in the example of RFC 8621 §4.1.2.3",
    **dict.fromkeys((34, 35, 36), UNGROUPED),
}
ID_DIFFERENCES: dict[int, str] = {3: SEVERAL_LINES, 6: "white space is not part of an id"}
DATE_DIFFERENCES: dict[int, str] = {
    10: "a month in digits is none",
    12: "numbers alone are no date",
    14: "a comment that nests strangely is passed over",
    28: "a whole Received field is no date",
}
TYPE_LESS = "parameters of a field without a type are kept"
FORMAT = "a second subtype is dropped"
TYPE_DIFFERENCES: dict[int, str] = {
    31: "the charset stands in the first section only (RFC 2231 §4.1)",
    34: "white space between encoded words is dropped (RFC 2047 §6.2)",
    **dict.fromkeys((43, 48, 58, 62, 63, 65, 66, 71, 72), TYPE_LESS),
    49: "an empty value is a value",
    59: "sections have at most three digits, and NUL is taken out",
    61: "asterisks in strange places belong to the name",
    **dict.fromkeys((76, 77, 78), FORMAT),
}
GLUED = "text next to an encoded word gets no space it did not have"
TEXT_DIFFERENCES: dict[int, str] = {3: SEVERAL_LINES, 11: SEVERAL_LINES, **dict.fromkeys((21, 27, 28), GLUED)}
STRUCTURE_DIFFERENCES: dict[str, str] = {
    "empty-multipart.txt": AS_TEXT,
    "feedback-report.txt": "a byte order mark before the header is passed over here; there all of it is text",
    "issue358.txt": "a line in the header that is no field does not end it here; there what follows is text",
}

_INTRODUCTION = """# Reading MIME: where we differ

A message is read by one scanner (`mail/mime.py`): by offsets, within bounds, and always to an end. Whatever it makes of
a message, the message itself stays as it came and can be downloaded. Two collections of others test it: mail-parser's
messages and field values with the parse expected of them, and MimeKit's messages, compared with Python's own parser
(MimeKit's expectations are code). Below is every case in which we see something else, and why. A test
(`tests/mail/test_vectors.py`) holds this page: what is not listed is the same, and what is listed is not.

Not opened at all: TNEF (`winmail.dat`), and what is encrypted. They are attachments, whole.
"""
_TABLES: tuple[tuple[str, Mapping[str, str] | Mapping[int, str]], ...] = (
    ("Messages of mail-parser", MESSAGE_DIFFERENCES),
    ("Messages of MimeKit", STRUCTURE_DIFFERENCES),
    ("Addresses (`address.json`)", ADDRESS_DIFFERENCES),
    ("Message ids (`id.json`)", ID_DIFFERENCES),
    ("Dates (`date.json`)", DATE_DIFFERENCES),
    ("Content types (`content_type.json`)", TYPE_DIFFERENCES),
    ("Texts (`unstructured.json`)", TEXT_DIFFERENCES),
)


def page() -> str:
    """docs/mime.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield from _INTRODUCTION.splitlines()
    for title, differences in _TABLES:
        yield from ("", f"## {title}", "", "| case | what is different |", "| --- | --- |")
        by_reason: dict[str, list[str]] = {}
        for case, reason in differences.items():
            by_reason.setdefault(reason, []).append(str(case))
        yield from (f"| {', '.join(cases)} | {reason} |" for reason, cases in by_reason.items())


if __name__ == "__main__":
    print(page(), end="")
