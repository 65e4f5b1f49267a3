"""What a server is asked whose answers are known without a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.sets import easy_questions

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.tasks import Question

TASKS = ("copy", "reverse", "sort", "count")
EACH = 2
SEED = 1
"""Fixed: of any questions the probe model gets up to one in a hundred wrong; of these none, in any dtype (a test)."""


def asked_questions() -> list[Question]:
    """Return the questions; the first one is to copy a text."""
    return [question for task in TASKS for question in easy_questions(task, EACH, SEED)]
