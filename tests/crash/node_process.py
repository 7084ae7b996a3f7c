"""A worker in a process of its own, made to be killed: `python node_process.py JSON`."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from everpost.crypto.keys import master_key_from_hex
from everpost.serve.smtpd.server import SmtpListener
from everpost.serve.smtpd.settings import ListenerSettings
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from everpost.wire.smtp.events import Role
from world import Node, Organisation


async def main(settings: dict) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    database = await Database.connect(settings["dsn"])
    keys = KeyRing(database, master_key_from_hex(settings["master"]))
    organisation = Organisation(settings["organisation"], settings["primary"], 0, "example.org")
    node = Node(database, keys, Path(settings["folder"]), organisation, settings["run"])
    node.primary_at(organisation, settings["primary_port"])
    listener = ListenerSettings(Role.MX, "127.0.0.1", settings["port"])
    node.mx = SmtpListener(listener, "mx.everpost.example", node.mx._gate, node.mx._receiver)
    await node.start()
    await asyncio.Event().wait()


uvloop.run(main(json.loads(sys.argv[1])))
