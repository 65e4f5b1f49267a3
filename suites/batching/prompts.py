"""Prompts of the probe model's tasks, drawn from a run's seed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pytest_trtcheck._suites.probe_llm.tasks import BOS, LOWER, encode, questions
from pytest_trtcheck.providers import Request

KINDS = (
    ("copy", 24), ("reverse", 20), ("close_draw", 32), ("lookup", 6), ("count", 20), ("add", 8), ("sort", 12),
    ("brackets", 20), ("repeat", 24), ("close_draw", 40), ("majority", 21), ("draw", 24),
)  # fmt: skip
"""Task and size: order, position, counting, state; close draws change with a little noise at any place."""


def asked(task: str, size: int, seed: int, number: int = 0) -> tuple[int, ...]:
    """Return the tokens of one question, begin mark included."""
    return tuple(questions(task, size, number + 1, seed)[number].prompt_ids)


def mixed(count: int, seed: int, most: int = 32) -> list[Request]:
    """Return requests of all kinds in turn, no two alike, each up to its own end if it is within ``most`` tokens."""
    return [
        Request(asked(*KINDS[number % len(KINDS)], seed, number // len(KINDS)), max_tokens=most)
        for number in range(count)
    ]


def of_length(tokens: int, seed: int) -> tuple[int, ...]:
    """Return a prompt of exactly so many tokens: a count where it is short, else a copy, whose answer is as long."""
    if tokens <= 3:
        return (BOS, *encode(f"C{LOWER[seed % 26]}"))[:tokens]
    size = tokens - 3
    return asked("count" if size <= 40 else "copy", size, seed)


def tables(pairs: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """Return prompts that ask one table for different keys: all alike up to the question mark."""
    rng = random.Random(f"table/{pairs}/{seed}")  # noqa: S311 - questions, not secrets
    keys = rng.sample([a + b for a in LOWER for b in LOWER], pairs)
    table = ",".join(f"{key}={rng.randrange(10)}{rng.randrange(10)}" for key in keys)
    chosen = [rng.sample(keys, 2) for _ in range(count)]
    return [(BOS, *encode(f"L{table}?{','.join(found)}:")) for found in chosen]


def branching(shared: int, own: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """Return prompts whose tables begin with the same pairs and go on with other ones, which are asked for."""
    rng = random.Random(f"branching/{shared}/{own}/{seed}")  # noqa: S311 - questions, not secrets
    keys = rng.sample([a + b for a in LOWER for b in LOWER], shared + own * count)
    pairs = [f"{key}={rng.randrange(10)}{rng.randrange(10)}" for key in keys]
    found = []
    for number in range(count):
        mine = pairs[shared + own * number :][:own]
        asked_for = ",".join(pair[:2] for pair in rng.sample(mine, 2))
        found.append((BOS, *encode(f"L{','.join([*pairs[:shared], *mine])}?{asked_for}:")))
    return found


def behind(filling: int, prompt: Sequence[int], seed: int) -> tuple[int, ...]:
    """Return a prompt that stands behind ``filling`` other tokens, whole, with its own begin mark."""
    return (*of_length(filling, seed), *prompt)
