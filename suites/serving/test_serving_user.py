"""Checks on what is the user's: a running server, and a model repository."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.serving import running
from pytest_trtcheck._suites.serving.bench import NO_GRPC
from pytest_trtcheck._suites.serving.checking import FAULTS
from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session import fail, measured, not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.user_repository import UserModel
    from pytest_trtcheck.session.run import Run

GROUP = "serving-user"
_WHOLE = "repository"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan a check for each thing to ask of the server, and for each model of the repository."""
    settings = run_of(metafunc.config).settings
    if "about" in metafunc.fixturenames:
        marks = [pytest.mark.trtcheck_check("TRC-SRV-019"), pytest.mark.trtcheck_group(GROUP)]
        names = list(running.CHECKS) if settings.triton_url else []
        metafunc.parametrize("about", [pytest.param(name, id=f"running-{name}", marks=marks) for name in names])
    else:
        marks = [pytest.mark.trtcheck_check("TRC-SRV-020"), pytest.mark.trtcheck_group(GROUP)]
        repository = settings.model_repository
        names = [_WHOLE, *(f"model-{name}" for name in _names(repository))] if repository else []
        metafunc.parametrize("part", [pytest.param(name, id=name, marks=marks) for name in names])


def _names(repository: Path) -> list[str]:
    """Return the folders of a repository, as far as it can be read; the check of the whole says why it cannot."""
    try:
        return sorted(entry.name for entry in repository.iterdir() if entry.is_dir() and entry.name[0] != ".")[:1000]
    except OSError:
        return []


def test_running(about: str, request: pytest.FixtureRequest) -> None:
    """Ask one thing of a server that is not ours."""
    address = run_of(request.config).settings.triton_url
    assert address is not None
    try:
        for measurement in running.CHECKS[about](Endpoint(address.host, address.port, None, None)):
            measured(request, measurement)
    except FAULTS as error:
        fail(request, str(error), str(error))


def test_repository(part: str, request: pytest.FixtureRequest) -> None:
    """Hold one model of the user's repository against the server's definitions, its backend and its neighbours."""
    run = run_of(request.config)
    repository = run.settings.model_repository
    assert repository is not None
    try:
        from pytest_trtcheck._suites.serving import user_repository
    except ImportError as error:
        not_run(request, Reason.MISSING_COMPONENT, f"{NO_GRPC} ({error}): it carries the server's definitions")
    found: list[str] = []
    try:
        if part == _WHOLE:
            if not user_repository.model_folders(repository):
                found = [f"{repository}: no folder in it; expected one for each model"]
        else:
            folder = repository / part.removeprefix("model-")
            model = user_repository.read_model(folder)
            found = [f"{model.file}: {words}" for words in _faults(run, model, repository)]
    except user_repository.ConfigError as error:
        found = [str(error)]
    if found:
        fail(request, found[0] if len(found) == 1 else f"{found[0]} (and {len(found) - 1} more)", "\n".join(found))


def _faults(run: Run, model: UserModel, repository: Path) -> list[str]:
    from pytest_trtcheck._suites.serving.user_repository import faults

    server = run.stack.get("triton_server")
    backends = frozenset(server.details.get("backends", ())) if server.is_found else None
    return list(faults(model, _models(repository), run.gpu_count, backends))


@cache
def _models(repository: Path) -> dict[str, UserModel]:
    """Return the models that can be read; those that cannot have a check that says so."""
    from pytest_trtcheck._suites.serving.user_repository import ConfigError, model_folders, read_model

    found = {}
    for folder in model_folders(repository):
        try:
            found[folder.name] = read_model(folder)
        except ConfigError:  # noqa: PERF203 - told by the model's own check
            continue
    return found
