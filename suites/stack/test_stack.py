"""One test item for each question that the matrix puts to this stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.session import fail, not_run, run_of
from pytest_trtcheck.verdict.base import describe
from pytest_trtcheck.verdict.run import outcome_of

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask what applies to the stack at hand; ids are the keys of the findings."""
    run = run_of(metafunc.config)
    imports = {asked.needs_import for asked in run.questions.values()} - {""}
    # Imports share the cores: the last one waits for all others.
    seconds = run.settings.deadline_seconds + len(imports) * run.settings.level.import_deadline_seconds
    deadline = pytest.mark.trtcheck_deadline(seconds)
    metafunc.parametrize(
        "question",
        [
            pytest.param(key, id=key, marks=[pytest.mark.trtcheck_check(asked.check_id), deadline])
            for key, asked in run.questions.items()
        ],
    )


def test_question(question: str, request: pytest.FixtureRequest) -> None:
    """Answer one question; what is incompatible fails with its reason and remedy, without a traceback."""
    run: Run = run_of(request.config)
    answer = run.answer(question)
    outcome, reason = outcome_of(answer, run.settings.fail_on)
    if reason is not None:
        not_run(request, reason, describe(answer))
    if outcome is Outcome.FAILED:
        fail(request, describe(answer), describe(answer, "\n  "))
