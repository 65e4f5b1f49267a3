"""The scenarios of each level. Names are the same for every seed; prompts are drawn from it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from pytest_trtcheck._suites.batching import scenarios as of
from pytest_trtcheck._suites.batching.prompts import asked, behind, branching, mixed, of_length, tables
from pytest_trtcheck._suites.batching.scenarios import Scenario, scenario
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import Request, Setup

MOST_TOGETHER = {Level.QUICK: 8, Level.STANDARD: 16, Level.FULL: 64}
"""Largest batch of a level."""
LONGEST = {Level.QUICK: 400, Level.STANDARD: 1024, Level.FULL: 2000}
"""Longest prompt of a level, in tokens; the model's context is 2,048."""
EDGES = (1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
"""Lengths of prompts: the shortest, and those around the ends of blocks of 16 to 128 tokens."""
BLOCKS = 128
"""A multiple of every usual number of tokens in a block."""


def scenarios_on(device: str, dtype: str, level: Level, seed: int) -> list[Scenario]:
    """Return the scenarios of a level that a device can show: on a CPU nothing for several GPUs."""
    found = scenarios_in(dtype, level, seed)
    return [made for made in found if device == "cuda" or made.check_id != of.TENSOR_PARALLEL]


def scenarios_in(dtype: str, level: Level, seed: int) -> list[Scenario]:
    """Return the scenarios of a level with the prompts that a seed draws."""
    return [
        *_as_it_comes(Setup(dtype), level, seed),
        *_with_limits(Setup(dtype, slots=4, length_limit=128), seed),
        *_reusing(Setup(dtype, prefix_reuse=True), seed),
        *_in_chunks(Setup(dtype, chunk=64), level, seed),
        *_short_of_blocks(Setup(dtype, slots=8, length_limit=192, kv_tokens=256), seed),
        *_all_at_once(Setup(dtype, slots=8, length_limit=320, kv_tokens=512, prefix_reuse=True, chunk=64), seed),
        *_on_two_gpus(Setup(dtype, tensor_parallel=2), seed),
    ]


def _as_it_comes(setup: Setup, level: Level, seed: int) -> Iterator[Scenario]:
    """Everything that needs no setting."""
    most = MOST_TOGETHER[level]
    requests = mixed(most, seed)
    yield scenario("alone", of.ALONE, setup, requests, rounds=[[number] for number in range(min(most, 12))])
    size = 2
    while size <= most:
        yield scenario(f"batch{size}", of.TOGETHER, setup, requests[:size])
        size *= 2
    order = random.Random(seed).sample(range(most), most)  # noqa: S311 - an order, not a secret
    yield scenario("permuted", of.TOGETHER, setup, requests, rounds=[order[::-1], order])
    yield scenario("mixed_lengths", of.TOGETHER, setup, _of_all_lengths(LONGEST[level], seed))
    yield scenario("arrivals", of.ARRIVALS, setup, _arriving(seed))
    yield scenario("streaming", of.STREAMING, setup, _streaming(seed))
    yield scenario("cancel", of.CANCEL, setup, _cancelled(seed), claims=(of.RETURNS_BLOCKS,))
    yield scenario(
        "no_reuse", of.REUSE, setup, _alike(seed), rounds=[[0], [1, 2], [3, 4, 5]], claims=(of.NEVER_REUSES,)
    )
    yield scenario("refusals", of.LIMITS, setup, _refused(2048, seed), refused=(1, 3, 4))
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= most]
    rounds = [list(range(size)) for size in sizes]
    yield scenario("throughput", of.THROUGHPUT, setup, _equally_long(most, seed), rounds=rounds)


