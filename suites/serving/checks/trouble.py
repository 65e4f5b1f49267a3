"""Models that misbehave: they raise, hang, end their process, get no CPU. Others must be served."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving import repository
from pytest_trtcheck._suites.serving.abuse import SECONDS
from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.checks.requests import DEATH_SECONDS, serves
from pytest_trtcheck._suites.serving.endpoint import Answer, AnswerError, TransportError
from pytest_trtcheck._suites.serving.known import DEAD_BUT_READY, DIES_OF_PAUSE, met
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck._suites.serving.vitals import stub_of
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck._suites.serving.endpoint import Endpoint

HANG_SECONDS = 1.5
PAUSE_SECONDS = 3.0
AFTER_PAUSE = 3


def _ask(http: Endpoint, model: str, action: str, timeout: float = SECONDS) -> Answer:
    entry = {"name": "ACTION", "shape": [1, 1], "datatype": "BYTES", "data": [action]}
    return http.post(f"/v2/models/{model}/infer", {"inputs": [entry]}, timeout)


def _told(answer: Answer, what: str, words: str = "") -> None:
    """Raise Wrong unless an answer is an error of the server's side, with the model's words."""
    told = answer.error()
    expect(told and answer.status >= 500, f"{what}: expected an error and HTTP 500, found {answer.status} {told!r}")
    expect(words in told, f"{what}: expected the model's words {words!r}, found {told[:200]!r}")


def raising(bench: Bench) -> Measured:
    """A model that raises, or returns an error, tells its own words to that caller, and goes on."""
    http = bench.http("trouble")
    _told(_ask(http, "raising", "raise"), "a model that raised", "the model raised as it was asked to")
    _told(_ask(http, "raising", "error"), "a model that returned an error", "returned an error as it was asked to")
    again = _ask(http, "raising", "fine")
    expect(not again.error(), f"after it raised, a model answers {again.error()!r}")
    serves(http)
    return ()


def exiting(bench: Bench) -> Measured:
    """A model whose process ends is told to its callers, and others are served."""
    http = bench.http("trouble")
    began = time.monotonic()
    _told(_ask(http, "exiting", "exit"), "a model whose process ended")
    yield Measurement("death_told", time.monotonic() - began, "s")
    serves(http)
    after = _ask(http, "exiting", "fine")
    if after.error() and http.is_ready(model="exiting"):
        met(bench, DEAD_BUT_READY, f"exiting answers {after.error()[:80]!r}")
    serves(http)


def hanging(bench: Bench) -> Measured:
    """A model that hangs keeps its own callers waiting, and no others."""
    http = bench.http("trouble")
    try:
        with suppress(TransportError):
            answer = _ask(http, "hanging", "hang", HANG_SECONDS)
            raise Wrong(f"a model that hangs was answered for with HTTP {answer.status} {answer.error()!r}")
        times = []
        for _ in range(10):
            began = time.monotonic()
            serves(http)
            times.append(time.monotonic() - began)
        yield Measurement("answer_beside_a_hang", max(times), "s")
        expect(http.is_live(), "a server one of whose models hangs does not call itself live")
    finally:
        bench.abandon("trouble")


def paused(bench: Bench) -> Measured:
    """A model whose process gets no CPU for a few seconds costs its callers an error at most, and others nothing."""
    server = bench.launch([repository.echo(), repository.paced()], ["--disable-auto-complete-config"])
    http = server.endpoint
    sent = [tensor("WAIT_MS", "INT32", [1])]
    try:
        http.infer("paced", sent)
        stub = stub_of(server, "paced")
        if stub is None:
            raise Wrong("no process of the server runs the model paced")
        thread = Thread(target=_pause, args=(stub,), daemon=True)
        thread.start()
        first = _outcome(http)
        serves(http)
        thread.join(2 * PAUSE_SECONDS)
        told = [_outcome(http) for _ in range(AFTER_PAUSE)]
        if server.wait_for_exit(DEATH_SECONDS if told[-1] else 0.0):
            met(bench, DIES_OF_PAUSE, f"{first or 'answered'}, then {server.death()}")
        else:
            expect(not told[-1], f"a model whose process goes on after {PAUSE_SECONDS:g} s answers {told[-1]}")
            serves(http)
    finally:
        server.discard()
    return ()


def _pause(stub: int) -> None:
    os.kill(stub, signal.SIGSTOP)
    time.sleep(PAUSE_SECONDS)
    with suppress(OSError):
        os.kill(stub, signal.SIGCONT)


def _outcome(http: Endpoint) -> str:
    """Ask the model that is paced, and return the error that comes; empty for an answer."""
    try:
        http.infer("paced", [tensor("WAIT_MS", "INT32", [500])], timeout=SECONDS)
    except (AnswerError, TransportError) as error:
        return str(error)
    return ""


CHECKS = (
    Check("model-raises", "TRC-SRV-017", raising),
    Check("model-exits", "TRC-SRV-017", exiting),
    Check("model-starves", "TRC-SRV-017", paused),
    # The last on its server, which cannot end while a model hangs.
    Check("model-hangs", "TRC-SRV-017", hanging),
)
