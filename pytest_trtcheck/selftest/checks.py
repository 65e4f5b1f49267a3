"""The checks of the self-test: each fault between two sound ones. Imported by a test file of the run only."""

from __future__ import annotations

import time

import pytest

from pytest_trtcheck.selftest.faults import FAULTS, FIXTURE_FAULT


def _sequence() -> list[object]:
    entries: list[object] = [pytest.param(None, id="sound_0")]
    for number, fault in enumerate((fault for fault in FAULTS if not fault.missing()), 1):
        deadline = pytest.mark.trtcheck_deadline(fault.deadline_seconds)
        entries += [pytest.param(fault, id=fault.name, marks=deadline), pytest.param(None, id=f"sound_{number}")]
    return entries


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Lay out the faults that this machine can show, sound checks around each."""
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", _sequence())


def test_fault(fault: object) -> None:
    """Inject a fault, or do nothing."""
    if fault is not None:
        fault.inject()  # type: ignore[attr-defined]


@pytest.fixture
def failing() -> None:
    """Fail."""
    raise RuntimeError(FIXTURE_FAULT)


@pytest.mark.usefixtures("failing")
def test_failing_fixture() -> None:
    """Never reached."""


def test_last() -> None:
    """Do nothing, after everything."""


class Interrupted:
    """The checks of the run that is ended from outside."""

    def test_before(self) -> None:
        """Do nothing."""

    def test_running(self) -> None:
        """Be at work when the end comes."""
        time.sleep(60)

    def test_never_reached(self) -> None:
        """Do nothing."""