def _with_limits(setup: Setup, seed: int) -> Iterator[Scenario]:
    """Few slots, and a limit that requests reach."""
    yield scenario("more_than_slots", of.TOGETHER, setup, mixed(3 * setup.slots, seed + 1))
    most = setup.length_limit
    long = asked("copy", 80, seed)
    room = most - len(long)
    requests = [
        Request(long, max_tokens=room),
        Request(long, max_tokens=room + 1),
        Request(long, max_tokens=room - 1),
        Request(of_length(most - 1, seed), max_tokens=1),
        Request(of_length(most - 2, seed), max_tokens=8),
        Request(asked("copy", 40, seed), max_tokens=1),
        Request(asked("copy", 41, seed), max_tokens=16),
        Request(asked("copy", 12, seed), max_tokens=13),
    ]
    yield scenario("length_limit", of.LIMITS, setup, requests, may_refuse=(1, 4))
    yield scenario("refusals", of.LIMITS, setup, _refused(most, seed), refused=(1, 3, 4))


def _reusing(setup: Setup, seed: int) -> Iterator[Scenario]:
    """Prompts that begin alike, one after the other and at the same time."""
    rounds = [[0], [1, 2, 3], [4, 0, 5, 6]]
    yield scenario("alike", of.REUSE, setup, _alike(seed), rounds=rounds, claims=(of.REUSES,))
    inner = tables(30, 1, seed + 2)[0]
    requests = [Request(behind(BLOCKS, inner, seed), max_tokens=4), Request(inner, max_tokens=12)]
    yield scenario("alike_elsewhere", of.REUSE, setup, requests, rounds=[[0], [1]])
    branches = [Request(prompt, max_tokens=14) for prompt in branching(24, 24, 3, seed)]
    yield scenario("branching", of.REUSE, setup, branches, rounds=[[0], [1, 2]], claims=(of.REUSES,))
    # An answer becomes part of the next prompt, as in a conversation.
    first = asked("copy", 60, seed + 3)
    second = (*first, *first[2:-1], *asked("reverse", 20, seed + 3)[1:])
    turns = [Request(first, max_tokens=40), Request(second, max_tokens=24), Request(first[:40], max_tokens=8)]
    yield scenario("turns", of.REUSE, setup, turns, rounds=[[0], [1, 2], [1]])


def _in_chunks(setup: Setup, level: Level, seed: int) -> Iterator[Scenario]:
    """Prompts around multiples of a chunk, among others that are further on."""
    lengths = [5, 63, 64, 65, 127, 128, 129, 200, min(300, LONGEST[level])]
    requests = [Request(of_length(length, seed + length), max_tokens=12) for length in lengths]
    yield scenario("chunks", of.CHUNKS, setup, requests)
    # Alone, a prompt gets the whole of every chunk, and a last one of a single token.
    rounds = [[number] for number in range(1, len(lengths) - 2)]
    short = [replace(request, max_tokens=4) for request in requests]
    yield scenario("chunks_alone", of.CHUNKS, setup, short, rounds=rounds)
    draws = mixed(4, seed + 4)
    long = [Request(prompt, max_tokens=12, after=number) for number, prompt in enumerate(tables(30, 3, seed))]
    yield scenario("chunks_arriving", of.CHUNKS, setup, [*draws, *long])


def _short_of_blocks(setup: Setup, seed: int) -> Iterator[Scenario]:
    """More tokens than the cache holds."""
    wide = [Request(asked("copy", 56 + number, seed), max_tokens=20) for number in range(4)]
    wide += [Request(asked("reverse", 50 + number, seed), max_tokens=20) for number in range(4)]
    yield scenario("waiting", of.SMALL_CACHE, setup, wide, claims=(of.WAITS, of.RETURNS_BLOCKS))
    growing = [Request(asked("copy", 27 + number, seed), max_tokens=40) for number in range(4)]
    growing += [Request(asked("repeat", 30 + number, seed), max_tokens=40) for number in range(4)]
    yield scenario("evicting", of.SMALL_CACHE, setup, growing, claims=(of.RETURNS_BLOCKS,))
    # If blocks of cancelled requests stayed away, the last ones would wait for ever.
    cancelled = [Request(asked("copy", 80 + number, seed), max_tokens=90, cancel_after=2) for number in range(12)]
    rounds = [[0, 1, 2, 3, 12], [4, 5, 6, 7, 13], [8, 9, 10, 11, 12, 13]]
    requests = [*cancelled, *mixed(2, seed + 5)]
    yield scenario("cancelling", of.CANCEL, setup, requests, rounds=rounds, claims=(of.RETURNS_BLOCKS,))


