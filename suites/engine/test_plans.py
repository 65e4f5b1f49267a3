"""Each plan that ``--trtcheck-engine`` names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck._suites.engine.plan import where_of
from pytest_trtcheck._suites.engine.plans import answer, predict, read
from pytest_trtcheck.model.report import Measurement, Reason
from pytest_trtcheck.session import fail, measured, not_run, run_of
from pytest_trtcheck.session.run import Run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan a check for each file, under its name; a number tells files of one name apart."""
    paths = run_of(metafunc.config).settings.engines
    names: list[str] = []
    for path in paths:
        name = f"{path.parent.name}-{path.name}" if path.name.startswith("rank") else path.name
        names.append(name if name not in names else f"{name}-{len(names)}")
    mark = pytest.mark.trtcheck_check("TRC-BLD-011")
    metafunc.parametrize(
        "path", [pytest.param(path, id=name, marks=mark) for path, name in zip(paths, names, strict=True)]
    )


def test_plan(path: Path, request: pytest.FixtureRequest) -> None:
    """Predict from the header whether the plan loads here, load it in a child, and compare."""
    run = run_of(request.config)
    why_not = _why_not_loaded(run)
    found = answer(path, predict(*read(path), run), why_not)
    if found.state == "failed":
        fail(request, found.words, found.words)
    if found.state == "not_run":
        not_run(request, Reason.MISSING_COMPONENT if why_not.startswith("no TensorRT") else Reason.NO_GPU, found.words)
    measured(request, Measurement("load in a fresh process", found.seconds, "s"))


def _why_not_loaded(run: Run) -> str:
    """Return why no runtime can be asked; without a driver most releases end the process that asks."""
    if not run.stack.get("tensorrt").is_found:
        return "no TensorRT here"
    return "" if where_of(run).device == "cuda" else "TensorRT loads plans on a GPU only, and there is none to use"
