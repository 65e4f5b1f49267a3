"""Many clients at once, each on a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Told(Generic[T]):
    """What one client got."""

    answer: T | None
    error: Exception | None
    began: float
    seconds: float


def all_at_once(work: Sequence[Callable[[], T]], seconds: float = 60.0) -> list[Told[T]]:
    """Run pieces of work on a thread each, begun together, and return what each got, in order."""
    if not work:
        return []
    barrier = threading.Barrier(len(work))

    def run(piece: Callable[[], T]) -> Told[T]:
        barrier.wait(seconds)
        began = time.monotonic()
        try:
            answer, error = piece(), None
        except Exception as raised:  # noqa: BLE001 - handed over with the answers
            return Told(None, raised, began, time.monotonic() - began)
        return Told(answer, error, began, time.monotonic() - began)

    with ThreadPoolExecutor(len(work)) as pool:
        return list(pool.map(run, work))


class Traffic:
    """A few clients that ask the same thing again and again, in the background, until they are stopped."""

    def __init__(self, ask: Callable[[], None], clients: int = 2) -> None:
        self.ask = ask
        self.answers = 0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        self._lock = threading.Lock()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.ask()
            except Exception as error:  # noqa: BLE001, PERF203 - told when the traffic is stopped
                with self._lock:
                    self.errors.append(f"{type(error).__name__}: {error}")
                time.sleep(0.05)
            else:
                with self._lock:
                    self.answers += 1

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
