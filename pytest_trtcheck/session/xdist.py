"""Hand the facts to pytest-xdist workers, so that they are read once and every worker plans the same checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.report.json_report import stack_from_dict, stack_to_dict

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.session.run import Run


def unpack_stack(text: str) -> Stack:
    """Return the stack that the controller read."""
    return stack_from_dict(json.loads(text))


class HandOver:
    """Registered in the controller, and only where pytest-xdist is there."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Put the facts into the worker's input."""
        node.workerinput["trtcheck_stack"] = json.dumps(stack_to_dict(self.run.stack))
