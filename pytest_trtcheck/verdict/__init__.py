"""The one place where data becomes a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.verdict.base import Context, Unasked
from pytest_trtcheck.verdict.overall import overall

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix

__all__ = ["Evaluation", "Unasked", "evaluate", "overall"]


@dataclass(frozen=True)
class Evaluation:
    """All answers to one stack, in the order of the catalogue."""

    stack: Stack
    """The stack that was judged: for a described one, with what its facts imply."""
    findings: tuple[Finding, ...]
    unasked: tuple[Unasked, ...]

    def by_key(self) -> dict[str, Finding | Unasked]:
        """Return the answers by their key."""
        answers: list[Finding | Unasked] = [*self.findings, *self.unasked]
        return {answer.key: answer for answer in answers}


def evaluate(stack: Stack, matrix: Matrix, catalogue: Mapping[str, Check], *, level: Level) -> Evaluation:
    """Put every question of the catalogue to the stack and return findings, and what could not be asked."""
    from pytest_trtcheck.verdict.families import asked_of
    from pytest_trtcheck.verdict.families.known import known
    from pytest_trtcheck.verdict.imply import imply

    described = stack.kind == "described"
    context = Context(imply(stack, matrix) if described else stack, matrix, catalogue, level)
    answers = [answer for family in asked_of(context) for answer in family(context)]
    if described:
        answers += known(context, answers)
    answers = _one_each(answers)
    order = _order(catalogue)
    answers.sort(key=lambda answer: (order[answer.id], answer.subject))
    return Evaluation(
        context.stack,
        tuple(answer for answer in answers if isinstance(answer, Finding)),
        tuple(answer for answer in answers if isinstance(answer, Unasked)),
    )


def _one_each(answers: list[Finding | Unasked]) -> list[Finding | Unasked]:
    """Keep the weightiest answer where several rows answer one question: its key names one check of a run."""
    kept: dict[str, Finding | Unasked] = {}
    for answer in answers:
        before = kept.get(answer.key)
        if before is None or _weight(answer) < _weight(before):
            kept[answer.key] = answer
    return list(kept.values())


def _weight(answer: Finding | Unasked) -> int:
    if isinstance(answer, Unasked):
        return len(Verdict) + 1
    order = [Verdict.INCOMPATIBLE, Verdict.UNKNOWN, Verdict.COMPATIBLE]
    return order.index(answer.verdict) + (answer.verdict is Verdict.COMPATIBLE and answer.severity is Severity.INFO)


def _order(catalogue: Mapping[str, Check]) -> Mapping[str, int]:
    """Return the position of each check; kept for the catalogue asked for last, as one run asks for one."""
    if _ORDER.get("of") is not catalogue:
        _ORDER.update({"of": catalogue, "positions": {check_id: place for place, check_id in enumerate(catalogue)}})
    positions: Mapping[str, int] = _ORDER["positions"]
    return positions


_ORDER: dict[str, Any] = {}
