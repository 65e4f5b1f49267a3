"""Load: clients that ask again as soon as they are answered, and what that came to."""

from __future__ import annotations

import math
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from pytest_trtcheck._suites.serving.checking import Wrong
from pytest_trtcheck._suites.serving.crowd import all_at_once
from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck.model.report import Measurement

AXIS = "clients"
_MS = 1000.0


@dataclass(frozen=True)
class Served:
    """One answer: how long it took, and when each part of it came, in seconds from the request."""

    seconds: float
    events: tuple[float, ...] = ()


@dataclass(frozen=True)
class Level:
    """What one number of clients came to."""

    clients: int
    seconds: float
    answers: tuple[Served, ...]

    def figures(self) -> Iterator[Measurement]:
        """Yield throughput, latency and, for streams, time to first token and between tokens."""
        times = [one.seconds for one in self.answers]
        yield self._figure("throughput", len(times) / self.seconds, "requests/s")
        yield self._figure("latency_p50", quantile(times, 0.5) * _MS, "ms")
        yield self._figure("latency_p99", quantile(times, 0.99) * _MS, "ms")
        firsts = [one.events[0] for one in self.answers if one.events]
        gaps = [later - earlier for one in self.answers for earlier, later in pairwise(one.events)]
        if firsts:
            yield self._figure("first_token_p50", quantile(firsts, 0.5) * _MS, "ms")
            yield self._figure("first_token_p99", quantile(firsts, 0.99) * _MS, "ms")
        if gaps:
            yield self._figure("inter_token_p50", quantile(gaps, 0.5) * _MS, "ms")
            yield self._figure("inter_token_p99", quantile(gaps, 0.99) * _MS, "ms")
            yield self._figure("token_throughput", (len(firsts) + len(gaps)) / self.seconds, "tokens/s")

    def _figure(self, name: str, value: float, unit: str) -> Measurement:
        return Measurement(name, value, unit, AXIS, float(self.clients))


def quantile(values: Sequence[float], part: float) -> float:
    """Return the smallest value that at least this part of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


Ask = Callable[[int], Served]
"""Asks once, with the number of the client, and raises what is wrong with the answer."""


def run(clients: int, seconds: float, connect: Callable[[], Ask]) -> Level:
    """Let so many clients ask again and again for a time; ``connect`` makes the connection of one.

    Wrong when one of them got no answer, or a wrong one, or nobody got any.
    """
    began = time.monotonic()
    until = began + seconds

    def client(number: int) -> list[Served]:
        ask = connect()
        served = []
        while time.monotonic() < until:
            served.append(ask(number))
        return served

    told = all_at_once([partial(client, number) for number in range(clients)], seconds + 60)
    lasted = time.monotonic() - began
    for entry in told:
        if entry.error is not None:
            raise Wrong(f"under the load of {clients} clients: {entry.error}")
    answers = tuple(one for entry in told for one in entry.answer or ())
    if not answers:
        raise Wrong(f"under the load of {clients} clients nobody was answered within {seconds:g} s")
    return Level(clients, lasted, answers)


_LEVEL = re.compile(r"Request concurrency: (\d+)(.*?)(?=Request concurrency: |\Z)", re.DOTALL)
_THROUGHPUT = re.compile(r"Throughput: ([\d.]+) infer/sec")
_LATENCY = re.compile(r"(p50|p99) latency: (\d+) usec")
_PASS = re.compile(r"Pass \[\d+\] throughput: ([\d.]+) infer/sec\. p99 latency: (\d+) usec")
_UNSTEADY = "Failed to obtain stable measurement"


def by_perf_analyzer(program: str, http: Endpoint, model: str, clients: int, seconds: float) -> list[Measurement]:
    """Return what NVIDIA's perf_analyzer measures on a model whose shapes are fixed; Wrong where it fails."""
    command = [
        program, "-m", model, "-u", f"{http.host}:{http.http_port}", "-i", "http", "--percentile=99",
        f"--concurrency-range={clients}", f"--measurement-interval={int(seconds * _MS)}", "--max-trials=5",
        "--stability-percentage=50", "-v",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds * 10 + 60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Wrong(f"{program}: {error}") from None
    text = done.stdout.decode(errors="replace")
    figures = read_perf_analyzer(text)
    # A machine that others use as well is no fault of the server's: its passes were measured all the same.
    if not figures or (done.returncode and _UNSTEADY not in text):
        last = (done.stderr.decode(errors="replace").strip() or text.strip()).splitlines()[-1:]
        raise Wrong(f"{program} ended with {done.returncode}: {(last or ['no words'])[0][:300]}")
    return figures


def read_perf_analyzer(text: str) -> list[Measurement]:
    """Return the figures in what perf_analyzer prints, by number of clients; medians of passes that never agreed."""
    figures = []
    for clients, part in _LEVEL.findall(text):
        throughput, passes = _THROUGHPUT.search(part), _PASS.findall(part)
        found = {}
        if throughput:
            found["throughput"] = (float(throughput[1]), "requests/s")
            told = _LATENCY.findall(part[throughput.start() :])
            found |= {f"latency_{name}": (int(value) / _MS, "ms") for name, value in told}
        elif passes:
            found["throughput"] = (statistics.median(float(rate) for rate, _ in passes), "requests/s")
            found["latency_p99"] = (statistics.median(int(late) for _, late in passes) / _MS, "ms")
        figures += [
            Measurement(f"perf_analyzer_{name}", value, unit, AXIS, float(clients))
            for name, (value, unit) in found.items()
        ]
    return figures
