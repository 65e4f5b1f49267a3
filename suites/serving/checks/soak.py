"""Ten minutes of mixed load, and whether memory, descriptors, shared memory or processes grow meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from statistics import median
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.checking import Check, Measured, expect
from pytest_trtcheck._suites.serving.checks.streams import complete, fields_of
from pytest_trtcheck._suites.serving.crowd import Traffic
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck._suites.serving.vitals import Vitals, vitals_of
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

SECONDS = 600.0
LOOKS = 120
CLIENTS = 4
EVENTS = 6
WARM_UP = 5
"""The part of all looks, one in so many, that is for caches and pools to fill."""
SLACK = {"memory_bytes": 64 << 20, "descriptors": 32, "shared_memory_bytes": 16 << 20, "processes": 0}
"""What each may grow from the first third after the warm-up to the last: pools grow in steps, leaks on and on."""


def soak(bench: Bench) -> Measured:
    """Under ten minutes of load nothing that the server holds grows, and every answer is right."""
    return soaked(bench, SECONDS)


def soaked(bench: Bench, seconds: float, slack: dict[str, int] | None = None) -> Measured:
    """Do the same for a time."""
    server, http = bench.server("main"), bench.http()
    numbers = _numbers()

    def ask() -> None:
        number = next(numbers)
        found = http.infer("batches", [tensor("NUMBER", "INT64", [number])], binary=True)["DOUBLE"].values
        expect(found == (2 * number,), f"2 x {number}: found {found}")
        text = [b"x" * (number % 5000)]
        given = [tensor("IN_BYTES", "BYTES", text), tensor("IN_INT32", "INT32", [number])]
        back = http.infer("echo", given, binary=bool(number % 2))
        expect(list(back["OUT_BYTES"].values) == text, f"a string of {number % 5000} bytes did not come back")
        mark = f"soak-{number}"
        events = [
            (int(event["NUMBER"]), str(event["MARK_OUT"]))
            for event in http.generate_stream("stream", fields_of(EVENTS, mark, 0))
        ]
        complete("generate_stream", EVENTS, mark, events)

    looks = []
    with Traffic(ask, clients=CLIENTS) as traffic:
        for _ in range(LOOKS):
            time.sleep(seconds / LOOKS)
            bench.alive()
            looks.append(vitals_of(server))
    expect(not traffic.errors, f"{len(traffic.errors)} requests failed, the first: {(traffic.errors or [''])[0]}")
    yield Measurement("rounds", traffic.answers, "requests")
    grown = growth(looks)
    for name, value in grown.items():
        yield Measurement(f"{name}_grown", value, "bytes" if name.endswith("bytes") else name)
    allowed = SLACK if slack is None else slack
    beyond = [f"{name} by {value:g}, allowed {allowed[name]}" for name, value in grown.items() if value > allowed[name]]
    expect(not beyond, f"under {seconds:g} s of load the server grew: {'; '.join(beyond)}")


def growth(looks: list[Vitals]) -> dict[str, float]:
    """Return by how much each figure is larger in the last third of the looks than in the first after the warm-up."""
    steady = looks[len(looks) // WARM_UP :]
    third = max(1, len(steady) // 3)
    middle: Callable[[list[Vitals], str], float] = lambda part, name: median(getattr(one, name) for one in part)  # noqa: E731
    return {
        entry.name: middle(steady[-third:], entry.name) - middle(steady[:third], entry.name) for entry in fields(Vitals)
    }


def _numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


CHECKS = (Check("soak", "TRC-SRV-021", soak, level="full", seconds=SECONDS + 120),)
