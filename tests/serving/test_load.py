"""Figures under load, the user's limits for them, and what perf_analyzer prints."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from pytest_trtcheck._suites.serving.bench import Bench
from pytest_trtcheck._suites.serving.checking import Wrong
from pytest_trtcheck._suites.serving.checks import load as checks
from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck._suites.serving.load import (
    Ask,
    Level,
    Served,
    by_perf_analyzer,
    quantile,
    read_perf_analyzer,
    run,
)
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.report import Measurement
from pytest_trtcheck.session.limits import SERVING_FIGURES, read_limits

# As its documentation shows it, with two numbers of clients.
PRINTED = """*** Measurement Settings ***
  Measurement window: 5000 msec
  Using synchronous calls for inference

Request concurrency: 1
  Client:
    Request count: 348
    Throughput: 69.6 infer/sec
    p50 latency: 13936 usec
    p90 latency: 18682 usec
    p95 latency: 19673 usec
    p99 latency: 21859 usec
    Avg HTTP time: 14017 usec (send/recv 200 usec + response wait 13817 usec)

Request concurrency: 4
  Client:
    Throughput: 119 infer/sec
    p50 latency: 33600 usec
    p99 latency: 41200 usec

Inferences/Second vs. Client p95 Batch Latency
Concurrency: 1, throughput: 69.6 infer/sec, latency 19673 usec
"""


@pytest.mark.parametrize(("part", "expected"), [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0), (0.501, 51.0)])
def test_a_quantile_is_the_nearest_rank(part: float, expected: float) -> None:
    assert quantile([float(number) for number in range(100, 0, -1)], part) == expected
    assert quantile([3.0], part) == 3.0


def test_streams_have_time_to_first_token_and_between_tokens() -> None:
    level = Level(2, 2.0, (Served(0.4, (0.1, 0.2, 0.4)), Served(0.3, (0.3,))))
    found = {figure.name: figure.value for figure in level.figures()}
    assert found["throughput"] == pytest.approx(1.0)
    assert [found["latency_p50"], found["latency_p99"]] == pytest.approx([300.0, 400.0])
    assert [found["first_token_p50"], found["first_token_p99"]] == pytest.approx([100.0, 300.0])
    assert [found["inter_token_p50"], found["inter_token_p99"]] == pytest.approx([100.0, 200.0])
    assert found["token_throughput"] == pytest.approx(2.0)
    assert tuple(sorted(found)) == tuple(sorted(SERVING_FIGURES)), "each figure can have a limit"
    assert {figure.at for figure in level.figures()} == {2.0}


def test_clients_ask_side_by_side_until_the_time_is_over() -> None:
    def connect() -> Ask:
        def ask(number: int) -> Served:
            time.sleep(0.02)
            return Served(0.02)

        return ask

    one, four = run(1, 0.3, connect), run(4, 0.3, connect)
    assert one.seconds >= 0.3
    assert len(four.answers) > 2 * len(one.answers) > 0


def test_a_wrong_answer_under_load_is_told() -> None:
    def ask(number: int) -> Served:
        if number == 2:
            raise Wrong("2 x 2: found (5,)")
        time.sleep(0.01)
        return Served(0.01)

    with pytest.raises(Wrong, match=r"under the load of 4 clients: 2 x 2: found \(5,\)"):
        run(4, 0.1, lambda: ask)


def test_what_perf_analyzer_prints_is_read() -> None:
    found = {(figure.name, figure.at): figure.value for figure in read_perf_analyzer(PRINTED)}
    assert found == {
        ("perf_analyzer_throughput", 1.0): 69.6,
        ("perf_analyzer_latency_p50", 1.0): 13.936,
        ("perf_analyzer_latency_p99", 1.0): 21.859,
        ("perf_analyzer_throughput", 4.0): 119.0,
        ("perf_analyzer_latency_p50", 4.0): 33.6,
        ("perf_analyzer_latency_p99", 4.0): 41.2,
    }
    assert read_perf_analyzer("nothing of this kind") == []


# As perf_analyzer 2.51.0 printed it on a machine that others used as well.
UNSTEADY = """Request concurrency: 1
  Pass [1] throughput: 2889.75 infer/sec. p99 latency: 3252 usec
  Pass [2] throughput: 1530.44 infer/sec. p99 latency: 9269 usec
  Pass [3] throughput: 2547.17 infer/sec. p99 latency: 4026 usec
Failed to obtain stable measurement within 3 measurement windows for concurrency 1.
Failed to obtain stable measurement.
"""


def test_passes_that_never_agreed_count_by_their_median() -> None:
    found = {figure.name: figure.value for figure in read_perf_analyzer(UNSTEADY)}
    assert found == {"perf_analyzer_throughput": 2547.17, "perf_analyzer_latency_p99": 4.026}


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("cat <<'END'\n" + PRINTED + "END\n", ""),
        ("echo 'failed to get model metadata' >&2; exit 99\n", "ended with 99: failed to get model metadata"),
        ("exit 0\n", "ended with 0: no words"),
        ("cat <<'END'\n" + PRINTED + "END\nexit 1\n", "ended with 1: "),
    ],
)
def test_a_stand_in_for_perf_analyzer_is_run_and_its_failure_told(tmp_path: Path, script: str, words: str) -> None:
    program = tmp_path / "perf_analyzer"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    http = Endpoint("127.0.0.1", 1, None, None)
    if not words:
        assert len(by_perf_analyzer(str(program), http, "strict", 1, 1.0)) == 6
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{UNSTEADY}END\nexit 2\n")
        assert len(by_perf_analyzer(str(program), http, "strict", 1, 1.0)) == 2
        return
    with pytest.raises(Wrong, match=words):
        by_perf_analyzer(str(program), http, "strict", 1, 1.0)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("latency_p99=50", {"latency_p99": 50.0}),
        (" throughput=2e2, first_token_p50=1.5 ,", {"throughput": 200.0, "first_token_p50": 1.5}),
    ],
)
def test_limits_are_read(text: str, limits: dict[str, float]) -> None:
    assert read_limits("--trtcheck-serving-limits", text, SERVING_FIGURES) == limits


@pytest.mark.parametrize(
    "text", ["p99=5", "latency_p99", "latency_p99=", "latency_p99=x", "latency_p99=0", "latency_p99=-1",
             "latency_p99=nan", "latency_p99=inf", "latency_p99=1,latency_p99=2"]
)  # fmt: skip
def test_limits_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"--trtcheck-serving-limits: expected NAME=NUMBER,\.\.\. with names of"):
        read_limits("--trtcheck-serving-limits", text, SERVING_FIGURES)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("latency_p99", 49.0, ""),
        ("latency_p99", 51.0, "latency_p99 with 8 clients: expected at most 50, found 51 ms"),
        ("throughput", 201.0, ""),
        ("throughput", 199.0, "throughput with 8 clients: expected at least 200, found 199 ms"),
        ("latency_p50", 1e9, ""),
    ],
)
def test_only_what_the_user_limits_is_judged(tmp_path: Path, name: str, value: float, words: str) -> None:
    bench = Bench(Installation(tmp_path, "PATH", None, ()), limits={"latency_p99": 50.0, "throughput": 200.0})
    assert checks._beyond(bench, Measurement(name, value, "ms", "clients", 8.0)) == words
