"""The same application behind uvicorn, over a real socket."""

from __future__ import annotations

import asyncio
import socket

import httpx
import uvicorn

from web_tools.world import USING, Person, World, message


async def test_over_a_socket(world: World, ann: Person) -> None:
    await world.deliver("ann@example.org", message("Over the wire", body="x" * 70 + "\r\n"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(world.app, log_level="warning", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=base, auth=("ann@example.org", "secret")) as client:
            session = (await client.get("/.well-known/jmap", follow_redirects=True)).json()
            account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
            body = {"using": USING, "methodCalls": [["Email/query", {"accountId": account}, "0"]]}
            answer = (await client.post(session["apiUrl"], json=body)).json()
            (email_id,) = answer["methodResponses"][0][1]["ids"]
            url = session["downloadUrl"].format(accountId=account, blobId="M" + email_id, name="m.eml", type="a/b")
            assert b"Over the wire" in (await client.get(url)).content
            large = b"\r\n".join([b"0123456789" * 7] * 50_000)
            uploaded = await client.post(session["uploadUrl"].format(accountId=account), content=large)
            blob_id = uploaded.json()["blobId"]
            got = await client.get(f"/jmap/download/{account}/{blob_id}/x")
            assert got.content == large
        server.should_exit = True
        await task
