"""Encoded words of header fields (RFC 2047): read tolerantly, written strictly."""

from __future__ import annotations

import binascii
import re

from everpost.mail.charset import clean, codec_of, compose, decode_loosely

# Possessive quantifiers (++) make every pattern linear: there is nothing to go back to.
WORD_PATTERN = r"=\?[^?\s]{1,100}+\?[bBqQ]\?[^?]*+\?="
_WORD = re.compile(r"=\?([^?\s]{1,100}+)\?([bBqQ])\?([^?]*+)\?=")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]+")
_TO_SPACE = bytes.maketrans(b"\t", b" ")
_CONTROLS = bytes(code for code in range(32) if code != 9) + b"\x7f"
_LINE = 76  # RFC 2047 §2
_WORD_OCTETS = 75
_ENCODABLE_LINE = 900  # room below the 998 octets of RFC 5322 §2.1.1
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def as_text(raw: bytes) -> str:
    """The Text form of RFC 8621 §4.1.2.2: unfolded, encoded words decoded, NFC, without control characters.

    Never raises; linear in the size of the value.
    """
    if raw.isascii():
        text = raw.translate(_TO_SPACE, _CONTROLS).decode("ascii")
        return decode_words(text.strip()) if "=?" in text else text.strip()
    return decode_words(clean(decode_loosely(raw)).strip())


def decode_words(text: str) -> str:
    """Decode the encoded words in text that is already unfolded; everything else stays as it is."""
    if "=?" not in text:
        return compose(text)
    pieces: list[str] = []
    pending: list[bytes] = []  # octets of neighbouring words in one charset: characters may be torn apart
    charset = ""
    position = 0
    for match in _WORD.finditer(text):
        between = text[position : match.start()]
        position = match.end()
        name = match[1].partition("*")[0].lower()
        if pending and (between.strip() or name != charset):
            pieces.append(decode_loosely(b"".join(pending), charset))
            pending.clear()
            adjacent = not between.strip()
        else:
            adjacent = bool(pending)
        if not adjacent:
            pieces.append(between)
        charset = name
        pending.append(_octets(match[2], match[3], name))
    if pending:
        pieces.append(decode_loosely(b"".join(pending), charset))
    pieces.append(text[position:])
    return compose(clean("".join(pieces)))


def _octets(encoding: str, payload: str, charset: str) -> bytes:
    if encoding in "bB":
        letters = _NOT_BASE64.sub("", payload)
        if len(letters) % 4 == 1:
            letters = letters[:-1]
        return binascii.a2b_base64(letters + "=" * (-len(letters) % 4))
    if payload.isascii():
        return binascii.a2b_qp(payload.encode("ascii"), header=True)
    # Characters that were left unencoded have been read already: write them so that they read the same again.
    try:
        raw = payload.encode(codec_of(charset) or "utf-8")
    except UnicodeError:
        raw = payload.encode("utf-8", "replace")
    return binascii.a2b_qp(raw, header=True)


def encode_text(text: str, *, first_line: int = 20) -> bytes:
    """Text as the value of an unstructured field, encoded where needed and folded (RFC 2047, RFC 5322 §2.2.3).

    `first_line` is the room the field's name takes. Control characters are taken out, so no text can begin
    another field. Lines have at most 78 octets except where a single ASCII word is longer.
    """
    text = clean(text.replace("\r\n", " ").replace("\n", " ").replace("\r", " "))
    plain = text.isascii() and "=?" not in text and not text.startswith(" ") and not text.endswith(" ")
    words = text.split(" ")
    if plain and max(map(len, words)) <= _ENCODABLE_LINE:
        return _fold(words, first_line).encode("ascii")
    return _fold(_encoded_words(text), first_line).encode("ascii")


def _fold(words: list[str], used: int) -> str:
    pieces = [words[0]]
    used += len(words[0])
    for word in words[1:]:
        # A line of nothing but spaces would be an end of header to some readers: never fold at an empty word.
        if word and used + 1 + len(word) > _LINE:
            pieces.append("\r\n ")
            used = 1
        else:
            pieces.append(" ")
            used += 1
        pieces.append(word)
        used += len(word)
    return "".join(pieces)


def _encoded_words(text: str) -> list[str]:
    raw = text.encode("utf-8")
    encode = _q_word if sum(octet not in _Q_SAFE for octet in raw) * 3 < len(raw) else _b_word
    room = 40
    words, chunk = [], bytearray()
    for character in text:
        octets = character.encode("utf-8")
        if len(chunk) + len(octets) > room or len(encode(bytes(chunk) + octets)) > _WORD_OCTETS - 12:
            words.append(encode(bytes(chunk)))
            chunk.clear()
        chunk += octets
    if chunk:
        words.append(encode(bytes(chunk)))
    return words or [""]


def _b_word(octets: bytes) -> str:
    return f"=?utf-8?B?{binascii.b2a_base64(octets, newline=False).decode('ascii')}?="


def _q_word(octets: bytes) -> str:
    letters = "".join("_" if o == 32 else chr(o) if o in _Q_SAFE else f"={o:02X}" for o in octets)
    return f"=?utf-8?Q?{letters}?="
