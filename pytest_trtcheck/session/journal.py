"""The journal: one JSON line per event, flushed, so that a killed run still tells what it knew."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_trtcheck.errors import OptionError

JOURNAL_NAME = "journal.jsonl"


class Journal:
    """Appends events; what cannot be written is told once and does not end the run."""

    def __init__(
        self, folder: Path, complain: Callable[[str], None], mask: Callable[[Any], Any] = lambda value: value
    ) -> None:
        """Begin a new journal in a report folder, replacing one of an earlier run.

        ``mask`` is put on all that is written: the journal lies beside the reports and travels with them.

        OptionError when another run writes to that folder now.
        """
        self.path = folder / JOURNAL_NAME
        self._complain = complain
        self._mask = mask
        self._file: int | None = self._try(self._open)

    def _open(self) -> int:
        # Not blocking: what lies there under this name may be anything.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            folder = self.path.parent
            raise OptionError(f"--trtcheck-report: another run writes to {folder} now; name another folder") from None
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
        return descriptor

    def write(self, event: str, **fields: Any) -> None:
        """Append one event."""
        descriptor = self._file
        if descriptor is None:
            return
        line = json.dumps({"event": event, **self._mask(fields)}, ensure_ascii=True) + "\n"
        if self._try(lambda: self._append(descriptor, line.encode())) is None:
            os.close(descriptor)
            self._file = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, descriptor: int, data: bytes) -> int:
        if not self.path.exists():
            raise FileNotFoundError(2, "the report folder or the journal in it has vanished")
        # One write per line: a line is in the file or it is not, apart from the last one before a power loss.
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return descriptor

    def _try(self, action: Callable[[], int]) -> int | None:
        try:
            return action()
        except OSError as error:
            self._complain(f"journal {self.path}: {error.strerror or error}; the run goes on without it")
            return None


def read_journal(path: Path, limit_bytes: int = 512 * 1024 * 1024) -> list[dict[str, Any]]:
    """Return the events of a journal; a last line that is cut short is left out.

    OSError where it cannot be read, ValueError naming the line that is no event.
    """
    with path.open("rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"expected at most {limit_bytes} bytes")
    lines = data.split(b"\n")
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            raise ValueError(f"line {number}: expected a JSON object") from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise ValueError(f"line {number}: expected an object with the key 'event'")  # noqa: TRY004 - of the file
        events.append(event)
    return events
