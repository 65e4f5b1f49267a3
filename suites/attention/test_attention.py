"""Each case on each provider that takes it: one item for each pair, judged against a reference in fp64."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.attention import NEEDS
from pytest_trtcheck._suites.attention.plan import (
    BROKEN_HOOK_CHECK,
    CHECK_OF_PHASE,
    expectation_of,
    features_of,
    plan_of,
)
from pytest_trtcheck._suites.support.hooks import plans_hooks, test_hook
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.providers import component_of
from pytest_trtcheck.session import compared, fail, not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.attention.workbench import Workbench
    from pytest_trtcheck.providers import AttentionCase, AttentionProvider
    from pytest_trtcheck.session.run import Run

__all__ = ["test_case", "test_hook"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan pairs of case and provider, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    if plans_hooks(metafunc, plan.broken, BROKEN_HOOK_CHECK):
        return
    run.unsupported += plan.unsupported
    run.left_out += plan.left_out
    if plan.pairs:
        run.draw_seed()
    metafunc.parametrize(
        ("case", "provider", "too_slow"),
        [
            pytest.param(
                case,
                provider,
                plan.beyond.get((provider.name, case.name), ""),
                id=f"{provider.name}-{case.name}",
                marks=_marks(case, provider),
            )
            for case, provider in plan.pairs
        ],
    )


def _marks(case: AttentionCase, provider: AttentionProvider) -> list[pytest.MarkDecorator]:
    component = component_of(provider)
    return [
        pytest.mark.trtcheck_check(CHECK_OF_PHASE[case.phase]),
        pytest.mark.trtcheck_provider(provider.name, *features_of(case)),
        pytest.mark.trtcheck_needs(*dict.fromkeys((*NEEDS, *([component] if component else [])))),
        pytest.mark.trtcheck_group(case.name),
    ]


def test_case(case: AttentionCase, provider: AttentionProvider, too_slow: str, request: pytest.FixtureRequest) -> None:
    """Run one case on one provider and hold the answer against the reference."""
    if too_slow:
        not_run(request, Reason.LEVEL, too_slow)
    run = run_of(request.config)
    bench = _workbench(request, run, case)
    judgement = bench.judge(provider)
    if judgement.comparison is not None:
        compared(request, judgement.comparison)
    if judgement.state == "refused":
        expectation = expectation_of(run, case, provider)
        if expectation.verdict == "works":
            words = f"refused ({judgement.message}), and should work: {expectation.words} ({expectation.source})"
            fail(request, words, words)
        not_run(request, Reason.REFUSED, judgement.message)
    if judgement.state == "failed":
        again = f"again: pytest --trtcheck --trtcheck-seed {run.draw_seed()} -k '{provider.name} and {case.name}'"
        fail(request, judgement.message, "\n".join(filter(None, (judgement.message, judgement.text, again))))


@cache
def _bench() -> Workbench:
    from pytest_trtcheck._suites.attention.workbench import Workbench

    return Workbench()


def _workbench(request: pytest.FixtureRequest, run: Run, case: AttentionCase) -> Workbench:
    """Return the workbench with the reference of a case, where the device can be had and holds it."""
    import torch

    device = run.where.device
    if device == "cuda" and not torch.cuda.is_available():
        not_run(request, Reason.NO_GPU, "torch sees no GPU, though the driver names one")
    bench = _bench()
    try:
        bench.lay_out(case, run.draw_seed(), device)
    except torch.OutOfMemoryError as error:
        not_run(request, Reason.TOO_LITTLE_MEMORY, str(error).splitlines()[0])
    return bench
