"""What a worker does for its controller: a log of native output, stacks on request, health after each check."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.isolation.death import POISONED_STATUS
from pytest_trtcheck.isolation.exchange import mark
from pytest_trtcheck.isolation.orphan import die_with_parent
from pytest_trtcheck.isolation.watch import STACK_SIGNAL

if TYPE_CHECKING:
    from pytest_trtcheck.gpu.health import Health
    from pytest_trtcheck.isolation.exchange import Exchange

POISONED: pytest.StashKey[str] = pytest.StashKey()
"""Set on an item after which the CUDA context was lost: the name of the error."""
MEMORY_LEFT: pytest.StashKey[dict[str, int]] = pytest.StashKey()
"""Set on an item: bytes in use after it beyond those before it, by the name of the result's field."""


class ContextLostError(Exception):
    """The CUDA context did not survive the check."""


class WorkerSide:
    """Registered in xdist workers."""

    def __init__(self, exchange: Exchange, worker: str) -> None:
        self.exchange = exchange
        self.worker = worker
        self._log = _redirect_output(exchange, worker)
        faulthandler.register(STACK_SIGNAL, file=self._log, all_threads=True, chain=False)
        die_with_parent()
        self._poisoned = False
        self._before: Health | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Mark in the log where this check's native output begins; note what memory is in use."""
        os.write(self._log, mark(nodeid))
        self._before = _health()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, None, None]:
        """Look at the CUDA context after all fixtures of the check are gone."""
        try:
            yield
        finally:
            after = _health()
        if after.error:
            self._poisoned = True
            item.stash[POISONED] = after.error
            raise ContextLostError(f"{after.error}: the CUDA context is lost; the worker is replaced")
        if self._before is not None:
            item.stash[MEMORY_LEFT] = _left(self._before, after)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add native output, which pytest's capture does not see here, to reports of what failed."""
        report = yield
        if report.failed:
            text = self.exchange.tail(self.worker, item.nodeid)
            if text.strip():
                report.sections.append(("Captured native output", text))
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(self) -> Generator[None, dict[str, Any] | None, dict[str, Any] | None]:
        """Replace lone surrogates, which the way to the controller cannot carry."""
        data: dict[str, Any] | None = _sendable((yield))
        return data

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Leave when the context is lost: the reports are sent, and the next check needs a new process."""
        if self._poisoned:
            os._exit(POISONED_STATUS)


def _sendable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_sendable(key): _sendable(entry) for key, entry in value.items()}
    return type(value)(map(_sendable, value)) if isinstance(value, (list, tuple)) else value


def _health() -> Health:
    from pytest_trtcheck.gpu.health import probe_health

    return probe_health()


def _left(before: Health, after: Health) -> dict[str, int]:
    pairs = {
        "memory_left_bytes": (before.used_bytes, after.used_bytes),
        "allocator_left_bytes": (before.allocator_bytes, after.allocator_bytes),
    }
    return {name: max(0, new - old) for name, (old, new) in pairs.items() if old is not None and new is not None}


def _redirect_output(exchange: Exchange, worker: str) -> int:
    """Send descriptor 2 to the worker's log and return a descriptor of it that stays open.

    Native libraries write there, and a dying interpreter too; on the terminal such lines would tear the progress.
    Descriptor 1 stays where execnet sends it, to nowhere: the worker's own terminal reporter writes to it.
    """
    log = os.open(exchange.log(worker), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 2)
    return log
