"""From start to service: live, ready, the first right answer, and then a steady one."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving.checking import Check, Measured, Wrong, expect
from pytest_trtcheck._suites.serving.endpoint import AnswerError, TransportError
from pytest_trtcheck._suites.serving.repository import LOADED_AT_START
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

ABLE_SECONDS = 20.0
"""How long after "ready" a model may take to give its first right answer."""
STEADY_ANSWERS = 50
EXTENSIONS = ("sequence", "model_repository", "model_configuration", "binary_tensor_data", "statistics")
LOG_EXCUSED = ("CudaDriverHelper has not been initialized", "no_such_model")
"""What the server logs as an error where there is no GPU, and of a model that is asked for to see it refused."""


def serve(bench: Bench) -> Measured:
    """The server becomes live, then ready, and a ready server gives right answers."""
    bench.drop("main")
    server = bench.server("main")
    http = bench.http()
    ready_at = time.monotonic()
    first, refused = _first_answer(bench, server.started)
    yield Measurement("live", server.times.live or 0.0, "s")
    yield Measurement("ready", server.times.ready or 0.0, "s")
    yield Measurement("first_answer", first, "s")
    if server.starts > 1:
        yield Measurement("starts", server.starts, "starts")
    if refused:
        late = time.monotonic() - ready_at
        raise Wrong(f"ready, but unable: for {late:.2f} s after it called itself ready it answered {refused}")
    times = []
    for number in range(STEADY_ANSWERS):
        began = time.monotonic()
        answer = http.infer("batches", [tensor("NUMBER", "INT64", [number])])
        times.append(time.monotonic() - began)
        expect(answer["DOUBLE"].values == (2 * number,), f"2 x {number}: found {answer['DOUBLE'].values}")
    yield Measurement("steady_answer", statistics.median(times), "s")


def _first_answer(bench: Bench, started: float) -> tuple[float, str]:
    """Return the seconds from the start to the first right answer, and what came before it, empty for nothing."""
    refused = ""
    until = time.monotonic() + ABLE_SECONDS
    while time.monotonic() < until:
        try:
            answer = bench.http().infer("batches", [tensor("NUMBER", "INT64", [21])], timeout=ABLE_SECONDS)
        except (AnswerError, TransportError) as error:
            refused = refused or str(error)
            time.sleep(0.05)
            continue
        expect(answer["DOUBLE"].values == (42,), f"2 x 21: expected 42, found {answer['DOUBLE'].values}")
        return time.monotonic() - started, refused
    raise Wrong(f"ready, but unable: no answer within {ABLE_SECONDS:g} s of calling itself ready; first {refused}")


def metadata(bench: Bench) -> Measured:
    """Server and models describe themselves as they were configured."""
    server, http = bench.server("main"), bench.http()
    told = http.get("/v2")
    expect(told.get("name") == server.identity, f"/v2: expected name {server.identity}, found {told.get('name')!r}")
    installed, release = bench.installation.version, told.get("version")
    expect(installed in {None, release}, f"/v2: expected version {installed}, as installed, found {release!r}")
    bench.facts.append(f"tritonserver {release}, backends {', '.join(bench.installation.backends)}")
    missing = [name for name in EXTENSIONS if name not in told.get("extensions", [])]
    expect(not missing, f"/v2: extensions {', '.join(missing)} are missing")
    found = http.index()
    down = {name: found.get(name) for name in LOADED_AT_START if found.get(name) != "READY"}
    expect(not down, f"repository index: expected READY, found {down}")
    described = http.get("/v2/models/strict")
    wanted = {"name": "IN_INT32", "datatype": "INT32", "shape": [-1, 3]}
    expect(described.get("inputs") == [wanted], f"strict: expected input {wanted}, found {described.get('inputs')}")
    config = http.get("/v2/models/batches/config")
    expect(
        config.get("max_batch_size") == 16, f"batches: expected max_batch_size 16, found {config.get('max_batch_size')}"
    )
    expect("dynamic_batching" in config, "batches: the configuration lost its dynamic_batching")
    policy = http.get("/v2/models/stream/config").get("model_transaction_policy", {})
    expect(policy.get("decoupled") is True, f"stream: expected a decoupled model, found {policy}")
    return ()


def log(bench: Bench) -> Measured:
    """Nothing that went well left an error in the log."""
    server = bench.server("main")
    errors = [
        line
        for line in server.log_lines()
        if line[:1] == "E" and line[1:5].isdigit() and not any(words in line for words in LOG_EXCUSED)
    ]
    expect(not errors, f"{len(errors)} errors in the server's log; first: {errors[0][:300] if errors else ''}")
    return ()


def settings(bench: Bench) -> Measured:
    """Trace and log settings can be read, changed and set back."""
    http = bench.http()
    for path, key, value in (("/v2/trace/setting", "trace_rate", "500"), ("/v2/logging", "log_verbose_level", 1)):
        before = http.get(path)
        expect(key in before, f"{path}: no {key} in it")
        changed = http.post(path, {key: value}).checked().document()
        expect(changed.get(key) == value, f"{path}: set {key} to {value!r}, found {changed.get(key)!r}")
        back = http.post(path, {key: before[key]}).checked().document()
        expect(back.get(key) == before[key], f"{path}: {key} was not set back")
    return ()


CHECKS = (
    Check("start", "TRC-SRV-001", serve, seconds=120.0),
    Check("metadata", "TRC-SRV-002", metadata),
    Check("settings", "TRC-SRV-012", settings),
)
LAST = (Check("log", "TRC-SRV-012", log),)
