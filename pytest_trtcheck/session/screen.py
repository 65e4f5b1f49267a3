"""The terminal of pytest's reporter with one line of our own below it, or with whole lines between its own."""

from __future__ import annotations

import os
import threading
from typing import Any

from pytest_trtcheck.report.columns import shorten
from pytest_trtcheck.report.text import one_line

# Index moves down a line and, at the bottom, scrolls; unlike a line feed it keeps the column on every terminal.
_DOWN, _UP = "\x1bD", "\x1bM"
_SAVE, _RESTORE = "\x1b7", "\x1b8"
_CLEAR_LINE = "\r\x1b[2K"
_NARROWEST = 20


class Screen:
    """Stands in for the file that the terminal reporter writes to; everything else of the file stays as it is.

    Our own line is taken away before the reporter writes, and drawn anew after it, both in one go: no character of one
    ends up in the other. We write past ``file``, to a copy of its descriptor: while a test runs in this process, pytest
    captures what goes to the original.
    """

    def __init__(self, reporter: Any) -> None:
        self._writer = reporter._tw  # noqa: SLF001 - the only way to what the reporter writes to
        self._file = self._writer._file  # noqa: SLF001
        self._descriptor: int | None = os.dup(self._file.fileno())
        self._lock = threading.RLock()
        self._shown = ""
        self._at_start = not self._writer.width_of_current_line
        self._writer._file = self  # noqa: SLF001

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write what the reporter has to say."""
        with self._lock:
            line, self._shown = self._shown, ""
            if line:
                self._put(f"{_SAVE}{_DOWN}{_CLEAR_LINE}{_RESTORE}")
            count: int = self._file.write(text)
            self._file.flush()
            if text:
                self._at_start = text.endswith("\n")
            if line:
                self._draw(line)
            return count

    def flush(self) -> None:
        """Nothing is kept back."""

    def show(self, line: str) -> None:
        """Show a line below what the reporter wrote last, in place of the one before; an empty one takes it away."""
        with self._lock:
            if line:
                self._draw(line)
            elif self._shown:
                self._shown = ""
                self._put(f"{_SAVE}{_DOWN}{_CLEAR_LINE}{_RESTORE}")

    def say(self, line: str) -> None:
        """Write a whole line, on a line of its own."""
        with self._lock:
            self._put(f"{'' if self._at_start else chr(10)}{one_line(line, 1000)}\n")
            self._at_start = True
            self._writer._current_line = ""  # noqa: SLF001 - so that the reporter goes on from the left border

    def close(self) -> None:
        """Take our line away and give the file back."""
        with self._lock:
            if self._descriptor is None:
                return
            self.show("")
            self._writer._file = self._file  # noqa: SLF001
            os.close(self._descriptor)
            self._descriptor = None

    def _draw(self, line: str) -> None:
        self._shown = line
        shown = shorten(one_line(line, 1000), max(self._width() - 1, _NARROWEST))
        # Down and up first, so that the place to come back to does not scroll away.
        self._put(f"{_DOWN}{_UP}{_SAVE}{_DOWN}{_CLEAR_LINE}\x1b[2m{shown}\x1b[0m{_RESTORE}")

    def _width(self) -> int:
        try:
            return os.get_terminal_size(self._descriptor).columns if self._descriptor is not None else 80
        except OSError:
            return 80

    def _put(self, text: str) -> None:
        if self._descriptor is None:
            return
        data = text.encode(getattr(self._file, "encoding", None) or "utf-8", errors="replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # A terminal that is gone, or a pipe that nobody reads: the run goes on without progress.
            os.close(self._descriptor)
            self._descriptor = None
