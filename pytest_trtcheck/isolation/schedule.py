"""Deal out checks to xdist workers: few at a time, several GPUs only when nothing else runs.

A worker starts an item only once it knows the next one, so each holds two; what a dead worker held and had not
started goes back to the queue.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

Node = Any
"""xdist's WorkerController."""

_HELD = 2
_MAX_DEATHS_PER_CHECK = 2


class CheckScheduling:
    """xdist's scheduling protocol (xdist.scheduler.protocol.Scheduling), version 3."""

    def __init__(
        self,
        worker_count: int,
        gpus_needed: Callable[[str], int],
        group_of: Callable[[str], str],
        sees_all: Callable[[Node], bool],
    ) -> None:
        """Take the number of first workers, GPUs and group of a check, and whether a worker sees several GPUs."""
        self._worker_count = worker_count
        self._gpus_needed = gpus_needed
        self._group_of = group_of
        self._owners: dict[str, Node] = {}
        """The worker that runs the checks of each group that has begun."""
        self._sees_all = sees_all
        self._held: dict[Node, list[int]] = {}
        self._ready: set[Node] = set()
        self._single: deque[int] = deque()
        self._several: deque[int] = deque()
        self._started: set[str] = set()
        self._finished: set[str] = set()
        self._deaths: Counter[str] = Counter()
        self.collection: list[str] | None = None

    # What DSession asks.

    @property
    def nodes(self) -> list[Node]:
        """All workers that are up."""
        return list(self._held)

    @property
    def collection_is_completed(self) -> bool:
        """True once as many workers have collected as the run began with."""
        return self.collection is not None and len(self._ready) >= min(self._worker_count, len(self._held) or 1)

    @property
    def tests_finished(self) -> bool:
        """True when nothing waits and every worker is at its last item, which ends with its shutdown."""
        if self.collection is None or self._single or self._several:
            return False
        return all(len(held) < _HELD for held in self._held.values()) and self.collection_is_completed

    @property
    def has_pending(self) -> bool:
        """True while checks wait or run."""
        return bool(self._single or self._several or any(self._held.values()))

    def add_node(self, node: Node) -> None:
        """Take in a worker that has started."""
        self._held[node] = []

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """Take in what a worker collected; the first one's list counts."""
        if self.collection is None:
            self.collection = list(collection)
            for index, nodeid in enumerate(self.collection):
                (self._several if self._gpus_needed(nodeid) > 1 else self._single).append(index)
        elif list(collection) != self.collection:
            node.shutdown()
        self._ready.add(node)

    def schedule(self) -> None:
        """Deal out, one each before anybody gets a second."""
        for most in range(1, _HELD + 1):
            for node in list(self._held):
                self._deal(node, most)

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:  # noqa: ARG002
        """Take note that a check has ended, and hand out the next."""
        self._held[node].remove(item_index)
        self._deal(node)
        if not self._single and not self._busy_with_single():
            self.schedule()

    def mark_test_pending(self, item: str) -> None:
        """Queue a check again, for plugins that retry; never one that killed two workers."""
        assert self.collection is not None
        if self._deaths[item] >= _MAX_DEATHS_PER_CHECK:
            return
        index = self.collection.index(item)
        (self._several if self._gpus_needed(item) > 1 else self._single).appendleft(index)
        self.schedule()

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """Never called: nothing is stolen."""
        raise AssertionError(f"unexpected return of {list(indices)} from {node}")

    def remove_node(self, node: Node) -> str | None:
        """Forget a worker; return the check that it died in, and queue what it had not started."""
        held = self._held.pop(node)
        self._owners = {group: owner for group, owner in self._owners.items() if owner is not node}
        self._ready.discard(node)
        crashed: str | None = None
        for index in reversed(held):
            nodeid = self._name(index)
            if nodeid in self._finished:
                continue
            if nodeid in self._started:
                if hasattr(node, "workeroutput"):
                    # It left in good order in the middle of a check, by pytest.exit: the check has no result.
                    continue
                crashed = nodeid
                self._deaths[nodeid] += 1
            else:
                (self._several if self._gpus_needed(nodeid) > 1 else self._single).appendleft(index)
        self.schedule()
        return crashed

    # What the watch tells.

    def started(self, nodeid: str) -> Node | None:
        """Note that a check has begun; return the worker that runs it."""
        self._started.add(nodeid)
        self._finished.discard(nodeid)
        return self.worker_of(nodeid)

    def worker_of(self, nodeid: str) -> Node | None:
        """Return the worker that holds a check."""
        return next((node for node, held in self._held.items() if nodeid in map(self._name, held)), None)

    def has_collected(self, node: Node) -> bool:
        """Say whether a worker has told what it collected."""
        return node in self._ready

    def is_running(self, node: Node) -> bool:
        """Say whether a worker is in the middle of a check."""
        names = map(self._name, self._held.get(node, []))
        return any(nodeid in self._started and nodeid not in self._finished for nodeid in names)

    def finished(self, nodeid: str) -> None:
        """Note that all reports of a check are in."""
        self._finished.add(nodeid)

    def _name(self, index: int) -> str:
        assert self.collection is not None
        return self.collection[index]

    def _busy_with_single(self) -> bool:
        return any(held for node, held in self._held.items() if not self._sees_all(node))

    def _deal(self, node: Node, most: int = _HELD) -> None:
        """Fill up what a worker holds; shut it down after its last."""
        if node not in self._ready or node.shutting_down:
            return
        several = self._sees_all(node)
        if several and (self._single or self._busy_with_single()):
            return
        queue = self._several if several else self._single
        held = self._held[node]
        give: list[int] = []
        while len(held) + len(give) < most and (index := self._next(node, queue)) is not None:
            give.append(index)
        if give:
            held.extend(give)
            node.send_runtest_some(give)
        if most == _HELD and len(held) < _HELD:
            # Nothing is left for this worker: what may still wait belongs to groups that others run.
            node.shutdown()

    def _next(self, node: Node, queue: deque[int]) -> int | None:
        """Take the first check from a queue that is of no group, of a group of this worker's, or of a new one."""
        for place, index in enumerate(queue):
            group = self._group_of(self._name(index))
            if not group or self._owners.setdefault(group, node) is node:
                del queue[place]
                return index
        return None
