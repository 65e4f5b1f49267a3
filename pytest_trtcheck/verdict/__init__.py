"""The one place where data becomes a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Finding
from pytest_trtcheck.verdict.base import Context, Unasked

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix

__all__ = ["Evaluation", "Unasked", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """All answers to one stack, in the order of the catalogue."""

    findings: tuple[Finding, ...]
    unasked: tuple[Unasked, ...]

    def by_key(self) -> dict[str, Finding | Unasked]:
        """Return the answers by their key."""
        answers: list[Finding | Unasked] = [*self.findings, *self.unasked]
        return {answer.key: answer for answer in answers}


def evaluate(stack: Stack, matrix: Matrix, catalogue: Mapping[str, Check], *, level: Level) -> Evaluation:
    """Put every question of the catalogue to the stack and return findings, and what could not be asked."""
    from pytest_trtcheck.verdict.families import FAMILIES

    context = Context(stack, matrix, catalogue, level)
    answers = [answer for family in FAMILIES for answer in family(context)]
    order = {check_id: position for position, check_id in enumerate(catalogue)}
    answers.sort(key=lambda answer: (order[answer.id], answer.subject))
    return Evaluation(
        tuple(answer for answer in answers if isinstance(answer, Finding)),
        tuple(answer for answer in answers if isinstance(answer, Unasked)),
    )
