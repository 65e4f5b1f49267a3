"""One item for each check on a server that is started here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.serving.bench import NO_TORCH
from pytest_trtcheck._suites.serving.checking import Check, NotRun
from pytest_trtcheck._suites.serving.checks import owned_checks
from pytest_trtcheck._suites.serving.execution import execute
from pytest_trtcheck._suites.serving.installation import UnusableError
from pytest_trtcheck._suites.serving.telling import tell
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session import not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.bench import Bench
    from pytest_trtcheck.session.run import Run

GROUP = "serving"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan the checks where there is a server that we may start."""
    run = run_of(metafunc.config)
    ours = run.stack.get("triton_server").is_found and run.settings.triton_url is None
    checks = owned_checks() if ours else ()
    if checks:
        run.draw_seed()
    metafunc.parametrize("check", [pytest.param(check, id=check.name, marks=_marks(check, run)) for check in checks])


def _marks(check: Check, run: Run) -> list[pytest.MarkDecorator]:
    needs_torch = check.llm and run.stack.get("torch").is_found
    return [
        pytest.mark.trtcheck_check(check.check_id),
        pytest.mark.trtcheck_group(GROUP),
        pytest.mark.trtcheck_level(check.level),
        pytest.mark.trtcheck_deadline(max(check.seconds, run.settings.deadline_seconds)),
        *([pytest.mark.trtcheck_needs("torch")] if needs_torch else []),
    ]


def test_check(check: Check, trtcheck_serving_bench: Bench, request: pytest.FixtureRequest) -> None:
    """Run one check; what is wrong with the server fails it in one line, with the server's last words if it died."""
    bench = trtcheck_serving_bench
    if check.llm and not bench.has_torch:
        not_run(request, Reason.MISSING_COMPONENT, NO_TORCH)
    try:
        ran = execute(check, bench)
    except NotRun as reason:
        not_run(request, reason.reason, str(reason))
    except UnusableError as error:
        not_run(request, Reason.MISSING_COMPONENT, str(error))
    tell(request, check, ran, "tritonserver")
