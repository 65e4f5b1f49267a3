"""What became of a check, told to the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.session import fail, measured, noted, run_of
from pytest_trtcheck.verdict.run import FailOn

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck._suites.serving.checking import Check
    from pytest_trtcheck._suites.serving.execution import Ran


def tell(request: pytest.FixtureRequest, check: Check, ran: Ran, server: str) -> None:
    """Record figures and notes of a check, and fail it in one line where something is wrong.

    Known behaviours of the ``server`` are wrong where warnings are.
    """
    measured(request, *ran.figures)
    if ran.known:
        ran.notes.append(f"known of {server}: " + "; ".join(ran.known))
        if not ran.wrong and run_of(request.config).settings.fail_on is not FailOn.ERROR:
            ran.wrong = ran.notes[-1]
    if ran.wrong:
        fail(request, ran.wrong, f"{check.about}\n{ran.wrong}")
    if ran.notes:
        noted(request, "; ".join(ran.notes))
