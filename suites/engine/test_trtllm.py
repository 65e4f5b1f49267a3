"""TensorRT-LLM's own builder on the probe model, where the release has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck._suites.engine.plan import where_of
from pytest_trtcheck._suites.engine.trtllm import SECONDS, build, why_not
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Measurement, Reason
from pytest_trtcheck.session import fail, measured, not_run, run_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan one build from level standard on, and note why there is none."""
    run = run_of(metafunc.config)
    release = run.stack.value("tensorrt_llm")
    reason = why_not(release) if release else ""
    if reason:
        run.left_out.append(f"engine: {reason}")
    is_planned = bool(release) and not reason and run.settings.level.rank >= Level.STANDARD.rank
    marks = [
        pytest.mark.trtcheck_check("TRC-BLD-013"),
        pytest.mark.trtcheck_needs("tensorrt_llm"),
        pytest.mark.trtcheck_deadline(SECONDS + 60),
    ]
    metafunc.parametrize("release", [pytest.param(release, id="probe_model", marks=marks)] if is_planned else [])


def test_trtllm_build(release: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Build, and read what was written without TensorRT."""
    if where_of(run_of(request.config)).device != "cuda":
        not_run(request, Reason.NO_GPU, "trtllm-build needs a GPU, and there is none to use")
    problem, seconds = build(tmp_path, release)
    measured(request, Measurement("trtllm-build", round(seconds, 1), "s"))
    if problem:
        fail(request, problem, problem)
