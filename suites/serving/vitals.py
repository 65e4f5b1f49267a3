"""What a running server holds: memory, file descriptors, shared memory, processes."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_trtcheck._suites.serving.server import Server
from pytest_trtcheck.isolation.guard import SHARED_MEMORY, leftovers, members


@dataclass(frozen=True)
class Vitals:
    """One look at a server with its stubs."""

    memory_bytes: int
    """Resident."""
    descriptors: int
    shared_memory_bytes: int
    """Size of its segments below /dev/shm."""
    processes: int


def stub_of(server: Server, model: str) -> int | None:
    """Return the process that runs a model in Python, None where none does."""
    for process in members(server.pid):
        with suppress(OSError):
            if process != server.pid and f"/{model}/".encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                return process
    return None


def vitals_of(server: Server) -> Vitals:
    """Return what the server holds now; what ends meanwhile counts as nothing."""
    pages = descriptors = shared = 0
    living = members(server.pid)
    for process in living:
        with suppress(OSError, IndexError, ValueError):
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        with suppress(OSError):
            descriptors += sum(1 for _ in Path(f"/proc/{process}/fd").iterdir())
    for name in leftovers(server.charge):
        with suppress(OSError):
            shared += (SHARED_MEMORY / name).stat().st_size
    return Vitals(pages * os.sysconf("SC_PAGE_SIZE"), descriptors, shared, len(living))
