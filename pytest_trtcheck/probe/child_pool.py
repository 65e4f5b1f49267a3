"""Run several children side by side in the background, a few at a time, and wait for each by name."""

from __future__ import annotations

import os
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.child import ChildEnd, run_child

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType


def default_jobs() -> int:
    """Return how many children run at a time: two, or one on a single core."""
    return min(2, os.cpu_count() or 1)


class ChildPool:
    """Children that run side by side; each starts as soon as a place is free."""

    def __init__(self, jobs: int | None = None) -> None:
        self._stop = threading.Event()
        self._executor = ThreadPoolExecutor(jobs or default_jobs(), thread_name_prefix="trtcheck-child")
        self._ends: dict[str, Future[ChildEnd]] = {}

    def start(self, name: str, code_module: str, args: Sequence[str] = (), *, deadline_seconds: float) -> None:
        """Queue one child under ``name``; a name can be used once."""
        if name in self._ends:
            raise ValueError(f"a child named {name!r} was already started")
        self._ends[name] = self._executor.submit(
            run_child, code_module, args, deadline_seconds=deadline_seconds, stop=self._stop
        )

    def wait(self, name: str) -> ChildEnd:
        """Wait for the child and return how it ended: ``stopped`` for one that ``close`` kept from starting."""
        try:
            return self._ends[name].result()
        except CancelledError:
            return ChildEnd(stopped=True)

    def close(self) -> None:
        """Kill what is running, drop what is queued. May be called twice."""
        self._stop.set()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> ChildPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
