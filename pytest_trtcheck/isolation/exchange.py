"""A folder through which controller and workers tell each other what does not fit into xdist's messages."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.02
_TAIL_BYTES = 16 * 1024


def mark(nodeid: str) -> bytes:
    """Return the line that begins a check's part of its worker's log."""
    return f"\x1e{nodeid}\n".encode(errors="replace")


class Exchange:
    """Small JSON documents by name, written aside and renamed; and one log per worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls) -> Exchange:
        """Return an exchange in a new private folder."""
        exchange = cls(Path(tempfile.mkdtemp(prefix="trtcheck-")))
        atexit.register(exchange.remove)
        return exchange

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def put(self, name: str, value: Any) -> None:
        """Publish a document; replaces one of the same name."""
        aside = self.folder / f"{name}.{os.getpid()}.part"
        aside.write_text(json.dumps(value), encoding="utf-8")
        aside.replace(self.folder / f"{name}.json")

    def get(self, name: str) -> Any:
        """Return a document, None when it is not there yet."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def wait(self, name: str) -> Any:
        """Return a document as soon as it is there; the check's own deadline bounds the wait."""
        while True:
            value = self.get(name)
            if value is not None:
                return value
            time.sleep(_POLL_SECONDS)

    def log(self, worker: str) -> Path:
        """Return the path of a worker's log: what it and its libraries write to file descriptor 2."""
        return self.folder / f"{worker}.log"

    def tail(self, worker: str, nodeid: str, limit_bytes: int = _TAIL_BYTES) -> str:
        """Return the end of what a worker wrote during a check.

        The worker marks the beginning itself: the controller hears of it later than of a quick death.
        """
        try:
            with self.log(worker).open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(size - limit_bytes, 0))
                data = log.read(limit_bytes)
        except OSError:
            return ""
        return data.rpartition(mark(nodeid))[2].decode(errors="replace")
