"""Running of items: import health started side by side, outcomes noted on the reports that workers send."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.isolation.worker import MEMORY_LEFT, POISONED
from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.session.outcome import MESSAGE, NOT_RUN_REASON

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run


class Execution:
    """Active in every process that runs items."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._sent: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start all imports that selected items will ask for; under xdist items ask one by one."""
        config = session.config
        if config.option.collectonly or hasattr(config, "workerinput") or config.pluginmanager.hasplugin("dsession"):
            return
        components = self.run.components_of(item.nodeid for item in session.items)
        if components:
            self.run.start_imports(components)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """In a worker, tell the controller what each check needs, before it learns which checks there are."""
        if self.run.exchange is not None:
            worker = session.config.workerinput["workerid"]  # type: ignore[attr-defined]
            self.run.exchange.put(f"plan-{worker}", {item.nodeid: self._needs(item) for item in session.items})

    def _needs(self, item: pytest.Item) -> dict[str, Any]:
        gpus, deadline = item.get_closest_marker("trtcheck_gpus"), item.get_closest_marker("trtcheck_deadline")
        return {
            "gpus": int(gpus.args[0]) if gpus else 1,
            "deadline": float(deadline.args[0]) if deadline else self.run.settings.deadline_seconds,
        }

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
        if report.failed and MESSAGE in item.stash:
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
