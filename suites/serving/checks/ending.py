"""The end: a server that is stopped leaves nothing, and one that dies is named with its last words."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving import repository
from pytest_trtcheck._suites.serving.checking import Check, Measured, expect
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck.isolation.guard import leftovers, members
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench

DEATH_SECONDS = 10.0
_API = re.compile(r"'([\w-]+)' TRITONBACKEND API version: ([\d.]+)")


def stop(bench: Bench) -> Measured:
    """Stopped while it serves, the server ends by itself and leaves no process, port, shared memory or file."""
    server = bench.server("main")
    bench.http().infer("echo", [tensor("IN_INT32", "INT32", [1])])
    began = time.monotonic()
    left = bench.drop("main")
    yield Measurement("stop", time.monotonic() - began, "s")
    expect(not left, f"after SIGTERM tritonserver left: {', '.join(left)}")
    expect(server.exit_status == 0, f"after SIGTERM tritonserver ended with {server.exit_status}, expected 0")


def killed(bench: Bench) -> Measured:
    """A server that is killed is seen to be dead, and is named with the last lines of its log."""
    server = bench.launch([repository.echo()], ["--disable-auto-complete-config", "--log-verbose=1"])
    try:
        server.endpoint.infer("echo", [tensor("IN_INT32", "INT32", [1])])
        # The server tells it in a verbose log alone.
        bench.facts += [f"backend {name}: API {api}" for name, api in _API.findall("\n".join(server.log_lines()))]
        server.kill()
        expect(server.wait_for_exit(DEATH_SECONDS), "a killed server is not seen to be dead")
        expect("SIGKILL" in server.death(), f"a killed server is described as: {server.death()}")
        expect(len(server.last_words()) > 20, "a killed server has no last words")
    finally:
        # Its stubs and shared memory outlive it for a while: the guard removed them, and says if it could not.
        left = [entry for entry in server.stop() if not entry.startswith(("shared memory", "process"))]
        left += [f"process {process}" for process in members(server.pid)] + leftovers(server.charge)
    expect(not left, f"of a killed server could not be removed: {', '.join(left)}")
    return ()


CHECKS = (
    Check("stop", "TRC-SRV-016", stop),
    Check("killed", "TRC-SRV-016", killed),
)
