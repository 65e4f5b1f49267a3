"""One test item for each question that the matrix puts to this stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.session import not_run, run_of
from pytest_trtcheck.verdict.base import describe
from pytest_trtcheck.verdict.run import outcome_of

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask what applies to the stack at hand; ids are the keys of the findings."""
    questions = run_of(metafunc.config).stack_suite
    metafunc.parametrize(
        "question",
        [pytest.param(key, id=key, marks=pytest.mark.trtcheck_check(asked.id)) for key, asked in questions.items()],
    )


def test_question(question: str, request: pytest.FixtureRequest) -> None:
    """Answer one question; what is incompatible fails with its reason and remedy, without a traceback."""
    run: Run = run_of(request.config)
    answer = run.answer(question)
    outcome, reason = outcome_of(answer, run.settings.fail_on)
    if reason is not None:
        not_run(request, reason, describe(answer))
    if outcome is Outcome.FAILED:
        pytest.fail(describe(answer), pytrace=False)
