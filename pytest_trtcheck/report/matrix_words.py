"""How a compatibility matrix is arranged for people: the same words and order in every format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.compatibility import Column, Compatibility, Gap, Row

CELL_SIGNS = {
    "passed": "✅", "failed": "❌", "error": "💥", "waived": "⚠️", "conflict": "≠", "not_run": "·", "": "□",
}  # fmt: skip
CELL_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "error": "broke off",
    "waived": "waived",
    "conflict": "reports disagree",
    "not_run": "not run",
    "": "gap: no report knows it",
}

ROWS = ("suites", "features", "checks")
"""What rows can be, in the order of the document."""


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Return rows that fail or differ somewhere before those that are the same everywhere, else in their order."""
    return sorted(rows, key=lambda row: len(set(row.states)) == 1 and row.states[0] in ("passed", "not_run"))


def name_of(row: Row) -> str:
    """Return what a row is called."""
    return ", ".join(filter(None, (row.provider, row.name))) or row.suite


def describe_column(column: Column) -> str:
    """Return the facts of a stack on one line."""
    return ", ".join(f"{title_of(key)} {value}" for key, value in column.facts.items())


def describe_gap(gap: Gap, columns: Sequence[Column]) -> str:
    """Return what has no answer on a stack, and why, on one line."""
    shown = ", ".join(gap.checks[:5]) + (f" and {len(gap.checks) - 5} more" if len(gap.checks) > 5 else "")
    return f"{columns[gap.column].name}: {len(gap.checks)} {gap.reason}: {shown}"


def summary(matrix: Compatibility) -> str:
    """Return how much was merged in one sentence."""
    reports = sum(len(column.reports) for column in matrix.columns)
    gaps = sum(len(gap.checks) for gap in matrix.gaps)
    counts = (len(matrix.checks), "checks"), (len(matrix.conflicts), "conflicts"), (gaps, "gaps")
    told = ", ".join(counted(number, plural) for number, plural in counts)
    return f"{counted(reports, 'reports')} of {counted(len(matrix.columns), 'stacks')}, {told}"
