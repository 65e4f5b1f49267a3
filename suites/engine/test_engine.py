"""Each check of each case on each provider that takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.engine.plan import BROKEN_HOOK_CHECK, CHECK_OF_ASPECT, components_of, plan_of
from pytest_trtcheck._suites.support.hooks import plans_hooks, test_hook
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session import compared, fail, measured, not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.engine.judge import Bench
    from pytest_trtcheck._suites.engine.plan import Idle, Planned
    from pytest_trtcheck.providers import EngineCase, EngineProvider

__all__ = ["test_engine", "test_hook", "test_without_gpu"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan checks, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    if plans_hooks(metafunc, plan.broken, BROKEN_HOOK_CHECK):
        return
    if "idle" in metafunc.fixturenames:
        metafunc.parametrize(
            "idle",
            [pytest.param(one, id=f"{one.check_id}-{one.provider.name}", marks=_idle_marks(one)) for one in plan.idle],
        )
        return
    run.unsupported += plan.unsupported
    run.left_out += plan.left_out
    if plan.checks:
        run.draw_seed()
    metafunc.parametrize(
        "planned", [pytest.param(planned, id=planned.name, marks=_marks(planned)) for planned in plan.checks]
    )


def _idle_marks(idle: Idle) -> list[pytest.MarkDecorator]:
    return [pytest.mark.trtcheck_check(idle.check_id), pytest.mark.trtcheck_provider(idle.provider.name)]


def _marks(planned: Planned) -> list[pytest.MarkDecorator]:
    return [
        pytest.mark.trtcheck_check(CHECK_OF_ASPECT[planned.aspect]),
        pytest.mark.trtcheck_provider(planned.provider.name, *sorted({*planned.case.features, planned.aspect})),
        pytest.mark.trtcheck_needs("numpy", *sorted(components_of(planned.provider))),
        pytest.mark.trtcheck_group(f"{planned.provider.name}-{planned.case.name}"),
    ]


def test_without_gpu(idle: Idle, request: pytest.FixtureRequest) -> None:
    """Say of each check that it could not be made."""
    not_run(
        request, Reason.NO_GPU, f"{idle.provider.name} builds and runs engines on a GPU only, and there is none to use"
    )


def test_engine(planned: Planned, request: pytest.FixtureRequest) -> None:
    """Make one check of one case on one provider."""
    seed = run_of(request.config).draw_seed()
    bench = _bench(planned.case, planned.provider, seed)
    judgement = bench.judge(planned.aspect)
    measured(request, *bench.measurements)
    if judgement.comparison is not None:
        compared(request, judgement.comparison)
    if judgement.state == "refused":
        not_run(request, Reason.REFUSED, judgement.message)
    if judgement.state == "failed":
        again = f"again: pytest --trtcheck --trtcheck-seed {seed} -k '{planned.name}'"
        fail(request, judgement.message, "\n".join(filter(None, (judgement.message, judgement.text, again))))


_held: list[Bench] = []
"""The bench of the case at hand: the plan goes case by case."""


def _bench(case: EngineCase, provider: EngineProvider, seed: int) -> Bench:
    """Return the bench of a case, which keeps what the checks before this one built."""
    from pytest_trtcheck._suites.engine.judge import Bench

    if not _held or (_held[0].case, _held[0].provider, _held[0].seed) != (case, provider, seed):
        _held[:] = [Bench(case, provider, seed)]
    return _held[0]
