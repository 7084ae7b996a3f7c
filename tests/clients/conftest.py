"""The web application behind TLS on a local port, as clients of others expect it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import uvicorn

from web_tools.fixtures import ann, world
from web_tools.world import World

__all__ = ["ann", "server", "world"]


@dataclass(frozen=True)
class Server:
    """Where it listens, and the file with the authority that vouches for it."""

    host: str
    authority: Path


@pytest.fixture
async def server(world: World, tmp_path: Path) -> AsyncIterator[Server]:
    authority, pem = trustme.CA(), tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(pem)
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(chain)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(world.app, log_level="warning", lifespan="off", ssl_certfile=chain, ssl_keyfile=chain)
        running = uvicorn.Server(config)
        task = asyncio.create_task(running.serve(sockets=[listener]))
        yield Server(f"localhost:{listener.getsockname()[1]}", pem)
        world.app.state.push.close()
        running.should_exit = True
        await task
