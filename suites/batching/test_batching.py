"""Each scenario on each backend that takes it: one item for each pair, every token held against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.batching import NEEDS
from pytest_trtcheck._suites.batching.plan import plan_of
from pytest_trtcheck._suites.batching.scenarios import HOOK_CHECK, Scenario
from pytest_trtcheck._suites.probe_llm.checks import bench, run_check
from pytest_trtcheck._suites.probe_llm.planning import Planned, marks_of
from pytest_trtcheck._suites.support.hooks import plans_hooks, test_hook
from pytest_trtcheck.session import run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.bench import Bench

__all__ = ["bench", "test_hook", "test_scenario"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan pairs of scenario and backend, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    if plans_hooks(metafunc, plan.llm.broken, HOOK_CHECK):
        return
    run.unsupported += plan.llm.unsupported
    deadline = run.settings.deadline_seconds
    metafunc.parametrize(
        ("scenario", "planned"),
        [
            pytest.param(
                scenario,
                planned,
                id=f"{planned.backend.name}-{scenario.case.name}",
                marks=marks_of(planned, scenario.check_id, NEEDS, deadline),
            )
            for scenario, planned in plan.pairs
        ],
    )


def test_scenario(scenario: Scenario, planned: Planned, bench: Bench, request: pytest.FixtureRequest) -> None:
    """Put a scenario's requests to a backend and judge every answer."""
    from pytest_trtcheck._suites.batching.judge import run_scenario

    run_check(request, bench, planned, lambda oracle: run_scenario(scenario, oracle, bench.generate, bench.statistics))
