"""Each case on each backend that takes it: one item for each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.decoding import NEEDS
from pytest_trtcheck._suites.decoding.cases import DecodingCase
from pytest_trtcheck._suites.decoding.plan import plan_of
from pytest_trtcheck._suites.probe_llm.checks import bench, run_check
from pytest_trtcheck._suites.probe_llm.planning import Planned, marks_of
from pytest_trtcheck.session import run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.bench import Bench

__all__ = ["bench", "test_case"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan pairs of case and backend, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    run.unsupported += plan.llm.unsupported
    deadline = run.settings.deadline_seconds
    metafunc.parametrize(
        ("case", "planned"),
        [
            pytest.param(
                case,
                planned,
                id=f"{planned.backend.name}-{case.name}",
                marks=marks_of(planned, case.check_id, NEEDS, deadline),
            )
            for case, planned in plan.pairs
        ],
    )


def test_case(case: DecodingCase, planned: Planned, bench: Bench, request: pytest.FixtureRequest) -> None:
    """Put a case's requests to a backend and judge every answer."""
    from pytest_trtcheck._suites.decoding.judge import run_case

    seed = run_of(request.config).draw_seed()
    run_check(request, bench, planned, lambda oracle: run_case(case, oracle, bench.generate, seed))
