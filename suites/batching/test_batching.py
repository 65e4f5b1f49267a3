"""Each scenario on each backend that takes it: one item for each pair, every token held against the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.batching import NEEDS
from pytest_trtcheck._suites.batching.plan import plan_of
from pytest_trtcheck._suites.batching.scenarios import HOOK_CHECK, Scenario
from pytest_trtcheck._suites.probe_llm.planning import Planned, marks_of
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session import fail, measured, not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.bench import Bench, TroubleError
    from pytest_trtcheck._suites.support.registry import BrokenHook


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


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Return the sessions and references of this process."""
    from pytest_trtcheck._suites.probe_llm.bench import Bench

    bench = Bench()
    yield bench
    bench.close()


def test_hook(hook: BrokenHook, request: pytest.FixtureRequest) -> None:
    """Tell of backends that could not be had, each plugin once."""
    fail(request, hook.words, f"{hook.plugin}: {hook.words}")


def test_scenario(scenario: Scenario, planned: Planned, bench: Bench, request: pytest.FixtureRequest) -> None:
    """Put a scenario's requests to a backend and judge every answer."""
    from pytest_trtcheck._suites.batching.judge import run_scenario
    from pytest_trtcheck._suites.probe_llm.bench import TroubleError

    if planned.too_slow:
        not_run(request, Reason.LEVEL, planned.too_slow)
    run = run_of(request.config)
    setup, where = scenario.case.setup, run.where
    chosen = f"{planned.backend.name} and {scenario.case.name}"
    again = f"again: pytest --trtcheck --trtcheck-seed {run.draw_seed()} -k '{chosen}'"
    try:
        bench.open(planned.backend, setup, where)
        judgement = run_scenario(scenario, bench.oracle(setup.dtype, where.device), bench.generate, bench.statistics)
    except TroubleError as trouble:
        _tell(trouble, request, again)
    measured(request, *judgement.measurements(scenario.check_id))
    if judgement.problems:
        fail(request, judgement.message(), "\n".join((*judgement.problems, again)))


def _tell(trouble: TroubleError, request: pytest.FixtureRequest, again: str) -> None:
    """End a check whose backend declined or failed; what another check told already is not told as a failure again."""
    if trouble.refused or trouble.again:
        not_run(request, Reason.REFUSED, trouble.words)
    fail(request, trouble.words, "\n".join(filter(None, (trouble.words, trouble.text, again))))
