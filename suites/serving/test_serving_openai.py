"""One item for each check on the server of the OpenAI protocol that the user named."""

from __future__ import annotations

import pytest

from pytest_trtcheck._suites.serving.checking import Check, NotRun
from pytest_trtcheck._suites.serving.execution import execute_once
from pytest_trtcheck._suites.serving.openai.checks import CHECKS
from pytest_trtcheck._suites.serving.openai.client import Client
from pytest_trtcheck._suites.serving.telling import tell
from pytest_trtcheck.session import not_run, run_of

GROUP = "serving-openai"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan the checks where there is an address."""
    planned = CHECKS if run_of(metafunc.config).settings.openai_url else ()
    metafunc.parametrize("check", [pytest.param(check, id=check.name, marks=_marks(check)) for check in planned])


def _marks(check: Check) -> list[pytest.MarkDecorator]:
    return [pytest.mark.trtcheck_check(check.check_id), pytest.mark.trtcheck_group(GROUP)]


@pytest.fixture(scope="session")
def trtcheck_openai_client(pytestconfig: pytest.Config) -> Client:
    """Return the client that all checks share."""
    settings = run_of(pytestconfig).settings
    assert settings.openai_url is not None, "planned only where an address was given"
    return Client(settings.openai_url.below_v1(), settings.openai_model)


def test_check(check: Check, trtcheck_openai_client: Client, request: pytest.FixtureRequest) -> None:
    """Run one check; what is wrong with the server fails it in one line."""
    try:
        ran = execute_once(check, trtcheck_openai_client)
    except NotRun as reason:
        not_run(request, reason.reason, str(reason))
    tell(request, check, ran, "servers of this protocol")
