"""Waiting for a server that a test started."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress


def wait_until_listening(port: int, seconds: float, ended: Callable[[], str]) -> None:
    """Wait until a server listens on a loopback port; ``ended`` returns its last words if it has ended."""
    end = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1.0).close()
            return
        words = ended()
        assert not words, f"the server ended: {words}"
        assert time.monotonic() < end, f"the server does not listen after {seconds:g} s"
        time.sleep(0.2)
