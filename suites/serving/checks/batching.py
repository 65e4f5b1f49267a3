"""Dynamic batching: each caller its own rows, batches that really form, and a queue that keeps its word."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.crowd import all_at_once
from pytest_trtcheck._suites.serving.metrics import parse_metrics
from pytest_trtcheck._suites.serving.repository import MOST_IN_BATCH, QUEUE_DELAY_MS
from pytest_trtcheck._suites.serving.tensors import Tensor, tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

CLIENTS = 64
REQUESTS_EACH = 4
QUEUE_SLACK_MS = 100.0
"""What the scheduler may take beyond the queue's delay, on a busy machine."""


def rows(bench: Bench) -> Measured:
    """64 clients at once get their own rows back, from batches that really formed."""
    http = bench.http()
    before = http.statistics("batches")

    def client(number: int) -> list[tuple[tuple[int, ...], dict[str, Tensor]]]:
        told = []
        connection = http.connect(60.0)
        try:
            for turn in range(REQUESTS_EACH):
                # One to three rows, none the same as anybody else's.
                base = (number * REQUESTS_EACH + turn) * 10
                given = tuple(base + row for row in range(1 + number % 3))
                sent = [tensor("NUMBER", "INT64", given, (len(given), 1))]
                told.append((given, http.infer("batches", sent, connection=connection)))
        finally:
            connection.close()
        return told

    told = all_at_once([partial(client, number) for number in range(CLIENTS)])
    for entry in told:
        if entry.error is not None:
            raise Wrong(f"one of {CLIENTS} clients at once got no answer: {entry.error}")
    largest, asked, rows_asked = 0, 0, 0
    for given, answer in (pair for entry in told for pair in entry.answer or ()):
        expected = tuple(2 * number for number in given)
        found = answer["DOUBLE"].values
        expect(found == expected, f"a caller asked for 2 x {given} and got {found}: rows of another caller")
        largest = max(largest, *answer["BATCH"].values)
        asked, rows_asked = asked + 1, rows_asked + len(given)
    after = http.statistics("batches")
    executions = after["execution_count"] - before["execution_count"]
    counted = after["inference_count"] - before["inference_count"]
    expect(counted == rows_asked, f"statistics: expected {rows_asked} more inferences, found {counted}")
    expect(largest <= MOST_IN_BATCH, f"a batch of {largest} rows; max_batch_size is {MOST_IN_BATCH}")
    formed = {int(entry["batch_size"]) for entry in after.get("batch_stats", [])}
    expect(
        largest > 3 and executions < asked and max(formed, default=0) == largest,
        f"no batches formed: {asked} requests at once took {executions} executions; batch sizes {sorted(formed)}",
    )
    yield Measurement("rows_per_execution", rows_asked / executions, "rows")
    yield Measurement("largest_batch", largest, "rows")


def delay(bench: Bench) -> Measured:
    """A request that is alone waits for others as long as the queue's delay says, and not longer."""
    http = bench.http()
    before = http.statistics("batches")["inference_stats"]["queue"]
    count = 5
    for number in range(count):
        http.infer("batches", [tensor("NUMBER", "INT64", [number])])
    after = http.statistics("batches")["inference_stats"]["queue"]
    waited_ms = (after["ns"] - before["ns"]) / max(1, after["count"] - before["count"]) / 1e6
    yield Measurement("queue_delay", waited_ms, "ms")
    least, most = QUEUE_DELAY_MS * 0.5, QUEUE_DELAY_MS + QUEUE_SLACK_MS
    expect(
        least <= waited_ms <= most,
        f"a request alone waited {waited_ms:.1f} ms in the queue; max_queue_delay is {QUEUE_DELAY_MS} ms",
    )


def counters(bench: Bench) -> Measured:
    """The metrics count what was sent: requests, rows, executions and failures, by model."""
    http = bench.http()
    names = ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count")
    before = parse_metrics(http.metrics_text())
    good, bad = 7, 3
    for number in range(good):
        http.infer("echo", [tensor("IN_INT32", "INT32", [number, number], (2, 1))])
    for _ in range(bad):
        answer = http.post("/v2/models/echo/infer", {"inputs": []})
        expect(answer.error(), "a request without inputs was answered as if it were one")
    after = parse_metrics(http.metrics_text())
    for name, expected in zip(names, (good, 2 * good, good), strict=True):
        found = after.total(name, model="echo") - before.total(name, model="echo")
        expect(found == expected, f"{name} of echo: expected {expected} more after {good} requests, found {found:g}")
    pending = after.total("nv_inference_pending_request_count", model="echo")
    expect(pending == 0, f"nv_inference_pending_request_count of echo: expected 0, found {pending:g}")
    lasted = after.total("nv_inference_request_duration_us", model="echo")
    expect(lasted > before.total("nv_inference_request_duration_us", model="echo"), "request durations do not grow")
    return ()


CHECKS = (
    Check("rows", "TRC-SRV-006", rows),
    Check("queue-delay", "TRC-SRV-006", delay),
    Check("metrics", "TRC-SRV-011", counters),
)
