"""Each scenario on each backend that takes it: one item for each pair, every token held against the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.batching import NEEDS
from pytest_trtcheck._suites.batching.plan import plan_of
from pytest_trtcheck._suites.batching.scenarios import HOOK_CHECK, Scenario
from pytest_trtcheck._suites.probe_llm.checks import bench, run_check
from pytest_trtcheck._suites.probe_llm.planning import Planned, marks_of
from pytest_trtcheck.session import fail, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.bench import Bench
    from pytest_trtcheck._suites.support.registry import BrokenHook

__all__ = ["bench", "test_hook", "test_scenario"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan pairs of scenario and backend, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    if "hook" in metafunc.fixturenames:
        mark = pytest.mark.trtcheck_check(HOOK_CHECK)
        metafunc.parametrize("hook", [pytest.param(hook, id=hook.plugin, marks=mark) for hook in plan.llm.broken])
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


def test_hook(hook: BrokenHook, request: pytest.FixtureRequest) -> None:
    """Tell of backends that could not be had, each plugin once."""
    fail(request, hook.words, f"{hook.plugin}: {hook.words}")


def test_scenario(scenario: Scenario, planned: Planned, bench: Bench, request: pytest.FixtureRequest) -> None:
    """Put a scenario's requests to a backend and judge every answer."""
    from pytest_trtcheck._suites.batching.judge import run_scenario

    run_check(request, bench, planned, lambda oracle: run_scenario(scenario, oracle, bench.generate, bench.statistics))
