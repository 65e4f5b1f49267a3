"""Hooks that a site may implement in a conftest or a plugin of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import RunReport


@pytest.hookspec(firstresult=True)
def pytest_trtcheck_probe_stack(config: pytest.Config) -> Stack | None:
    """Return the stack to judge in place of this machine's own; the first answer that is not None is taken.

    Called once per run, in the controller. For a site that reads its facts from an inventory::

        def pytest_trtcheck_probe_stack(config):
            return stack_from_inventory(os.environ["NODE"])
    """


@pytest.hookspec
def pytest_trtcheck_report_written(config: pytest.Config, report: RunReport, files: dict[str, str]) -> None:
    """React to a finished run; ``files`` maps a format's name to the path that was written.

    Called once, in the controller, after the verdict::

        def pytest_trtcheck_report_written(config, report, files):
            upload(files["json"], labels={"verdict": report.verdict.value})
    """
