"""The server's side of AUTH PLAIN (RFC 4616) and LOGIN, without any look at the credentials."""

from __future__ import annotations

import base64
import binascii

from everpost.wire.smtp.events import Authenticate

MAX_CREDENTIAL_OCTETS = 1024


class SaslError(ValueError):
    """The client's answer cannot be read."""


def decode_base64(line: str) -> str:
    """Strict base64 of UTF-8 text without control characters other than NUL; raises `SaslError`."""
    try:
        return base64.b64decode(line, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise SaslError("malformed base64") from error


class PlainDialogue:
    """One answer: authzid NUL authcid NUL password."""

    __slots__ = ()

    def start(self) -> str:
        return ""

    def answer(self, text: str) -> str | Authenticate:
        parts = text.split("\0")
        if len(parts) != 3 or not parts[1] or any(len(part) > MAX_CREDENTIAL_OCTETS for part in parts):
            raise SaslError("malformed PLAIN response")
        return Authenticate("PLAIN", parts[0], parts[1], parts[2])


class LoginDialogue:
    """Two answers: name, then password."""

    __slots__ = ("_username",)

    def __init__(self) -> None:
        self._username: str | None = None

    def start(self) -> str:
        return "VXNlcm5hbWU6"  # "Username:", which clients match literally

    def answer(self, text: str) -> str | Authenticate:
        if not text or len(text) > MAX_CREDENTIAL_OCTETS or "\0" in text:
            raise SaslError("malformed LOGIN response")
        if self._username is None:
            self._username = text
            return "UGFzc3dvcmQ6"  # "Password:"
        return Authenticate("LOGIN", "", self._username, text)


Dialogue = PlainDialogue | LoginDialogue


def begin(mechanism: str) -> Dialogue | None:
    """The dialogue of a mechanism, None where it is unknown."""
    if mechanism == "PLAIN":
        return PlainDialogue()
    if mechanism == "LOGIN":
        return LoginDialogue()
    return None
