"""Who has a mailbox at the stand-in, and who may act for all of them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Accounts:
    """Passwords of users (by lower-case address) and of masters, who act for any user."""

    users: dict[str, str]
    masters: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Accounts:
        """Lines `address:password`; a name without `@` is a master. Raises `ValueError` and `OSError`."""
        users: dict[str, str] = {}
        masters: dict[str, str] = {}
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            name, colon, password = line.strip().partition(":")
            if not name or name.startswith("#"):
                continue
            if not colon or not password:
                raise ValueError(f"{path}, line {number}: address:password is expected")
            (users if "@" in name else masters)[name.lower()] = password
        return cls(users, masters)

    def mailbox_of(self, local: str, domain: str) -> str | None:
        """The user an envelope recipient means; what follows a `+` is not looked at."""
        user = f"{local.partition('+')[0]}@{domain}".lower()
        return user if user in self.users else None

    def log_in(self, acting_for: str, name: str, password: str) -> str | None:
        """The user whose mailbox is open then: `name` itself, or for a master `acting_for` or `user*master`."""
        user, star, master = name.lower().rpartition("*")
        if not star:
            user, master = acting_for.lower(), name.lower()
        if expected := self.masters.get(master):
            return user if hmac.compare_digest(expected.encode(), password.encode()) and user in self.users else None
        expected = self.users.get(name.lower(), "")
        if not expected or acting_for.lower() not in ("", name.lower()):
            return None
        return name.lower() if hmac.compare_digest(expected.encode(), password.encode()) else None
