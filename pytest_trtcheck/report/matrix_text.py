"""The compatibility matrix as JSON, Markdown and JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.model.codec import decode, encode, show
from pytest_trtcheck.model.compatibility import COMPATIBILITY_VERSION, Column, Compatibility, Row
from pytest_trtcheck.report.junit import identifier
from pytest_trtcheck.report.markdown import VERDICT_SIGNS, code, escape, item, table_of
from pytest_trtcheck.report.matrix_words import (
    CELL_SIGNS,
    CELL_WORDS,
    ROWS,
    describe_column,
    describe_gap,
    name_of,
    summary,
    worst_first,
)
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_COLUMNS = 15
"""Columns of a Markdown table; a wider one nobody reads."""
MAX_ROWS = 60
MAX_LISTED = 40


def matrix_to_json(matrix: Compatibility) -> str:
    """Return the whole matrix as a JSON document, ``schema_version`` first."""
    document = {"schema_version": matrix.schema_version, **encode(matrix)}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def matrix_from_json(text: str) -> Compatibility:
    """Return the matrix of a document; ReportError, one line, for any other."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"compatibility matrix: expected JSON, found {show(str(error))}") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version != COMPATIBILITY_VERSION:
        raise ReportError(
            f"compatibility matrix: expected schema_version {COMPATIBILITY_VERSION}, found {show(version)}"
        )
    return decode(Compatibility, document, "compatibility matrix")


