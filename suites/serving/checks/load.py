"""Throughput and latency as the number of clients rises: measured, and judged only by the user's own numbers."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving import load
from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.checks.llm import asked, text_of
from pytest_trtcheck._suites.serving.checks.streams import complete, fields_of
from pytest_trtcheck._suites.serving.load import Ask, Served
from pytest_trtcheck._suites.serving.tensors import tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck.model.report import Measurement

QUICK_CLIENTS, CLIENTS = (1, 8), (1, 2, 4, 8, 16, 32)
QUICK_SECONDS, SECONDS = 1.0, 5.0
EVENTS, PAUSE_MS = 8, 5
PERF_ANALYZER = "perf_analyzer"


def requests(bench: Bench) -> Measured:
    """Requests of a model with dynamic batching are answered right under rising load; throughput and latency."""
    return _curve(bench, QUICK_CLIENTS, QUICK_SECONDS, _requests(bench))


def requests_long(bench: Bench) -> Measured:
    """The same from 1 to 32 clients for longer, and by perf_analyzer where there is one."""
    yield from _curve(bench, CLIENTS, SECONDS, _requests(bench))
    program = shutil.which(PERF_ANALYZER)
    for clients in CLIENTS if program else ():
        assert program is not None
        yield from load.by_perf_analyzer(program, bench.http(), "strict", clients, SECONDS)


def streams(bench: Bench) -> Measured:
    """Streams are complete under rising load; time to first token and between tokens."""
    return _curve(bench, QUICK_CLIENTS, QUICK_SECONDS, _streams(bench))


def llm(bench: Bench) -> Measured:
    """The LLM ensemble answers right under rising load; time to first token and between tokens."""
    return _curve(bench, CLIENTS[:4], SECONDS, _llm(bench))


def _curve(bench: Bench, clients: Iterable[int], seconds: float, connect: Callable[[], Ask]) -> Measured:
    beyond = []
    for count in clients:
        for figure in load.run(count, seconds, connect).figures():
            yield figure
            words = _beyond(bench, figure)
            if words:
                beyond.append(words)
    if beyond:
        raise Wrong("; ".join(beyond))


def _beyond(bench: Bench, figure: Measurement) -> str:
    """Return how a figure misses the user's limit for it; empty where it does not, or there is none."""
    limit = bench.limits.get(figure.name)
    if limit is None:
        return ""
    at_least = figure.name.endswith("throughput")
    if figure.value >= limit if at_least else figure.value <= limit:
        return ""
    bound = "at least" if at_least else "at most"
    found = f"{figure.value:.3g} {figure.unit}"
    return f"{figure.name} with {figure.at:g} clients: expected {bound} {limit:g}, found {found}"


def _requests(bench: Bench) -> Callable[[], Ask]:
    http = bench.http()

    def connect() -> Ask:
        connection = http.connect(60.0)

        def ask(number: int) -> Served:
            began = time.monotonic()
            sent = [tensor("NUMBER", "INT64", [number])]
            found = http.infer("batches", sent, binary=True, connection=connection)["DOUBLE"].values
            expect(found == (2 * number,), f"2 x {number}: found {found}")
            return Served(time.monotonic() - began)

        return ask

    return connect


def _streams(bench: Bench) -> Callable[[], Ask]:
    http = bench.http()

    def ask(number: int) -> Served:
        began = time.monotonic()
        times, events = [], []
        for event in http.generate_stream("stream", fields_of(EVENTS, f"client-{number}", PAUSE_MS)):
            times.append(time.monotonic() - began)
            events.append((int(event["NUMBER"]), str(event["MARK_OUT"])))
        complete("generate_stream", EVENTS, f"client-{number}", events)
        return Served(time.monotonic() - began, tuple(times))

    return lambda: ask


def _llm(bench: Bench) -> Callable[[], Ask]:
    http = bench.http("llm")
    questions = asked(bench)

    def ask(number: int) -> Served:
        fields, expected = questions[number % len(questions)]
        began = time.monotonic()
        times, pieces = [], []
        for event in http.generate_stream("ensemble", fields):
            times.append(time.monotonic() - began)
            pieces.append(text_of(bench, fields, event))
        found = "".join(pieces)
        expect(found == expected, f"ensemble: the reference answers {expected!r:.80}, found {found!r:.80}")
        return Served(time.monotonic() - began, tuple(times))

    return lambda: ask


CHECKS = (
    Check("load", "TRC-SRV-018", requests),
    Check("load-streams", "TRC-SRV-018", streams),
    Check("load-long", "TRC-SRV-018", requests_long, level="standard", seconds=300.0),
)
LLM_CHECKS = (Check("load-llm", "TRC-SRV-018", llm, llm=True, level="standard", seconds=180.0),)
