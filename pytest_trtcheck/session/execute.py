"""Running of items: import health started side by side, outcomes noted on the reports that workers send."""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.session.outcome import NOT_RUN_REASON

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
        keys = {key for item in session.items if (key := self.run.question_of(item))}
        components = {getattr(self.run.stack_suite[key], "needs_import", "") for key in keys} - {""}
        if components:
            self.run.start_imports(sorted(components))

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
        }
        # A plain string survives the way from an xdist worker to the controller.
        report.trtcheck = json.dumps(note)  # type: ignore[attr-defined]
        return report

    def pytest_unconfigure(self) -> None:
        """Leave no child process behind."""
        self.run.close()
