"""What the serving suite's own client costs: the same requests through it and through others, on one server.

``python -m bench.serving [--seconds 5]``. Compared are this suite's HTTP client, tritonclient's for HTTP and gRPC, and
NVIDIA's perf_analyzer where it is on PATH: the Triton SDK image has it, and so has the wheel tritonclient 2.51.0, where
it needs libb64.so.0d and libcudart.so.12; the package named perf-analyzer holds nothing. The model gives back three
numbers, so that what is measured is the way there and back. Clients run in this process, a thread each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable

import numpy as np

from pytest_trtcheck._suites.serving import repository
from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck._suites.serving.installation import installation_of
from pytest_trtcheck._suites.serving.load import Ask, Served, by_perf_analyzer, run
from pytest_trtcheck._suites.serving.starting import start_server
from pytest_trtcheck._suites.serving.tensors import tensor
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.probe.triton_server import triton_server_fact

MODEL = "strict"
NUMBERS = [1, 2, 3]
CLIENTS = (1, 4)
FIGURES = ("throughput", "latency_p50", "latency_p99")


def own(http: Endpoint, *, binary: bool) -> Callable[[], Ask]:
    def connect() -> Ask:
        connection = http.connect(60.0)
        sent = [tensor("IN_INT32", "INT32", NUMBERS)]

        def ask(_: int) -> Served:
            began = time.perf_counter()
            found = http.infer(MODEL, sent, binary=binary, connection=connection)["OUT_INT32"].values
            assert list(found) == NUMBERS
            return Served(time.perf_counter() - began)

        return ask

    return connect


def theirs(kind: str, address: str) -> Callable[[], Ask]:
    if kind == "grpc":
        import tritonclient.grpc as library
    else:
        import tritonclient.http as library
    values = np.array([NUMBERS], np.int32)

    def connect() -> Ask:
        client = library.InferenceServerClient(address)

        def ask(_: int) -> Served:
            began = time.perf_counter()
            entry = library.InferInput("IN_INT32", [1, 3], "INT32")
            entry.set_data_from_numpy(values)
            assert client.infer(MODEL, [entry]).as_numpy("OUT_INT32").tolist() == [NUMBERS]
            return Served(time.perf_counter() - began)

        return ask

    return connect


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    seconds = parser.parse_args().seconds
    installation = installation_of(triton_server_fact(Root("/"), os.environ, sys.path))
    assert installation is not None, "no tritonserver is here"
    server = start_server(installation, repository.strict_echo().files(), ["--disable-auto-complete-config"])
    http = server.endpoint
    ways = {
        "own, JSON": own(http, binary=False),
        "own, bytes": own(http, binary=True),
        "tritonclient gRPC": theirs("grpc", http.grpc_address),
    }
    try:
        ways["tritonclient HTTP"] = theirs("http", f"{http.host}:{http.http_port}")
    except (ImportError, RuntimeError) as error:
        print(f"tritonclient HTTP: not here: {error}")
    print(f"{os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, {seconds:g} s each; times in ms")
    print(f"{'client':<20} {'clients':>7} " + " ".join(f"{name:>14}" for name in FIGURES))
    try:
        for clients in CLIENTS:
            for name, connect in ways.items():
                run(clients, min(1.0, seconds), connect)
                show(name, clients, {one.name: one.value for one in run(clients, seconds, connect).figures()})
            program = shutil.which("perf_analyzer")
            if program:
                told = by_perf_analyzer(program, http, MODEL, clients, seconds)
                show("perf_analyzer", clients, {one.name.removeprefix("perf_analyzer_"): one.value for one in told})
            else:
                print("perf_analyzer is not on PATH")
    finally:
        server.discard()


def show(name: str, clients: int, figures: dict[str, float]) -> None:
    print(f"{name:<20} {clients:>7} " + " ".join(f"{figures.get(wanted, float('nan')):>14.2f}" for wanted in FIGURES))


if __name__ == "__main__":
    main()
