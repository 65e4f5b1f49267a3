"""The engine suite in runs of the tool, on stand-ins that a conftest brings."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import Trtcheck
from tests.stacks import dist, stack

# NumPy comes with the venv that has torch.
pytestmark = pytest.mark.torch

CONFTEST = """
from pytest_trtcheck._suites.engine.standin import Session, Standin

class Crashing(Standin):
    name = "crashing"
    factory = ""

    def why_not(self, case, where):
        return "" if case.name == "gemm_bias-fp16" else "no"

    def abilities(self, where):
        return frozenset()

    def load(self, plan, options=frozenset()):
        import os, signal
        os.kill(os.getpid(), signal.SIGSEGV)

class Lying(Standin):
    name = "lying"

    def abilities(self, where):
        return {"everything"}

class Choosy(Standin):
    name = "choosy"

    def why_not(self, case, where):
        return "" if case.dtype == "fp32" else "fp32 only"

    def abilities(self, where):
        return frozenset({"refit"})

class Absent(Standin):
    name = "absent"
    component = "vllm"

class AbsentBeside(Standin):
    name = "absent_beside"
    beside = ("vllm",)

def pytest_trtcheck_engine_providers():
    return [Standin(), Crashing(), Lying(), Choosy(), Absent(), AbsentBeside()]
"""
CASE = "gemm_bias-fp16"


def run(pytester: pytest.Pytester, *args: str) -> dict[str, Any]:
    release = importlib.metadata.version("numpy")
    Trtcheck(pytester).judge(stack(python="3.11.7", numpy=release, dists=[dist("numpy", release)]))
    path = Path(pytester.path, "conftest.py")
    path.write_text(path.read_text() + CONFTEST)
    pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return report


def engine(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in report["results"] if entry["suite"] == "engine"}


def test_each_provider_is_judged_by_itself(pytester: pytest.Pytester) -> None:
    report = run(pytester, "-n1", "-k", f"{CASE} or gemm_bias-fp32 or test_hook")
    found = engine(report)
    sound = {name: entry for name, entry in found.items() if "-standin-gemm" in name}
    assert len(sound) >= 9
    assert {entry["outcome"] for entry in sound.values()} == {"passed"}
    numbers = sound[f"TRC-BLD-001-standin-{CASE}-numbers"]
    assert numbers["comparison"]["error"] < numbers["comparison"]["allowed"]
    assert [figure["name"] for figure in numbers["measurements"]] == ["build"]
    crashed = found[f"TRC-BLD-001-crashing-{CASE}-numbers"]
    assert (crashed["outcome"], "SIGSEGV" in crashed["message"]) == ("error", True)
    hooks = [entry["message"] for name, entry in found.items() if name.startswith("TRC-BLD-009")]
    assert len([words for words in hooks if "expected a set of some of inspect" in words]) == 1
    assert not [name for name in found if "absent" in name]
    choosy = {name.rpartition("-")[2] for name in found if "-choosy-gemm_bias-fp32-" in name}
    assert choosy == {"numbers", "outside"}
    cells = {(cell["provider"], cell["feature"]): cell for cell in report["support"]}
    assert cells["choosy", "fp16"]["words"] == "fp32 only"
    assert cells["choosy", "int8_calibrated"]["words"] == "INT8 by calibration is beyond this provider here"
    left_out = [line for line in report["not_looked_at"] if line.startswith("engine: choosy")]
    lacking = (
        "inspect, timing_cache, contexts, version_compatible, hardware_compatible, weight_streaming, onnx, "
        "lean_runtime, calibration"
    )
    assert left_out == [f"engine: choosy has no {lacking} here"]
    assert report["verdict"] == "rejected"


def test_a_seed_repeats_the_numbers(pytester: pytest.Pytester) -> None:
    name = f"TRC-BLD-001-standin-{CASE}-numbers"
    args = ["-n0", "-k", f"standin-{CASE}-numbers"]
    once, again, other = (
        engine(run(pytester, *args, "--trtcheck-seed", seed))[name]["comparison"] for seed in ("5", "5", "6")
    )
    assert once == again != other
