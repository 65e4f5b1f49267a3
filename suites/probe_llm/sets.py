"""The sets of questions on which the probe model's accuracy is known."""

from __future__ import annotations

from pytest_trtcheck._suites.probe_llm.tasks import Question, questions

EASY = {
    "copy": ("copy", 24),
    "copy_far": ("copy", 950),
    "reverse": ("reverse", 24),
    "lookup": ("lookup", 8),
    "lookup_far": ("lookup", 300),
    "sort": ("sort", 12),
    "count": ("count", 16),
    "add": ("add", 8),
    "brackets": ("brackets", 16),
    "majority": ("majority", 21),
    "draw": ("draw", 24),
}
"""Task and size of each easy set; greedy accuracy in bf16 is 99 % or more. The far ones fill most of the context."""

HARD = (("close_draw", 32), ("close_draw", 40))
"""Half of the hard set each. The two most frequent letters differ by one in 32 or 40, so the two likeliest tokens are
near a tie at all eight places of the answer: noise in weights or arithmetic changes what is right."""


def easy_questions(name: str, count: int, seed: int) -> list[Question]:
    """Return the ``count`` questions of an easy set that this seed names."""
    task, size = EASY[name]
    return questions(task, size, count, seed)


def hard_questions(count: int, seed: int) -> list[Question]:
    """Return the ``count`` questions of the hard set that this seed names, the kinds in turn."""
    each = -(-count // len(HARD))
    kinds = [questions(task, size, each, seed) for task, size in HARD]
    return [question for turn in zip(*kinds, strict=True) for question in turn][:count]
