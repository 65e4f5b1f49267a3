"""How well the verdict engine judges real stacks: ``python -m bench.score [--matrix DIR] [FILE…]``.

Prints, by category and in all, the recall of incompatible with the right component at fault, false alarms on healthy
stacks, and correct unknowns, then every miss with what was said instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate, overall

DATA = Path(__file__).parent.parent / "tests" / "data"
FILES = (DATA / "environments.yaml", DATA / "more_environments.yaml")


@dataclass(frozen=True)
class Judged:
    """One case and what the engine said of it."""

    case: dict[str, Any]
    verdict: Verdict
    findings: tuple[Finding, ...]

    @property
    def expected(self) -> str:
        """The verdict that the thread gives."""
        return str(self.case["expected_verdict"])

    @property
    def accepted(self) -> set[str]:
        """The verdicts that count as right."""
        return {self.expected, *self.case.get("also_acceptable", ())}

    @property
    def faults(self) -> tuple[str, ...]:
        """Components at fault, in the order of the findings."""
        named = (
            name for finding in self.findings if finding.verdict is Verdict.INCOMPATIBLE for name in finding.components
        )
        return tuple(dict.fromkeys(named))

    @property
    def is_named(self) -> bool:
        """Whether a component at fault is one that the thread names."""
        return bool(set(self.faults) & set(self.case["faulty_components"]))

    @property
    def is_right(self) -> bool:
        """Whether the verdict is accepted, and a fault is the right one."""
        if self.verdict.value not in self.accepted:
            return False
        return self.verdict is not Verdict.INCOMPATIBLE or self.is_named


def judge(cases: list[dict[str, Any]]) -> Iterator[Judged]:
    """Yield each case judged with the bundled matrix."""
    matrix, catalogue = load_matrix(), load_catalogue()
    for case in cases:
        stack = describe(case["environment"], case["id"], case["id"])
        findings = evaluate(stack, matrix, catalogue, level=Level.STATIC).findings
        yield Judged(case, overall(findings), findings)


def load_cases(path: Path) -> list[dict[str, Any]]:
    """Return the cases of a file."""
    cases: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["cases"]
    return cases


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / whole:.0f} %)" if whole else "-"


def figures(judged: list[Judged]) -> tuple[str, str, str, str]:
    """Return recall of incompatible, false alarms on healthy, correct unknowns and all that is right."""
    broken = [one for one in judged if one.expected == "incompatible"]
    found = [one for one in broken if one.verdict is Verdict.INCOMPATIBLE and one.is_named]
    healthy = [one for one in judged if one.case["category"] == "healthy"]
    alarms = [one for one in healthy if one.verdict is Verdict.INCOMPATIBLE]
    open_ = [one for one in judged if one.expected == "unknown"]
    told = [one for one in open_ if one.is_right]
    right = [one for one in judged if one.is_right]
    return (
        _share(len(found), len(broken)),
        _share(len(alarms), len(healthy)),
        _share(len(told), len(open_)),
        _share(len(right), len(judged)),
    )


def report(path: Path) -> bool:
    """Print the figures of a file; return whether every case is right."""
    judged = list(judge(load_cases(path)))
    print(f"{path.name}: {len(judged)} cases")
    print(f"  {'category':26}{'incompatible found':20}{'false alarms':16}{'unknown told':16}right")
    for category in sorted({one.case["category"] for one in judged}):
        mine = [one for one in judged if one.case["category"] == category]
        recall, alarms, unknown, right = figures(mine)
        print(f"  {category:26}{recall:20}{alarms:16}{unknown:16}{right}")
    recall, alarms, unknown, right = figures(judged)
    print(f"  {'all':26}{recall:20}{alarms:16}{unknown:16}{right}")
    misses = [one for one in judged if not one.is_right or (one.expected == "incompatible" and not one.faults)]
    for one in misses:
        print(f"  {'miss' if not one.is_right else 'milder'} {one.case['id']}: expected {one.expected} of "
              f"{', '.join(one.case['faulty_components']) or 'nothing'}, said {one.verdict.value} of "
              f"{', '.join(one.faults) or 'nothing'}")  # fmt: skip
        for finding in one.findings:
            if finding.verdict is not Verdict.COMPATIBLE:
                print(f"      {finding.key} {finding.verdict.value}/{finding.severity.value}: {finding.expected}; "
                      f"found {finding.found}")  # fmt: skip
    return not misses


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.score", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, default=[path for path in FILES if path.exists()])
    options = parser.parse_args(arguments)
    results = [report(path) for path in options.files]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
