"""The compatibility matrix as one HTML page: stacks across, suites, features and checks down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.page import document
from pytest_trtcheck.report.html.parts import SIGNS, TONES, bullets, details, scrolling, section, state, table
from pytest_trtcheck.report.matrix_words import (
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
    from collections.abc import Sequence

    from pytest_trtcheck.model.compatibility import Compatibility, Row

MAX_COLUMNS = 80
MAX_CELLS = 40_000
"""Of one table: a page of more opens slowly, and nobody reads it."""

_NAMES = {
    "verdict": "Verdict",
    "stacks": "Stacks",
    "conflicts": "Conflicts",
    "suites": "Suites",
    "features": "Features",
    "checks": "Checks",
    "gaps": "Gaps",
    "leftout": "Not counted",
}
_TITLES = {"suites": "Suites", "features": "Providers by feature", "checks": "Checks"}


def render_matrix_html(matrix: Compatibility, rows: Sequence[str] = ROWS) -> str:
    """Return the matrix as one HTML document that needs no other file and no network."""
    conflicts = [
        f"{matrix.columns[conflict.column].name}: {conflict.name}: {'; '.join(conflict.told)}"
        for conflict in matrix.conflicts
    ]
    gaps = [describe_gap(gap, matrix.columns) for gap in matrix.gaps]
    sections = {
        "verdict": _verdict(matrix),
        "stacks": _stacks(matrix),
        "conflicts": _listed("conflicts", "Conflicts", conflicts, note="reports of one stack that disagree"),
        **{kind: _grid(matrix, kind, getattr(matrix, kind)) for kind in ROWS if kind in rows},
        "gaps": _listed("gaps", "Gaps", gaps, note="ran on another stack, no answer here"),
        "leftout": _listed("leftout", "Not counted", matrix.left_out),
    }
    return document(f"trtcheck matrix: {matrix.verdict.value}", sections, _NAMES)


def _listed(identity: str, title: str, lines: Sequence[str], note: str = "") -> Html:
    return section(identity, f"{title} ({len(lines):,})", bullets(lines), note=note) if lines else Html("")


def _verdict(matrix: Compatibility) -> Html:
    word = matrix.verdict.value
    counts = [(verdict, sum(column.verdict.value == verdict for column in matrix.columns)) for verdict in _VERDICTS]
    tiles = [
        element("li", element("b", f"{count:,}"), f" {verdict}", class_=TONES[verdict] if count else "none")
        for verdict, count in counts
    ]
    sign = element("span", SIGNS[word], class_="sign", aria_hidden="true")
    return element(
        "section",
        element("h1", "trtcheck", element("small", "compatibility matrix")),
        element("p", sign, word.capitalize(), class_="verdict"),
        element("p", f"{summary(matrix)}."),
        element("ul", *tiles, class_="tiles"),
        class_=f"banner {TONES[word]}",
        id="verdict",
    )


_VERDICTS = ("accepted", "rejected", "inconclusive")


def _stacks(matrix: Compatibility) -> Html:
    rows = [
        (
            str(number),
            one_line(column.name, 160),
            state(column.verdict.value),
            _reports(column.reports),
            one_line(describe_column(column), 600),
            one_line("; ".join(column.verdict_reasons[:3]), 400),
        )
        for number, column in enumerate(matrix.columns[:MAX_COLUMNS], 1)
    ]
    parts = [table(("", "Stack", "Verdict", "Reports", "Facts", "Why"), rows, class_="stacks"), _rest(matrix)]
    return section("stacks", "Stacks", *parts)


def _rest(matrix: Compatibility) -> Html:
    rest = len(matrix.columns) - MAX_COLUMNS
    return element("p", f"… and {rest} more in compatibility.json.", class_="note") if rest > 0 else Html("")


def _reports(names: Sequence[str]) -> Html:
    if len(names) == 1:
        return element("span", one_line(names[0], 120))
    lines = [element("li", one_line(name, 160)) for name in names[:200]]
    return details(f"{len(names)} reports", element("ul", *lines, class_="names"))


def _grid(matrix: Compatibility, kind: str, rows: Sequence[Row]) -> Html:
    if not rows:
        return Html("")
    width = min(len(matrix.columns), MAX_COLUMNS)
    shown = worst_first(rows)[: max(MAX_CELLS // width, 50)]
    heads = [
        element("th", str(number), scope="col", title=one_line(column.name, 200))
        for number, column in enumerate(matrix.columns[:width], 1)
    ]
    title = {"suites": "Suite", "features": "Provider, feature", "checks": "Check"}[kind]
    head = element("thead", element("tr", element("th", title, scope="col"), *heads))
    body = element("tbody", *(_row(row, width, has_words=kind == "suites") for row in shown))
    grid = scrolling(element("table", head, body, class_="heat matrix"))
    left_out = len(rows) - len(shown)
    note = f"{left_out} more rows are in compatibility.json." if left_out else ""
    parts = [grid, element("p", note, class_="note") if note else Html("")]
    legend = element("p", join(_key(name) for name in CELL_WORDS), class_="legend") if kind == "suites" else Html("")
    told = "what fails or differs comes first" if kind != "suites" else "numbers are those of the stacks above"
    return section(kind, f"{_TITLES[kind]} ({len(rows):,})", legend, *parts, note=told)


def _key(name: str) -> Html:
    if not name:
        return element("span", f"empty: {CELL_WORDS[name]}")
    sign = element("span", SIGNS[name], class_="sign")
    return element("span", sign, f" {CELL_WORDS[name]} ", class_=f"key {TONES[name]}")


def _row(row: Row, width: int, *, has_words: bool) -> Html:
    words = {note.column: note.words for note in row.notes}
    cells = [_cell(row.states[number], words.get(number, ""), has_words=has_words) for number in range(width)]
    name = one_line(name_of(row), 200)
    return element("tr", element("th", name, scope="row", title=one_line(row.suite, 60)), *cells)


def _cell(name: str, words: str, *, has_words: bool) -> Html:
    if not name:
        return element("td", class_="empty", title=one_line(words or CELL_WORDS[name], 300))
    sign = element("span", SIGNS[name], class_="sign", role="img", aria_label=CELL_WORDS[name])
    told = f" {one_line(words, 80)}" if has_words else ""
    return element("td", sign, told, class_=TONES[name], title=one_line(words, 300) or None)
