"""Who waits for whom: priorities, time-outs in the queue, cancellation, rate limits."""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise
from threading import Thread
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.bench import wait_until
from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.crowd import Told, all_at_once
from pytest_trtcheck._suites.serving.metrics import parse_metrics
from pytest_trtcheck._suites.serving.repository import QUEUE_TIMEOUT_MS
from pytest_trtcheck._suites.serving.tensors import Tensor, tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.endpoint import Endpoint

BUSY_MS = 600
SHORT_MS = 20
CANCEL_MS = 20_000
CANCEL_SECONDS = 5.0


def _wait(milliseconds: int) -> list[Tensor]:
    return [tensor("WAIT_MS", "INT32", [milliseconds])]


def _busy(http: Endpoint, model: str, milliseconds: int) -> Thread:
    """Keep a model busy, and return once it is."""
    before = http.statistics(model)["inference_stats"]["success"]["count"]
    thread = Thread(target=partial(http.infer, model, _wait(milliseconds)), daemon=True)
    thread.start()
    taken = wait_until(
        lambda: (
            parse_metrics(http.metrics_text()).total("nv_inference_pending_request_count", model=model) == 0
            and not http.statistics(model)["inference_stats"]["success"]["count"] > before
        ),
        2.0,
    )
    time.sleep(0.1)
    expect(taken, f"{model}: a request stays in the queue of an idle model")
    return thread


def priorities(bench: Bench) -> Measured:
    """A request of high priority overtakes those of low priority that wait."""
    http = bench.http()
    blocker = _busy(http, "queued", BUSY_MS // 2)
    work = [partial(http.infer, "queued", _wait(SHORT_MS), parameters={"priority": 2}) for _ in range(4)]
    late = partial(_later, 0.1, partial(http.infer, "queued", _wait(SHORT_MS), parameters={"priority": 1}))
    told = all_at_once([*work, late])
    blocker.join(30)
    ends = [_began(entry) for entry in told]
    overtaken = sum(began > ends[-1] for began in ends[:-1])
    expect(
        overtaken == 4,
        f"a request of priority 1 overtook {overtaken} of 4 requests of priority 2 that waited before it",
    )
    return ()


def _later(seconds: float, piece: partial[dict[str, Tensor]]) -> dict[str, Tensor]:
    time.sleep(seconds)
    return piece()


def _began(entry: Told[dict[str, Tensor]]) -> int:
    if entry.answer is None:
        raise Wrong(f"a request that may wait got no answer: {entry.error}")
    return int(entry.answer["TIMES"].values[0])


def timeouts(bench: Bench) -> Measured:
    """A request that waited longer than its queue allows is rejected, never run, and counted as rejected."""
    http = bench.http()
    before = parse_metrics(http.metrics_text())
    blocker = _busy(http, "queued", BUSY_MS)
    began = time.monotonic()
    answer = http.post(
        "/v2/models/queued/infer",
        {"inputs": [{"name": "WAIT_MS", "shape": [1, 1], "datatype": "INT32", "data": [SHORT_MS]}]},
    )
    waited_ms = (time.monotonic() - began) * 1000
    blocker.join(30)
    words = answer.error()
    expect(words, f"a request behind one of {BUSY_MS} ms was answered after {waited_ms:.0f} ms; "
                  f"the queue's time-out is {QUEUE_TIMEOUT_MS} ms")  # fmt: skip
    expect(answer.status >= 400, f"a request that timed out in the queue was told HTTP {answer.status}: {words}")
    after = parse_metrics(http.metrics_text())
    labels = {"model": "queued", "reason": "REJECTED"}
    rejected = after.total("nv_inference_request_failure", **labels) - before.total(
        "nv_inference_request_failure", **labels
    )
    expect(rejected == 1, f"nv_inference_request_failure REJECTED: expected 1 more, found {rejected:g}")
    yield Measurement("rejected_after", waited_ms, "ms")


def cancellation(bench: Bench) -> Measured:
    """A cancelled request ends for its caller at once, and frees the model."""
    client, http = bench.grpc(), bench.http()
    call, ends = client.start("paced", _wait(CANCEL_MS))
    time.sleep(0.3)
    began = time.monotonic()
    call.cancel()
    end = ends.get(timeout=CANCEL_SECONDS)
    expect("CANCELLED" in str(end).upper(), f"a cancelled request ended with {end!r:.200}")
    http.infer("paced", _wait(0), timeout=CANCEL_MS / 1000)
    seconds = time.monotonic() - began
    yield Measurement("free_after_cancel", seconds, "s")
    expect(
        seconds < CANCEL_SECONDS,
        f"the model was free {seconds:.1f} s after a request of {CANCEL_MS / 1000:g} s was cancelled",
    )


def rate_limit(bench: Bench) -> Measured:
    """Two instances that need the same resource never run at the same time."""
    http = bench.http()
    told = all_at_once([partial(http.infer, "limited", _wait(50)) for _ in range(6)])
    spans = []
    for entry in told:
        if entry.answer is None:
            raise Wrong(f"a request under a rate limit got no answer: {entry.error}")
        spans.append(entry.answer["TIMES"].values)
    spans.sort()
    overlaps = sum(later[0] < earlier[1] for earlier, later in pairwise(spans))
    expect(not overlaps, f"{overlaps} of {len(spans)} executions overlap; the resource that they need is there once")
    return ()


CHECKS = (
    Check("priorities", "TRC-SRV-007", priorities),
    Check("queue-timeout", "TRC-SRV-007", timeouts),
    Check("cancellation", "TRC-SRV-008", cancellation, grpc=True),
    Check("rate-limit", "TRC-SRV-007", rate_limit),
)