def render_matrix_markdown(matrix: Compatibility, rows: Sequence[str] = ROWS) -> str:
    """Return the matrix for a merge request or a mail: what fails or differs first, all of it within bounds."""
    blocks = [
        f"# {VERDICT_SIGNS[matrix.verdict]} trtcheck matrix: {matrix.verdict.value}",
        f"{escape(summary(matrix))}.",
        _columns(matrix.columns),
        _list("Conflicts", [_conflict(matrix, index) for index in range(len(matrix.conflicts))]),
        *(_rows(title, kind, getattr(matrix, kind), matrix) for title, kind in _TITLES if kind in rows),
        _list("Gaps", [describe_gap(gap, matrix.columns) for gap in matrix.gaps]),
        _list("Not counted", matrix.left_out),
        f"---\n\npytest-trtcheck {escape(matrix.tool_version)}",
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


_TITLES = (("Suites", "suites"), ("Providers by feature", "features"), ("Checks", "checks"))


def _conflict(matrix: Compatibility, index: int) -> str:
    conflict = matrix.conflicts[index]
    return f"{matrix.columns[conflict.column].name}: {conflict.name}: {'; '.join(conflict.told)}"


def _list(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    more = [f"… and {len(lines) - MAX_LISTED} more in `compatibility.json`."] if len(lines) > MAX_LISTED else []
    return "\n\n".join([f"## {title} ({len(lines)})", "\n".join(map(item, lines[:MAX_LISTED])), *more])


def _columns(columns: Sequence[Column]) -> str:
    cells = [
        (
            str(number),
            escape(column.name, 120),
            f"{VERDICT_SIGNS[column.verdict]} {column.verdict.value}",
            str(len(column.reports)),
            escape(describe_column(column), 400),
            escape("; ".join(column.verdict_reasons[:2]), 300),
        )
        for number, column in enumerate(columns[:MAX_LISTED], 1)
    ]
    more = [f"… and {len(columns) - MAX_LISTED} more in `compatibility.json`."] if len(columns) > MAX_LISTED else []
    header = ("", "Stack", "Verdict", "Reports", "Facts", "Why")
    return "\n\n".join(["## Stacks", table_of(header, cells), *more])


def _rows(title: str, kind: str, rows: Sequence[Row], matrix: Compatibility) -> str:
    if not rows:
        return ""
    width = min(len(matrix.columns), MAX_COLUMNS)
    chosen = worst_first(rows)
    header = ("Suite", *(("Check" if kind == "checks" else "Feature",) if kind != "suites" else ()))
    cells = [
        (
            code(row.suite, 40),
            *((code(name_of(row), 120),) if kind != "suites" else ()),
            *(_cell(row, number) for number in range(width)),
        )
        for row in chosen[:MAX_ROWS]
    ]
    parts = [f"## {title}", table_of((*header, *(str(number + 1) for number in range(width))), cells)]
    left_out = [
        *([f"{len(rows) - MAX_ROWS} rows"] if len(rows) > MAX_ROWS else []),
        *([f"{len(matrix.columns) - width} stacks"] if len(matrix.columns) > width else []),
    ]
    if left_out:
        parts.append(f"Left out here: {' and '.join(left_out)}; `compatibility.json` has them.")
    if kind == "suites":
        parts.append(
            ", ".join(f"{sign} {CELL_WORDS[state]}" for state, sign in CELL_SIGNS.items() if sign.strip()) + "."
        )
    return "\n\n".join(parts)


def _cell(row: Row, number: int) -> str:
    sign = CELL_SIGNS[row.states[number]]
    if row.name:
        return sign
    note = next((note.words for note in row.notes if note.column == number), "")
    return f"{sign} {escape(note, 80)}".strip()


def render_matrix_junit(matrix: Compatibility) -> str:
    """Return the matrix as JUnit XML: a suite for each stack, a test case for each check that it was asked.

    A conflict is a failure; a gap is a skip with its reason, so that every stack has the same cases.
    """
    lines = ['<?xml version="1.0" encoding="utf-8"?>']
    cases = [_Case.of(row) for row in matrix.checks]
    bodies = [_junit_suite(column, number, cases) for number, column in enumerate(matrix.columns)]
    totals = [sum(counts[place] for counts, _ in bodies) for place in range(4)]
    lines.append(f'<testsuites name="pytest-trtcheck matrix" {_counts(totals[:3])} time="0.000">')
    for _, body in bodies:
        lines += body
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _counts(counts: Sequence[int]) -> str:
    names = ("tests", "failures", "errors", "skipped")
    return " ".join(f'{name}="{count}"' for name, count in zip(names, counts, strict=False))


def _attribute(text: str, limit: int = 500) -> str:
    return quoteattr(one_line(text, limit))


@dataclass(frozen=True)
class _Case:
    """A row as all stacks tell it: made once, because a thousand of them do."""

    group: str
    name: str
    states: Sequence[str]
    words: Mapping[int, str]
    """By the number of the stack."""

    @classmethod
    def of(cls, row: Row) -> _Case:
        words = {note.column: note.words for note in row.notes}
        return cls(identifier(row.suite), _attribute(row.name), row.states, words)


def _junit_suite(column: Column, number: int, cases: Sequence[_Case]) -> tuple[list[int], list[str]]:
    stack = identifier(f"{number + 1} {column.name}")
    counts = [len(cases), 0, 0, 0]
    lines = list(_properties(column))
    for case in cases:
        state = case.states[number]
        head = f'  <testcase classname="trtcheck.{stack}.{case.group}" name={case.name} time="0.000"'
        if state == "passed":
            lines.append(f"{head}/>")
            continue
        words = case.words.get(number, CELL_WORDS[state])
        place, element = {"failed": (1, "failure"), "conflict": (1, "failure"), "error": (2, "error")}.get(
            state, (3, "skipped")
        )
        counts[place] += 1
        prefix = "" if state in ("failed", "error", "not_run", "") else f"{CELL_WORDS[state]}: "
        lines.append(f"{head}><{element} message={_attribute(prefix + words)}/></testcase>")
    head = f' <testsuite name={_attribute(column.name)} {_counts(counts)} time="0.000">'
    return counts, [head, *lines, " </testsuite>"]


def _properties(column: Column) -> Iterator[str]:
    pairs = [
        ("trtcheck.verdict", column.verdict.value),
        ("trtcheck.reports", str(len(column.reports))),
        *((f"trtcheck.stack.{identifier(key)}", value) for key, value in column.facts.items()),
    ]
    yield "  <properties>"
    for name, value in pairs:
        yield f"   <property name={_attribute(name)} value={_attribute(value)}/>"
    yield "  </properties>"
