"""What a run says of a server that is not ours, and of options that cannot be used."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_trtcheck._suites.serving.bench import Bench
from tests.serving.test_suite import run, serving


@contextmanager
def answering(status: int, body: bytes) -> Iterator[int]:
    """Run a stand-in that answers everything with the same."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's name

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>It works!</html>", "is no Triton server: GET /v2: HTTP 200 with a body that is no JSON"),
        (404, b"not found", "is no Triton server: GET /v2: HTTP 404: not found"),
        (200, b'["v2"]', "is no Triton server"),
    ],
)
def test_an_address_that_is_no_triton_is_named(pytester: pytest.Pytester, status: int, body: bytes, words: str) -> None:
    with answering(status, body) as port:
        _, report = run(pytester, "-n0", f"--trtcheck-triton-url=http://127.0.0.1:{port}", "-k", "running-health")
    entry = serving(report)["TRC-SRV-019-running-health"]
    assert entry["outcome"] == "failed"
    assert words in entry["message"]
    assert report["verdict"] == "rejected"


@pytest.mark.serving
def test_a_running_server_is_looked_at_and_left_alone(pytester: pytest.Pytester, bench: Bench) -> None:
    endpoint = bench.server("trouble").endpoint
    before = endpoint.statistics("echo")["inference_count"], endpoint.index(), endpoint.get("/v2/logging")
    _, report = run(pytester, "-n0", f"--trtcheck-triton-url=http://127.0.0.1:{endpoint.http_port}", "-k", "serving")
    found = serving(report)
    assert {name: entry["outcome"] for name, entry in found.items()} == {
        "TRC-SRV-019-running-health": "passed",
        "TRC-SRV-019-running-models": "passed",
    }
    assert before == (endpoint.statistics("echo")["inference_count"], endpoint.index(), endpoint.get("/v2/logging"))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--trtcheck-triton-url=http://10.0.0.1:8000", "expected the HTTP port of a server on this machine"),
        ("--trtcheck-triton-url=http://127.0.0.1", "expected the HTTP port of a server on this machine"),
        ("--trtcheck-triton-url=http://127.0.0.1:99999", "such as http://127.0.0.1:8000"),
        ("--trtcheck-model-repository=/no/such/folder", "found no folder at /no/such/folder"),
        ("--trtcheck-serving-limits=p99=50", "--trtcheck-serving-limits: expected NAME=NUMBER"),
    ],
)
def test_options_that_cannot_be_used_end_the_run_before_it_begins(
    pytester: pytest.Pytester, option: str, words: str
) -> None:
    result = pytester.runpytest_subprocess("--trtcheck", option)
    assert result.ret == 4
    assert words in result.stderr.str()


@pytest.mark.serving
def test_a_repository_is_checked_model_by_model(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("models")
    (folder / "good" / "1").mkdir(parents=True)
    (folder / "good" / "1" / "model.py").write_text("")
    (folder / "good" / "config.pbtxt").write_text('backend: "python"\n')
    (folder / "bad").mkdir()
    (folder / "bad" / "config.pbtxt").write_text('backend: "python"\nmax_batch_size: many\n')
    result, report = run(
        pytester, "-n0", f"--trtcheck-model-repository={folder}", "-k", "test_serving_user and not running-"
    )
    found = {name: (entry["outcome"], entry["message"]) for name, entry in serving(report).items() if "020" in name}
    assert found["TRC-SRV-020-repository"][0] == "passed"
    assert found["TRC-SRV-020-model-good"] == ("passed", "")
    assert found["TRC-SRV-020-model-bad"][0] == "failed"
    assert "models/bad/config.pbtxt:2:17" in found["TRC-SRV-020-model-bad"][1]
    assert result.ret == 1
    assert json.dumps(report)
