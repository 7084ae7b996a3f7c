"""Telling the service manager how we are (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time


def tell_manager(state: str) -> None:
    """Send a state such as `READY=1`, where somebody listens. `RELOADING=1` carries the time, as systemd wants it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if state == "RELOADING=1":
        state += f"\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
