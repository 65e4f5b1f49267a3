"""``pytest --trtcheck`` with backends of a site's own: each that misbehaves costs its own checks, the rest goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

SCENARIO = "batch2-fp32"

BACKENDS = """
import os, signal, time
from pytest_trtcheck.providers import Completion, Refused
from pytest_trtcheck.providers.llm import lacking
from pytest_trtcheck._suites.probe_llm.providers.torch_engine import ABILITIES

class Sound:
    component = "torch"
    open_seconds = 300
    # More time than the one that hangs has: an import of torch may take long on a busy machine.

    def why_not(self, case, where):
        return lacking(case, ABILITIES - {"log_probs"} if self.name == "tokens_only" else ABILITIES)

    def open(self, setup, model, where):
        from pytest_trtcheck._suites.probe_llm.engine.session import Session
        return self.session(Session(setup, model, where.device))

    def session(self, inner):
        return inner

class Wrapped:
    def __init__(self, inner, generate):
        self.inner, self.generate = inner, lambda requests: generate(inner, requests)

    def close(self):
        self.inner.close()

def backend(called, **methods):
    return type(called, (Sound,), {"name": called, **methods})()

def answering(called, generate, **more):
    return backend(called, session=lambda self, inner: Wrapped(inner, generate), **more)

def refuses(self, setup, model, where):
    raise Refused("no such dtype in this build")

def fails(self, setup, model, where):
    raise RuntimeError("no engine\\nand more")

def hangs(inner, requests):
    time.sleep(600)

def crashes(inner, requests):
    os.kill(os.getpid(), signal.SIGSEGV)

def raises(inner, requests):
    raise KeyError("lost")

def swaps(inner, requests):
    return inner.generate(requests)[::-1]

def leaves(inner, requests):
    raise SystemExit(3)

def unpickled(inner, requests):
    return [dict(tokens=()) for _ in requests]

def pytest_trtcheck_llm_backends(config):
    return [
        backend("aa_sound"), backend("tokens_only"), backend("bad_open", open=fails), backend("declines", open=refuses),
        backend("no_session", open=lambda *given: None), answering("bad_hangs", hangs, open_seconds=0),
        answering("bad_crashes", crashes), answering("bad_raises", raises), answering("bad_swaps", swaps),
        answering("bad_leaves", leaves), answering("bad_form", unpickled), answering("bad_none", lambda i, r: None),
        backend("far", component="vllm"), backend("mute", why_not=lambda *a: 1 / 0),
        backend("zz_sound"), object(),
    ]
"""
RAISING = "def pytest_trtcheck_llm_backends(config):\n    import a_module_that_is_not_there\n"


def run(pytester: pytest.Pytester, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    os.environ["OMP_NUM_THREADS"] = "1"
    result = pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", "-p", "no:randomly", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return result, report


def batching(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in report["results"] if entry["suite"] == "batching"}


def test_each_misbehaving_backend_costs_its_own_checks_and_the_rest_is_unaffected(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(BACKENDS)
    pytester.makepyfile(raising=RAISING)
    chosen = f"({SCENARIO} and not transformers) or (bad_open and batch4-fp32) or (batching and test_hook)"
    result, report = run(pytester, "-p", "raising", "-k", chosen, "--trtcheck-deadline", "15")
    found = {name: (entry["outcome"], entry["message"]) for name, entry in batching(report).items()}
    first = {
        name.removeprefix("TRC-BAT-002-").removesuffix(f"-{SCENARIO}"): told
        for name, told in found.items()
        if name.endswith(f"-{SCENARIO}")
    }
    second = found["TRC-BAT-002-bad_open-batch4-fp32"]
    for name in ("aa_sound", "tokens_only", "torch", "zz_sound"):
        assert first[name][0] == "passed", (name, first[name])
    assert first["bad_open"] == ("failed", "bringing it up: RuntimeError: no engine")
    assert second == ("not_run", "did not come up before: bringing it up: RuntimeError: no engine")
    assert first["declines"] == ("not_run", "bringing it up: no such dtype in this build")
    assert first["no_session"] == ("failed", "open returned no session with generate and close, found NoneType")
    assert first["bad_raises"] == ("failed", "generate: KeyError: 'lost'")
    assert first["bad_leaves"] == ("failed", "generate: SystemExit: 3")
    assert first["bad_form"] == ("failed", "request 0: expected a Completion, found dict")
    assert first["bad_none"][1] == "the backend returned no answers: expected a list of Completion, found NoneType"
    assert first["bad_swaps"][0] == "failed"
    assert "expected " in first["bad_swaps"][1]
    assert first["bad_hangs"][0] == "error"
    assert first["bad_hangs"][1].startswith("hang: still running at its deadline of 15 s")
    assert first["bad_crashes"][0] == "error"
    assert first["bad_crashes"][1].startswith("crash: SIGSEGV")
    assert "far" not in first
    hooks = {told for name, (_, told) in found.items() if name.startswith("TRC-BAT-011") and told}
    assert hooks == {
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "asked what it can do: ZeroDivisionError: division by zero",
        "expected a provider with a name that is an identifier, found None",
    }
    assert report["verdict"] == "rejected"
    assert result.ret == 1
    ours = [cell for cell in report["support"] if cell["suite"] == "batching"]
    cells = {(cell["provider"], cell["feature"]): cell["state"] for cell in ours}
    assert cells["tokens_only", "log_probs"] == "not supported here"
    assert cells["aa_sound", "log_probs"] == "works"


DENIED = """
import socket

def refuse(*arguments, **named):
    raise AssertionError("the suite tried to use the network")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
"""


def test_the_whole_suite_passes_at_level_quick_with_sockets_denied_and_tells_its_figures(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(DENIED)
    args = ["--trtcheck-seed", "11", "--trtcheck-deadline", "300"]
    _, report = run(pytester, "-n0", "-k", "batching and [torch-", *args)
    found = {name: entry for name, entry in batching(report).items() if entry["provider"] == "torch"}
    assert {entry["outcome"] for entry in found.values()} == {"passed"}
    assert {name[:11] for name in found} == {f"TRC-BAT-{number:03}" for number in range(1, 11)}
    assert report["seed"] == 11
    figures = [
        (figure["at"], figure["unit"], figure["value"] > 0)
        for figure in found["TRC-BAT-010-torch-throughput-fp32"]["measurements"]
        if figure["name"] == "throughput"
    ]
    assert figures == [(size, "tokens/s", True) for size in (1, 2, 4, 8)]
    for entry in found.values():
        told = {figure["name"]: figure["value"] for figure in entry["measurements"]}
        assert told["tokens"] > 0
        assert told["wrong_tokens"] == 0
        assert "near_ties" in told


def test_checks_of_one_setup_share_a_session_and_a_worker(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest_trtcheck._suites.probe_llm.providers.torch_engine as backend\n"
        "opened = backend.TorchEngine.open\n"
        "def noted(self, setup, model, where):\n"
        "    with open(r'" + str(pytester.path) + "/opened', 'a') as file:\n"
        "        file.write(setup.name + '\\n')\n"
        "    return opened(self, setup, model, where)\n"
        "backend.TorchEngine.open = noted\n"
    )
    chosen = "batching and [torch- and (batch2-fp32 or batch4-fp32 or refusals)"
    _, report = run(pytester, "-n2", "-k", chosen, "--trtcheck-deadline", "300")
    found = batching(report)
    assert {entry["outcome"] for entry in found.values() if entry["reason"] != "filtered"} == {"passed"}
    lines = (pytester.path / "opened").read_text().split()
    assert sorted(lines) == ["fp32", "fp32-slots4-length_limit128"]