def _all_at_once(setup: Setup, seed: int) -> Iterator[Scenario]:
    """Reuse, chunks, eviction, arrivals, cancelling and streaming together."""
    alike = tables(24, 6, seed + 6)
    requests = [
        *(Request(prompt, max_tokens=14, streaming=True) for prompt in alike[:3]),
        *(replace(request, after=0) for request in mixed(4, seed + 7)),
        Request(asked("copy", 100, seed), max_tokens=110, cancel_after=6, after=1),
        *(Request(prompt, max_tokens=14, after=2) for prompt in alike[3:]),
    ]
    everyone = list(range(len(requests)))
    yield scenario("all_at_once", of.SMALL_CACHE, setup, requests, rounds=[everyone, everyone])


def _on_two_gpus(setup: Setup, seed: int) -> Iterator[Scenario]:
    """Layers that two GPUs share: the answers are those of one."""
    requests = [*mixed(4, seed + 13), Request(of_length(200, seed + 13), max_tokens=12)]
    yield scenario("two_gpus", of.TENSOR_PARALLEL, setup, requests)


def _of_all_lengths(longest: int, seed: int) -> list[Request]:
    lengths = (*EDGES, longest)
    order = random.Random(f"lengths/{seed}").sample(lengths, len(lengths))  # noqa: S311 - an order, not a secret
    # A few answers are long, so that generation crosses the ends of blocks.
    return [Request(of_length(length, seed + length), max_tokens=70 if 60 < length < 70 else 20) for length in order]


def _arriving(seed: int) -> list[Request]:
    requests = mixed(10, seed + 8)
    after = (None, None, 0, 0, 1, 2, 2, 5, None, 7)
    return [replace(request, after=number) for request, number in zip(requests, after, strict=True)]


def _streaming(seed: int) -> list[Request]:
    """Return each prompt twice, in pieces and whole."""
    return [replace(request, streaming=streaming) for request in mixed(4, seed + 9) for streaming in (True, False)]


def _cancelled(seed: int) -> list[Request]:
    """Return long answers cut short among others, and newcomers that get the blocks which become free."""
    doomed = [
        Request(asked("copy", 110 + number, seed), max_tokens=120, cancel_after=count, streaming=number == 1)
        for number, count in enumerate((1, 4, 17))
    ]
    others = [replace(request, max_tokens=48) for request in mixed(4, seed + 10)]
    late = [replace(request, after=number) for number, request in enumerate(mixed(3, seed + 11))]
    return [doomed[0], others[0], doomed[1], others[1], doomed[2], *others[2:], *late]


def _alike(seed: int) -> list[Request]:
    """Return prompts that begin with one table; one twice; one that ends within it; one of another table."""
    prompts = tables(30, 5, seed)
    other = tables(30, 1, seed + 1)[0]
    return [Request(prompt, max_tokens=14) for prompt in (*prompts, prompts[0][:BLOCKS], other)]


def _refused(limit: int, seed: int) -> list[Request]:
    """Return an empty prompt and two that leave no room, among others that must not suffer."""
    good = mixed(3, seed + 12)
    text = asked("copy", 900, seed)
    long = (text * 3)[: limit + 1]
    return [good[0], Request((), 8), good[1], Request(long, 8), Request((text * 5)[: limit + 300], 8), good[2]]


def _equally_long(count: int, seed: int) -> list[Request]:
    """Return requests that take as many steps each, so that a batch stays full."""
    return [Request(asked("copy", 40, seed, number), max_tokens=16) for number in range(count)]
