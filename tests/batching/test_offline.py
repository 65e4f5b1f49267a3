"""The suites of the probe model need no network: they run with sockets denied, in the controller and in workers."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

DENIED = """
import socket

def refuse(*arguments, **named):
    raise AssertionError("a check tried to use the network")

for name in ("connect", "connect_ex", "bind", "sendto"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = socket.create_connection = refuse
"""
PROBE = """
import socket, pytest

def test_sockets_are_denied_here():
    with pytest.raises(AssertionError, match="tried to use the network"):
        socket.create_connection(("127.0.0.1", 9))
"""


def test_batching_decoding_and_quantization_run_with_sockets_denied(pytester: pytest.Pytester) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    pytester.makeconftest(DENIED)
    path = pytester.makepyfile(test_probe=PROBE)
    chosen = "sockets_are_denied or (not transformers and (alone or arrivals or ends or seeds or json_schema or int8))"
    result = pytester.runpytest_subprocess("--trtcheck", str(path), "-p", "no:cacheprovider", "-k", chosen)
    report = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    ran = [entry for entry in report["results"] if entry["outcome"] != "not_run"]
    assert {entry["outcome"] for entry in ran} == {"passed"}, result.stdout.str()
    suites = Counter(entry["suite"] for entry in ran)
    assert suites["tests"] == 1
    assert min(suites[name] for name in ("batching", "decoding", "quantization")) >= 2, suites
