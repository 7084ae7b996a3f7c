"""The role that sends digests in a process of its own, made to be killed: `python digest_process.py JSON`."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from pathlib import Path

import structlog
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from everpost.crypto.keys import master_key_from_hex
from everpost.intake.digests import DigestSender, OwnMail
from everpost.intake.links import DigestLinks
from everpost.store.blobs import KeyRing
from everpost.store.database import Database
from world import Node, Organisation


async def main(settings: dict) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    database = await Database.connect(settings["dsn"])
    keys = KeyRing(database, master_key_from_hex(settings["master"]))
    node = Node(
        database, keys, Path(settings["folder"]), Organisation(settings["organisation"], 0, 0, "example.org"), 1
    )
    await node.routes.load()
    node.intake.start()
    mail = OwnMail(database, node.intake, node.directory, "mx.everpost.example")
    now = datetime.fromisoformat(settings["now"])
    print("begins", flush=True)
    await DigestSender(database, mail, DigestLinks(b"k" * 32, "https://x.example"), lambda: now).run_once()
    await node.intake.stop()
    await database.close()


uvloop.run(main(json.loads(sys.argv[1])))
