"""What TensorRT can show without a GPU, beside its import and its libraries, which the stack suite looks at."""

from __future__ import annotations

import pytest

from pytest_trtcheck.model.report import Measurement, Reason
from pytest_trtcheck.probe.child import run_child
from pytest_trtcheck.session import fail, measured, not_run, run_of

SECONDS = 60.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan one check where there is a TensorRT."""
    is_here = run_of(metafunc.config).stack.get("tensorrt").is_found
    marks = [pytest.mark.trtcheck_check("TRC-BLD-012")]
    metafunc.parametrize("component", [pytest.param("tensorrt", id="tensorrt", marks=marks)] if is_here else [])


def test_plugins(component: str, request: pytest.FixtureRequest) -> None:
    """Start the registry in a child and look how many plugins it has. A broken import is the stack suite's to tell."""
    end = run_child("pytest_trtcheck._suites.engine.registry_child", deadline_seconds=SECONDS)
    said = next(iter(end.records), {})
    if not said:
        words = f"{component}: the plugin registry could not be started: {end.describe()}"
        fail(request, words, f"{words}\n{end.stderr_tail}")
    if said.get("cannot_import"):
        not_run(request, Reason.MISSING_COMPONENT, f"{component} does not import: {said['problem']}")
    if said["problem"] or not said["creators"]:
        words = f"{component}: {said['problem'] or 'the plugin registry is empty'}"
        fail(request, words, words)
    measured(request, Measurement("plugin creators", said["creators"], "creators"))
