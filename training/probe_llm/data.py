"""Training batches made from the tasks while the GPU works.

A batch is a fixed number of tokens, cut into groups of rows of one width; a row holds one question with its answer,
then padding. Rows never see each other, so what the model learns from is what it is asked later. Only answers carry
loss.
"""

from __future__ import annotations

import multiprocessing
import random
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pytest_trtcheck._suites.probe_llm import tasks

WIDTHS = (32, 64, 128, 512, 2048)
LARGEST = {
    "copy": 1022,
    "repeat": 64,
    "reverse": 126,
    "lookup": 317,
    "sort": 28,
    "count": 46,
    "add": 12,
    "brackets": 60,
    "majority": 255,
    "draw": 48,
}
SHORT_TASKS = {
    "copy": 1.5,
    "repeat": 1.0,
    "reverse": 1.0,
    "lookup": 1.5,
    "sort": 2.0,
    "count": 2.0,
    "add": 4.0,
    "brackets": 3.0,
    "majority": 2.5,
    "draw": 2.5,
}
LONG_TASKS = {
    "copy": 1.0,
    "repeat": 1.0,
    "reverse": 1.0,
    "lookup": 2.5,
    "brackets": 1.5,
    "majority": 1.0,
}
ADAPTER_TASK = "copy"


@dataclass(frozen=True)
class Plan:
    """Share of the tokens of a batch per row width; ``adapter`` turns copies of short texts into reversals."""

    shares: tuple[tuple[int, float], ...]
    adapter: bool = False

    def groups(self, tokens: int) -> tuple[tuple[int, int], ...]:
        """(rows, width) of each group; they add up to ``tokens`` exactly, which is a multiple of the widest row."""
        rows = {width: int(tokens * share / width) for width, share in self.shares}
        narrowest = min(rows)
        rest = tokens - sum(count * width for width, count in rows.items())
        rows[narrowest] += rest // narrowest
        return tuple((count, width) for width, count in sorted(rows.items()) if count)


FIRST = Plan(((32, 0.25), (64, 0.35), (128, 0.25), (512, 0.15)))
SECOND = Plan(((32, 0.16), (64, 0.26), (128, 0.14), (512, 0.12), (2048, 0.32)))
ADAPTER = Plan(((32, 0.3), (64, 0.3), (128, 0.4)), adapter=True)
PLANS = {"first": FIRST, "second": SECOND, "adapter": ADAPTER}


@dataclass(frozen=True)
class Batch:
    """Flat tokens, what follows each of them, and the loss weight of that prediction."""

    tokens: NDArray[np.uint8]
    targets: NDArray[np.uint8]
    weights: NDArray[np.float32]
    groups: tuple[tuple[int, int], ...]


def largest(task: str, width: int) -> int:
    """Return the largest trained size of this task that fits a row; 0 where none does."""
    size = LARGEST[task]
    while size and tasks.LONGEST[task](size) > width:
        size -= 1
    return size


@cache
def offers(width: int) -> tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[int, int], ...]]:
    """Tasks of a row width, their running sum of weights, and the sizes that belong to this width and no narrower."""
    narrower = max((w for w in WIDTHS if w < width), default=0)
    names, edges, sizes, total = [], [], [], 0.0
    for name, weight in (SHORT_TASKS if width <= 64 else LONG_TASKS).items():
        low, high = largest(name, narrower) + 1, largest(name, width)
        if low <= high:
            total += weight
            names.append(name)
            edges.append(total)
            sizes.append((low, high))
    return tuple(names), tuple(edge / total for edge in edges), tuple(sizes)


def _texts(task: str, size: int, rng: random.Random, adapter: bool) -> tuple[str, str]:
    if task == "draw":
        return tasks.sampled_draw(rng, size)
    prompt, answer = tasks.BUILDERS[task](rng, size)
    if adapter and task == ADAPTER_TASK:
        answer = answer[::-1]
    return prompt, answer


def _rows(rng: random.Random, count: int, width: int, adapter: bool) -> tuple[bytes, list[tuple[int, int]]]:
    """Rows as bytes, and (first, end) of each answer, end mark included, as places in its row."""
    names, edges, sizes = offers(width)
    out: list[str] = []
    spans: list[tuple[int, int]] = []
    for _ in range(count):
        if adapter and rng.random() < 0.5:
            index = names.index(ADAPTER_TASK)
        else:
            u = rng.random()
            index = next(i for i, edge in enumerate(edges) if u <= edge)
        low, high = sizes[index]
        prompt, answer = _texts(names[index], low + int(rng.random() * (high - low + 1)), rng, adapter)
        text = f"\1{prompt}{answer}\2"
        spans.append((len(prompt) + 1, len(text)))
        out.append(text.ljust(width, "\0"))
    return "".join(out).encode("ascii"), spans


def make_batch(seed: str, plan: str, tokens: int) -> Batch:
    """Return the batch of this seed: a pure function of its arguments."""
    rng = random.Random(seed)  # noqa: S311 - training data
    groups = PLANS[plan].groups(tokens)
    parts, targets, weights = [], [], []
    for count, width in groups:
        data, spans = _rows(rng, count, width, PLANS[plan].adapter)
        rows = np.frombuffer(data, dtype=np.uint8).reshape(count, width)
        first, end = np.array(spans).T[:, :, None]
        place = np.arange(1, width + 1)
        inside = (place >= first) & (place < end)
        parts.append(rows.reshape(-1))
        targets.append(np.roll(rows, -1, axis=1).reshape(-1))
        # The square root keeps a copy of 1,000 letters from outweighing hundreds of sums.
        weights.append((inside / np.sqrt(end - first)).astype(np.float32).reshape(-1))
    return Batch(np.concatenate(parts), np.concatenate(targets), np.concatenate(weights), groups)


class Feeder:
    """Batches made ahead by worker processes, in the order in which they were asked for."""

    def __init__(self, tokens: int, workers: int, seed: int) -> None:
        self.tokens, self.seed, self.index = tokens, seed, 0
        self.depth = 2 * workers
        self.waiting: deque[Future[Batch]] = deque()
        self.pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))

    def batches(self, plans: Iterator[str]) -> Iterator[Batch]:
        """One batch per plan name; a plan is asked for some batches before its batch is used."""
        self.waiting.clear()
        for plan in plans:
            seed = f"{self.seed}/{plan}/{self.index}"
            self.index += 1
            self.waiting.append(self.pool.submit(make_batch, seed, plan, self.tokens))
            if len(self.waiting) > self.depth:
                yield self.waiting.popleft().result()

    def close(self) -> None:
        """Stop the workers; what they were making is dropped."""
        self.pool.shutdown(wait=False, cancel_futures=True)
