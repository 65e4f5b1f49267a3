"""Each launch that can be tried here: one item for launcher, library and number of ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.parallel.launch import launch
from pytest_trtcheck._suites.parallel.plan import make_plan
from pytest_trtcheck.session import fail, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.parallel.plan import Trial

SHARE_OF_DEADLINE = 0.8
"""Of a check's deadline: the rest is for telling what hung."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan the launches, and note what cannot be tried."""
    run = run_of(metafunc.config)
    plan = make_plan(run.stack, run.settings.level, run.gpu_count)
    run.left_out += plan.left_out
    if plan.trials:
        run.draw_seed()
    metafunc.parametrize("trial", [pytest.param(trial, id=trial.name, marks=_marks(trial)) for trial in plan.trials])


def _marks(trial: Trial) -> list[pytest.MarkDecorator]:
    marks = [
        pytest.mark.trtcheck_check(trial.check_id),
        pytest.mark.trtcheck_provider(f"{trial.launcher.name}_{trial.collective}", f"{trial.size} ranks"),
        pytest.mark.trtcheck_needs(*trial.needs),
    ]
    return [*marks, pytest.mark.trtcheck_gpus(trial.gpus)] if trial.gpus else marks


def test_ranks(trial: Trial, request: pytest.FixtureRequest) -> None:
    """Start the ranks; they must know each other and arrive at the one right sum."""
    run = run_of(request.config)
    deadline = SHARE_OF_DEADLINE * run.settings.deadline_seconds
    found = launch(trial.launcher, trial.kind, trial.size, seed=run.draw_seed(), deadline_seconds=deadline)
    if found.problem:
        again = f"again: pytest --trtcheck --trtcheck-seed {run.draw_seed()} -k {trial.name}"
        fail(request, found.problem, f"{found.problem}\n{found.text}\n{again}")
