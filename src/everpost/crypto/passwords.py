"""Passwords at rest: Argon2id (RFC 9106) at 19 MiB, two passes, one lane, about 25 ms each.

Hashing runs in two threads of its own, so that a flood of logins costs neither the event loop nor more memory than
two hashes.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import os
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_PASSWORD_OCTETS = 1024
CACHED_FOR_S = 60.0
_CACHED = 4096
_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="argon2")

T = TypeVar("T")


async def hash_password(password: str) -> str:
    """The PHC string of a password. Raises `ValueError` beyond `MAX_PASSWORD_OCTETS`."""
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_OCTETS:
        raise ValueError(f"a password has at most {MAX_PASSWORD_OCTETS} octets")
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, _octets(password))


async def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to the PHC string. None for `stored` takes as long and is never true."""
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_OCTETS:
        return False
    return await asyncio.get_running_loop().run_in_executor(_threads, _verify, stored, password)


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")


def _verify(stored: str | None, password: str) -> bool:
    try:
        return _hasher.verify(_decoy() if stored is None else stored, _octets(password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


@functools.cache
def _decoy() -> str:
    """What unknown logins are checked against, so that they take as long as known ones."""
    return _hasher.hash(os.urandom(16))


class RecentlyVerified(Generic[T]):
    """Remembers for `CACHED_FOR_S` which credentials were right, under a key that only this process knows.

    Wrong ones are never remembered: each guess costs a hash.
    """

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._known: OrderedDict[bytes, tuple[float, T]] = OrderedDict()

    def _key(self, login: str, password: str) -> bytes:
        text = f"{len(login)}:{login}{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, text, hashlib.sha256)

    def get(self, login: str, password: str) -> T | None:
        """What was remembered, unless it is too old."""
        key = self._key(login, password)
        found = self._known.get(key)
        if found is None:
            return None
        if time.monotonic() - found[0] > CACHED_FOR_S:
            del self._known[key]
            return None
        return found[1]

    def put(self, login: str, password: str, value: T) -> None:
        key = self._key(login, password)
        self._known[key] = (time.monotonic(), value)
        self._known.move_to_end(key)
        if len(self._known) > _CACHED:
            self._known.popitem(last=False)

    def forget(self) -> None:
        """Something about logins has changed."""
        self._known.clear()
