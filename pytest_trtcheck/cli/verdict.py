"""``verdict FILE…``: judge stacks that are only written down."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.cli.options import STDIN, add_format, add_from, add_matrix, matrix_of, text_of
from pytest_trtcheck.errors import TrtcheckError

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.model.facts import Fact, Stack
    from pytest_trtcheck.model.finding import Finding, Verdict

COMPATIBLE, INCOMPATIBLE, UNREADABLE, UNKNOWN = 0, 1, 4, 10
"""Exit statuses; one incompatible stack counts more than an unknown one, unreadable input more than both."""


@dataclass(frozen=True)
class Judgement:
    """One stack and what was found about it."""

    stack: Stack
    verdict: Verdict
    findings: tuple[Finding, ...]
    implied: tuple[Fact, ...]
    """Facts that nobody gave and that findings rest on; each tells the row it follows from."""


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser(
        "verdict",
        help="Judge stacks that are only written down",
        description="Judge described stacks. Exit status: 0 all compatible, 1 any incompatible, 10 otherwise, "
        "4 when any input cannot be read; what can be read is judged and printed all the same.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"YAML, JSON or pasted text; {STDIN} reads stdin")
    add_format(parser)
    add_from(parser)
    add_matrix(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Judge every stack of every file, print each as it is judged, and return the exit status."""
    judge = _Judge(options)
    printed = _print_json(judge) if options.format == "json" else _print_text(judge)
    if judge.unreadable or not printed:
        return UNREADABLE
    verdicts = judge.verdicts
    if "incompatible" in verdicts:
        return INCOMPATIBLE
    return COMPATIBLE if verdicts == {"compatible"} else UNKNOWN


class _Judge:
    """Iterates over the stacks of all files, each with its verdict; what cannot be read is told on stderr."""

    def __init__(self, options: argparse.Namespace) -> None:
        from pytest_trtcheck.rules.catalogue import load_catalogue

        self.options = options
        self.matrix = matrix_of(options)
        self.catalogue = load_catalogue()
        self.unreadable = False
        self.verdicts: set[str] = set()

    def __iter__(self) -> Iterator[Judgement]:
        from pytest_trtcheck.model.level import Level
        from pytest_trtcheck.verdict import evaluate, overall

        for given in self._stacks():
            evaluation = evaluate(given, self.matrix, self.catalogue, level=Level.STATIC)
            stack, findings = evaluation.stack, evaluation.findings
            verdict = overall(findings)
            self.verdicts.add(verdict.value)
            used = dict.fromkeys(key for finding in findings for key in finding.facts)
            implied = tuple(stack.facts[key] for key in used if key in stack.facts and key not in given.facts)
            yield Judgement(stack, verdict, findings, implied)

    def _stacks(self) -> Iterator[Stack]:
        from pytest_trtcheck.described.read import read_stacks

        for file in self.options.files:
            try:
                text, name = text_of(file)
            except TrtcheckError as error:
                self._tell(error)
                continue
            for stack in read_stacks(text, name, self.options.form):
                if isinstance(stack, TrtcheckError):
                    self._tell(stack)
                else:
                    yield stack

    def _tell(self, error: TrtcheckError) -> None:
        self.unreadable = True
        print(f"pytest-trtcheck: {error}", file=sys.stderr)


def as_json(judgement: Judgement) -> dict[str, Any]:
    """Return one judged stack as a JSON value."""
    return {
        "stack": judgement.stack.name,
        "verdict": judgement.verdict.value,
        "findings": [_finding(finding) for finding in judgement.findings],
        "implied": {fact.key: {"value": fact.value, "from": fact.where} for fact in judgement.implied},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    """Return what the codec would, ten times as fast: with thousands of stacks it would take longer than judging."""
    values = dict(vars(finding))
    values["verdict"], values["severity"] = finding.verdict.value, finding.severity.value
    values["source"] = vars(finding.source)
    return values


def _print_json(judge: _Judge) -> int:
    """Print one list, an object for each stack as it is judged, so that many stacks need little memory."""
    count = 0
    for count, judgement in enumerate(judge, start=1):
        print("[" if count == 1 else ",")
        print(json.dumps(as_json(judgement)), end="")
    print("\n]" if count else "[]")
    return count


def _print_text(judge: _Judge) -> int:
    count = 0
    for judgement in judge:
        count += 1
        print("\n".join(_lines(judgement)))
    if count > 1:
        print(f"{count} stacks judged with the matrix of {judge.matrix.identity.date}")
    return count


def _lines(judgement: Judgement) -> Iterator[str]:
    from pytest_trtcheck.model.components import title_of
    from pytest_trtcheck.verdict.base import describe

    yield f"{judgement.stack.name}: {judgement.verdict.value}"
    if judgement.implied:
        implied = (f"{title_of(fact.key)} {fact.value} ({fact.where})" for fact in judgement.implied)
        yield f"  implied: {', '.join(implied)}"
    telling = [finding for finding in judgement.findings if _is_telling(finding)]
    yield from (f"  {finding.id} {describe(finding)}" for finding in telling)
    rest = len(judgement.findings) - len(telling)
    if rest:
        yield f"  {rest} {'question' if rest == 1 else 'questions'} answered: compatible"
    if not judgement.findings:
        yield "  no question of the catalogue applies to what is described"


def _is_telling(finding: Finding) -> bool:
    from pytest_trtcheck.model.finding import Severity, Verdict

    return finding.verdict is not Verdict.COMPATIBLE or finding.severity is not Severity.INFO
