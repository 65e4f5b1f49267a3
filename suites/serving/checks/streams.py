"""Streams: generate and generate_stream, decoupled responses by gRPC, each caller its own events."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.serving.bench import wait_until
from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.crowd import all_at_once
from pytest_trtcheck._suites.serving.tensors import Tensor, tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

CLIENTS = 8
EVENTS = 12
FINAL_SECONDS = 15.0
GONE_SECONDS = 10.0


def fields_of(count: int, mark: str, delay_ms: int = 2) -> dict[str, Any]:
    """Return the generate fields that ask for a stream of so many events with a mark."""
    return {"COUNT": count, "MARK": mark, "DELAY_MS": delay_ms}


def _tensors(count: int, mark: str, delay_ms: int = 2) -> list[Tensor]:
    return [
        tensor("COUNT", "INT32", [count], (1,)),
        tensor("MARK", "BYTES", [mark.encode()], (1,)),
        tensor("DELAY_MS", "INT32", [delay_ms], (1,)),
    ]


def complete(who: str, count: int, mark: str, found: list[tuple[int, str]]) -> None:
    """Hold the events of one caller, number and mark, against what they must be."""
    strangers = {other for _, other in found if other != mark}
    expect(not strangers, f"{who}: {mark} got events of another caller: {', '.join(sorted(strangers))}")
    numbers = [number for number, _ in found]
    expect(sorted(set(numbers)) == sorted(numbers), f"{who}: {mark} got an event twice: {numbers}")
    expect(len(numbers) >= count, f"{who}: expected {count} events, found {len(numbers)}: {numbers}")
    expect(numbers == list(range(count)), f"{who}: expected events 0 to {count - 1} in order, found {numbers}")


def generate(bench: Bench) -> Measured:
    """Generate answers a request with one response, echoes its id, and tells errors."""
    http = bench.http()
    answer = http.generate("stream", {**fields_of(1, "one"), "id": "42"})
    expect(answer.get("MARK_OUT") == "one", f"generate: expected MARK_OUT one, found {answer.get('MARK_OUT')!r}")
    expect(answer.get("NUMBER") == 0, f"generate: expected NUMBER 0, found {answer.get('NUMBER')!r}")
    expect(
        answer.get("model_name") == "stream",
        f"generate: expected model_name stream, found {answer.get('model_name')!r}",
    )
    expect(answer.get("id") == "42", f"generate: expected the id 42 back, found {answer.get('id')!r}")
    nested = http.generate("stream", {"COUNT": 1, "parameters": {"MARK": "two", "DELAY_MS": 0}})
    expect(nested.get("MARK_OUT") == "two", "generate: fields under parameters are not used")
    for what, fields in (("two responses", fields_of(2, "x")), ("no response", fields_of(0, "x"))):
        told = http.post("/v2/models/stream/generate", fields)
        expect(told.error(), f"generate with {what}: expected an error, found HTTP {told.status} {told.body[:80]!r}")
    missing = http.post("/v2/models/stream/generate", {"COUNT": 1})
    expect(missing.error() and missing.status >= 400, f"generate without inputs: HTTP {missing.status}")
    return ()


def generate_stream(bench: Bench) -> Measured:
    """Server-sent events come complete, in order, as they are made, and to the caller that asked."""
    http = bench.http()

    def client(number: int) -> tuple[list[tuple[int, str]], float, float]:
        began = time.monotonic()
        first = 0.0
        events = []
        for event in http.generate_stream("stream", fields_of(EVENTS, f"client-{number}", 20)):
            first = first or time.monotonic() - began
            events.append((int(event["NUMBER"]), str(event["MARK_OUT"])))
        return events, first, time.monotonic() - began

    told = all_at_once([partial(client, number) for number in range(CLIENTS)])
    for number, entry in enumerate(told):
        if entry.answer is None:
            raise Wrong(f"generate_stream: one of {CLIENTS} callers got {entry.error}")
        events, first, whole = entry.answer
        complete("generate_stream", EVENTS, f"client-{number}", events)
        expect(
            first < whole * 0.7,
            f"generate_stream: the first event came after {first:.2f} of {whole:.2f} s: all at once",
        )
    expect(
        not list(http.generate_stream("stream", fields_of(0, "x"))), "generate_stream: events where none was asked for"
    )
    yield Measurement("first_event", max(entry.answer[1] for entry in told if entry.answer), "s")


def decoupled(bench: Bench) -> Measured:
    """Decoupled responses by gRPC come complete, in order, with a final one, also with several requests on a stream."""
    client = bench.grpc()
    marks = [f"request-{number}" for number in range(CLIENTS)]
    events = client.stream("stream", [(mark, _tensors(EVENTS, mark)) for mark in marks], seconds=FINAL_SECONDS)
    for mark in marks:
        own = [event for event in events if event.request_id == mark]
        complete("gRPC stream", EVENTS, mark, [_told(event.tensors) for event in own if event.tensors])
        finals = [event.is_final for event in own]
        expect(finals.count(True) == 1, f"gRPC stream: {mark} got {finals.count(True)} final responses, expected 1")
        expect(
            finals[-1], f"gRPC stream: {mark} got {len(finals) - finals.index(True) - 1} responses after its final one"
        )
    empty = client.stream("stream", [("none", _tensors(0, "none"))], seconds=FINAL_SECONDS)
    expect(
        [(event.is_final, bool(event.tensors)) for event in empty] == [(True, False)],
        f"gRPC stream: for no response expected one empty final one, found {len(empty)}",
    )
    return ()


def _told(tensors: dict[str, Tensor]) -> tuple[int, str]:
    return int(tensors["NUMBER"].values[0]), bytes(tensors["MARK_OUT"].values[0]).decode(errors="replace")


def dropped(bench: Bench) -> Measured:
    """A stream that its caller cancels, or whose connection breaks, ends on the server too, and disturbs nobody."""
    client, http = bench.grpc(), bench.http()
    client.stream("stream", [("gone", _tensors(10_000, "gone"))], cancel_after=3)
    stream = http.generate_stream("stream", fields_of(10_000, "broken", 5))
    next(stream)
    stream.close()
    next_events = client.stream("stream", [("next", _tensors(EVENTS, "next"))])
    told = [_told(event.tensors) for event in next_events if event.tensors]
    complete("gRPC stream after a cancelled one", EVENTS, "next", told)
    open_at_end = 0

    def settled() -> bool:
        nonlocal open_at_end
        open_at_end = int(http.generate("stream", fields_of(1, "count", 0))["OPEN"]) - 1
        return open_at_end == 0

    expect(
        wait_until(settled, GONE_SECONDS, 0.1),
        f"{open_at_end} streams of callers that are gone still run after {GONE_SECONDS:g} s",
    )
    bench.alive()
    return ()


CHECKS = (
    Check("generate", "TRC-SRV-005", generate),
    Check("generate-stream", "TRC-SRV-005", generate_stream),
    Check("decoupled", "TRC-SRV-005", decoupled, grpc=True),
    Check("dropped-stream", "TRC-SRV-008", dropped, grpc=True),
)
