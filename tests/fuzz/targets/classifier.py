"""What the classifier remembers of a message, and tables of features as they are stored."""

from __future__ import annotations

from everpost.guard.contents import Contents, read_contents
from everpost.guard.learn.features import MAX_FEATURES, features_of
from everpost.guard.learn.model import Table
from everpost.guard.learn.models import signed
from everpost.mail.header import parse_header

SEEDS: list[bytes] = [
    b"From: =?utf-8?q?B=C3=A4nk?= <x1234567@bad.example>\r\nReply-To: y@other.example\r\nSubject: V I A G R A\r\n"
    b"Content-Type: text/html; charset=utf-8\r\n\r\n<font color=red size=7>via<b></b>gra</font><style>x</style>"
    b'$1,000!!! <!-- c --> <a href="http://user@bad.example:80/buy/now">click</a>\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e'
    b" \xef\xb7\xba e\xcc\x81",
    b"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x80?\x00\x00\x00\xbf",
]


def run(data: bytes) -> None:
    """Nothing raises; features are few and different; numbers fit the database."""
    header = parse_header(data)
    text = data.decode("utf-8", "replace")
    for contents in (read_contents(data, header), Contents(text, (text,), (text,), (), ())):
        features = features_of(header, contents)
        assert len(features) == len(set(features)) <= MAX_FEATURES
        assert all(-(1 << 31) <= number < 1 << 31 for number in signed(features))
    try:
        table = Table.from_bytes(data)
    except ValueError:
        return
    for number in (0, 1, 0xFFFFFFFF):
        table.get(number)
