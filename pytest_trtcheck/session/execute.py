"""Running of items: import health started side by side, outcomes noted on the reports that workers send."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.isolation.worker import MEMORY_LEFT, POISONED
from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session.outcome import COMPARISON, MEASURED, MESSAGE, NOT_RUN_REASON, leave_out

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run


MARKS_WITH_A_NUMBER = ("trtcheck_deadline", "trtcheck_gpus")


def marker_number(item: pytest.Item, name: str) -> float | None:
    """Return the number of a mark; None without the mark, or when it does not hold one number above 0."""
    marker = item.get_closest_marker(name)
    if marker is None or len(marker.args) != 1 or marker.kwargs:
        return None
    value = marker.args[0]
    return float(value) if isinstance(value, (int, float)) and 0 < value < float("inf") else None


class Execution:
    """Active in every process that runs items."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._sent: set[str] = set()
        self._deselected: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start all imports that selected items will ask for; under xdist items ask one by one."""
        config = session.config
        if config.option.collectonly or hasattr(config, "workerinput") or config.pluginmanager.hasplugin("dsession"):
            return
        components = self.run.components_of(item.nodeid for item in session.items)
        if components:
            self.run.start_imports(components)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """In a worker, remember what the selection left out."""
        self._deselected += [item.nodeid for item in items]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In a worker, tell the controller what each check needs, before it learns which checks there are."""
        if self.run.exchange is not None:
            worker = session.config.workerinput["workerid"]  # type: ignore[attr-defined]
            checks = {item.nodeid: self._needs(item) for item in session.items}
            self.run.exchange.put(f"plan-{worker}", {"checks": checks, "deselected": self._deselected})

    def _needs(self, item: pytest.Item) -> dict[str, Any]:
        deadline = marker_number(item, "trtcheck_deadline")
        group = item.get_closest_marker("trtcheck_group")
        return {
            "gpus": int(marker_number(item, "trtcheck_gpus") or 1),
            "group": str(group.args[0]) if group else "",
            "deadline": deadline or self.run.settings.deadline_seconds,
        }

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Refuse marks that say nothing, and do not run a check that needs more GPUs than there are."""
        for name in MARKS_WITH_A_NUMBER:
            if item.get_closest_marker(name) and marker_number(item, name) is None:
                pytest.fail(f"mark {name} of {item.nodeid}: expected one number above 0", pytrace=False)
        needed = int(marker_number(item, "trtcheck_gpus") or 0)
        if needed > self.run.gpu_count:
            leave_out(item, Reason.NO_GPU, f"needs {needed} GPUs, {self.run.gpu_count} here")
        self._skip_what_the_level_leaves_out(item)
        self._skip_what_does_not_import(item)

    def _skip_what_the_level_leaves_out(self, item: pytest.Item) -> None:
        marker = item.get_closest_marker("trtcheck_level")
        if marker is not None and self.run.settings.level.rank < Level(marker.args[0]).rank:
            leave_out(item, Reason.LEVEL, f"runs from level {marker.args[0]} on")

    def _skip_what_does_not_import(self, item: pytest.Item) -> None:
        """Do not run a check on a library that does not even import: the stack suite says why, once."""
        planned = self.run.planned.get(item.nodeid)
        for component in planned.needs if planned else ():
            outcome = self.run.import_outcome(component)
            if outcome.status is not ImportStatus.OK:
                words = f"{title_of(component)} does not import ({outcome.status.value}); see TRC-IMP-001-{component}"
                leave_out(item, Reason.MISSING_COMPONENT, words)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add to the report what the controller needs: the reason of a check that did not run, and new facts."""
        report = yield
        new = sorted(self.run.imports.keys() - self._sent)
        self._sent.update(new)
        reason = item.stash.get(NOT_RUN_REASON, None)
        note: dict[str, Any] = {
            "reason": reason.value if reason else None,
            "imports": {key: encode(self.run.imports[key]) for key in new},
            "memory": item.stash.get(MEMORY_LEFT, {}),
        }
        if COMPARISON in item.stash:
            note["comparison"] = encode(item.stash[COMPARISON])
        if MEASURED in item.stash:
            note["measurements"] = [encode(figure) for figure in item.stash[MEASURED]]
        if (report.failed or report.when == "call") and MESSAGE in item.stash:
            note["message"] = item.stash[MESSAGE]
        poisoned = item.stash.get(POISONED, None)
        if poisoned:
            note |= {"outcome": "failed", "message": f"{poisoned}: the CUDA context did not survive this check"}
        # A plain string survives the way from an xdist worker to the controller.
        report.trtcheck = json.dumps(note)  # type: ignore[attr-defined]
        return report

    def pytest_unconfigure(self) -> None:
        """Leave no child process behind."""
        self.run.close()
