"""Whether the machine itself stood still: a thread that wants to run often, and how long it once could not."""

from __future__ import annotations

import threading
import time

STEP_SECONDS = 0.1
STARVED_SECONDS = 0.6
"""A Python stub that gets no CPU for a second is called dead by its server; its neighbours see some of that."""


class Pulse:
    """Measures while it is entered."""

    def __init__(self) -> None:
        self.longest = 0.0
        """Seconds between two beats beyond what they should be apart, at most."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def _beat(self) -> None:
        last = time.monotonic()
        while not self._end.wait(STEP_SECONDS):
            now = time.monotonic()
            self.longest = max(self.longest, now - last - STEP_SECONDS)
            last = now

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
