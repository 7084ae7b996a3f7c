"""What a person's program does in the standby, over JMAP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

_USING = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail", "urn:ietf:params:jmap:submission"]
_PAGE = 250


class Refused(Exception):
    """The server did not do what was asked."""


class Mailbox:
    """One person's standby mailbox."""

    def __init__(self, url: str, address: str, password: str) -> None:
        self.address = address
        limits = httpx.Limits(max_connections=4)
        self._client = httpx.AsyncClient(base_url=url, auth=(address, password), timeout=60, limits=limits)
        self._account = ""
        self.folders: dict[str, str] = {}

    async def close(self) -> None:
        await self._client.aclose()

    async def open(self) -> bool:
        """Log in; False while the standby is closed to this person."""
        answer = await self._client.get("/jmap/session")
        if answer.status_code == 403:
            return False
        answer.raise_for_status()
        self._account = next(iter(answer.json()["accounts"]))
        await self.read_folders()
        return True

    async def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """One method; raises `Refused`."""
        request = {"using": _USING, "methodCalls": [[method, {"accountId": self._account} | arguments, "0"]]}
        answer = await self._client.post("/jmap/api", json=request)
        answer.raise_for_status()
        name, result, _ = answer.json()["methodResponses"][0]
        if name == "error":
            raise Refused(f"{method}: {result}")
        for refusals in ("notCreated", "notUpdated", "notDestroyed"):
            if result.get(refusals):
                raise Refused(f"{method}: {result[refusals]}")
        found: dict[str, Any] = result
        return found

    async def read_folders(self) -> None:
        rows = (await self.call("Mailbox/get", ids=None))["list"]
        self.folders = {row["role"] or row["name"]: row["id"] for row in rows}

    async def emails(self, folder: str | None = None, limit: int = _PAGE, position: int = 0) -> list[str]:
        """Ids, newest first."""
        return list(
            (
                await self.call(
                    "Email/query", filter={"inMailbox": self.folders[folder]} if folder else None,
                    sort=[{"property": "receivedAt", "isAscending": False}], limit=limit, position=position,
                )
            )["ids"]
        )  # fmt: skip

    async def get(self, ids: Sequence[str], *properties: str, bodies: bool = False) -> list[dict[str, Any]]:
        """Properties of emails; with `bodies` the text too."""
        asked: dict[str, Any] = {"ids": list(ids), "properties": ["id", *properties]}
        if bodies:
            asked["fetchTextBodyValues"] = True
        return list((await self.call("Email/get", **asked))["list"])

    async def update(self, patches: dict[str, dict[str, Any]]) -> None:
        await self.call("Email/set", update=patches)

    async def destroy(self, ids: Sequence[str]) -> None:
        await self.call("Email/set", destroy=list(ids))

    async def create_folder(self, name: str) -> None:
        await self.call("Mailbox/set", create={"f": {"name": name, "parentId": None}})
        await self.read_folders()

    async def draft(self, to: Sequence[str], subject: str, text: str, **more: Any) -> str:
        """A draft of this person's; returns its id."""
        email = {
            "mailboxIds": {self.folders["drafts"]: True}, "keywords": {"$draft": True, "$seen": True},
            "from": [{"email": self.address}], "to": [{"email": address} for address in to], "subject": subject,
            "bodyValues": {"1": {"value": text}}, "textBody": [{"partId": "1", "type": "text/plain"}],
        } | more  # fmt: skip
        return str((await self.call("Email/set", create={"d": email}))["created"]["d"]["id"])

    async def send(self, draft: str) -> None:
        """Send a draft; it becomes a message of the folder Sent."""
        identity = (await self.call("Identity/get", ids=None))["list"][0]["id"]
        patch = {
            f"mailboxIds/{self.folders['drafts']}": None, f"mailboxIds/{self.folders['sent']}": True,
            "keywords/$draft": None,
        }  # fmt: skip
        await self.call(
            "EmailSubmission/set", create={"s": {"identityId": identity, "emailId": draft}},
            onSuccessUpdateEmail={"#s": patch},
        )  # fmt: skip

    async def download(self, blob: str) -> bytes:
        answer = await self._client.get(f"/jmap/download/{self._account}/{blob}/message.eml")
        answer.raise_for_status()
        return answer.content

    async def everything(self) -> AsyncIterator[bytes]:
        """The bytes of every message in the mailbox."""
        position = 0
        while ids := await self.emails(None, _PAGE, position):
            for row in await self.get(ids, "blobId"):
                yield await self.download(row["blobId"])
            position += len(ids)
