"""A pytester that runs ``pytest --trtcheck`` on a stack made by hand, in a child process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.facts import Stack

CONFTEST = """
import json
from pathlib import Path
from pytest_trtcheck.model.codec import decode
from pytest_trtcheck.model.facts import Stack

def pytest_trtcheck_probe_stack(config):
    return decode(Stack, json.loads(Path({path!r}).read_text()))
"""


class Trtcheck:
    """Runs the plugin in a folder of its own."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.report_folder = pytester.path / "trtcheck-report"

    def judge(self, stack: Stack) -> None:
        """Let the next runs judge this stack."""
        path = self.pytester.path / "stack.json"
        path.write_text(json.dumps(encode(stack)))
        self.pytester.makeconftest(CONFTEST.format(path=str(path)))

    def run(self, *args: str) -> pytest.RunResult:
        """Run ``pytest --trtcheck``."""
        return self.pytester.runpytest_subprocess("--trtcheck", *args)

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report of the last run."""
        data: dict[str, Any] = json.loads((self.report_folder / "report.json").read_text())
        return data

    def results(self) -> dict[str, tuple[str, str | None]]:
        """Outcome and reason of each check of the last run, by name."""
        return {result["name"]: (result["outcome"], result["reason"]) for result in self.report["results"]}


@pytest.fixture
def trtcheck(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Trtcheck:
    # Where the tests run in CI, runs under test must not tell its environment of themselves.
    for name in ("PYTEST_ADDOPTS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return Trtcheck(pytester)


@pytest.fixture
def fake_module(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a module on the path of the child processes that import health starts."""

    def make(name: str, source: str) -> Path:
        folder = pytester.path / "modules"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        return path

    return make
