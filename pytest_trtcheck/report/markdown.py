"""``report.md`` for a step summary, a merge request or a mail: the verdict first, then what it rests on.

GitHub's dialect. Every text of the report goes through ``escape``, ``code`` or ``_fence``: nothing in it can open a
tag, end a cell or start a block of its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.report import Outcome, RunVerdict
from pytest_trtcheck.report.sections import (
    EFFECT_TITLES,
    REASON_WORDS,
    STATE_WORDS,
    SUPPORT_SIGNS,
    broken_results,
    count_states,
    describe_change,
    describe_difference,
    describe_faults,
    describe_isolation,
    describe_matrix,
    describe_source,
    describe_waived,
    group_findings,
    measured_figures,
    not_run_by_reason,
    split_table,
    support_of_suites,
    waived_results,
)
from pytest_trtcheck.report.text import MAX_LINE_CHARACTERS, one_line, truncate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_trtcheck.model.difference import Difference
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import Result, RunReport, StackRow, SupportCell

MAX_LISTED = 50
"""Entries of one list; a GitHub step summary holds 1 MiB."""
MAX_EXAMPLES = 8
MAX_CELL_CHARACTERS = 200
MAX_BLOCK_BYTES = 4096
MAX_BLOCK_LINES = 40

_SIGNS = {"incompatible": "❌", "unknown": "❔", "warning": "⚠️", "compatible": "✅"}
VERDICT_SIGNS = {RunVerdict.ACCEPTED: "✅", RunVerdict.REJECTED: "❌", RunVerdict.INCONCLUSIVE: "❔"}
# An underscore inside a word is no emphasis, so names such as cuda_runtime stay readable.
_SPECIAL = re.compile(r"[\\`*\[\]~#$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# What would open a list or a quote or draw a rule at the start of a line.
_LINE_START = re.compile(r"^(\d{0,9})([-+.)](?=[-\s]|$)|>)")
# A pipe as an entity: renderers disagree on a backslash before an escaped one.
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", "|": "&#124;"})


def render_markdown(report: RunReport) -> str:
    """Return the report as Markdown."""
    return "\n\n".join(blocks_of(report)) + "\n"


def blocks_of(report: RunReport) -> list[str]:
    """Return the sections of the document, the most important first; each stands on its own."""
    groups = group_findings(report)
    blocks = [
        _headline(report),
        _table_of_stack(report.table),
        _findings("Incompatible", groups.incompatible),
        _findings("Unknown", groups.unknown),
        _findings("Warnings", groups.warnings),
        _compatible(groups.compatible),
        _results(report),
        _waived(report),
        _difference(report.difference),
        _support(report),
        _measured(report),
        _not_run(report.results),
        _bullets("Not looked at", report.not_looked_at),
        _footer(report),
    ]
    return [block for block in blocks if block]


def escape(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    """Return a text on one line that Markdown and HTML show as it is, in a table cell too.

    At the start of a line it takes ``item`` besides.
    """
    return _SPECIAL.sub(r"\\\g<0>", one_line(text, limit)).translate(_ENTITIES)


def item(text: str) -> str:
    """Return an entry of a list, which is the start of a line to Markdown."""
    return "- " + _LINE_START.sub(r"\1\\\2", escape(text))


def code(text: str, limit: int = MAX_CELL_CHARACTERS) -> str:
    """Return a text on one line as code, in a table cell too; empty for an empty text."""
    line = one_line(text, limit)
    if "|" in line:
        return f"<code>{escape(line)}</code>"
    ticks = _ticks(line, 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}" if line else ""


def _ticks(text: str, least: int) -> str:
    return "`" * max([least, *(len(run) + 1 for run in re.findall("`+", text))])


def _fence(text: str) -> str:
    body = truncate(text, MAX_BLOCK_BYTES, MAX_BLOCK_LINES).strip("\n")
    ticks = _ticks(body, 3)
    return f"{ticks}\n{body}\n{ticks}"


def _headline(report: RunReport) -> str:
    lines = [f"# {VERDICT_SIGNS[report.verdict]} trtcheck: {report.verdict.value}", ""]
    lines += [item(reason) for reason in report.verdict_reasons]
    return "\n".join(lines).strip()


def table_of(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the cells are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _table_of_stack(table: Sequence[StackRow]) -> str:
    shown, absent = split_table(table)
    cells = [
        (
            escape(title_of(row.component), 60),
            code(row.version, 80),
            code(row.where),
            escape(row.expected, MAX_CELL_CHARACTERS),
            f"{_SIGNS.get(row.state, '')} {escape(row.state, 60)}".strip(),
        )
        for row in shown
    ]
    parts = ["## Stack"]
    if cells:
        parts.append(table_of(("Component", "Version", "Where", "Expected", "State"), cells))
    if absent:
        parts.append(f"Not found: {escape(', '.join(absent), 2000)}.")
    return "\n\n".join(parts) if table else ""


def _findings(title: str, findings: Sequence[Finding]) -> str:
    if not findings:
        return ""
    parts = [f"## {title} ({len(findings)})", *(_finding(finding) for finding in findings[:MAX_LISTED])]
    return "\n\n".join([*parts, *_more(findings)])


def _more(entries: Sequence[object]) -> list[str]:
    return [f"… and {len(entries) - MAX_LISTED} more in `report.json`."] if len(entries) > MAX_LISTED else []


def _finding(finding: Finding) -> str:
    pairs = [
        ("Check", code(finding.key)),
        ("Found", escape(finding.found)),
        ("Expected", escape(finding.expected)),
        ("At fault", escape(describe_faults(finding))),
        ("Detail", escape(finding.detail, 2000)),
        ("Source", escape(describe_source(finding.source))),
    ]
    parts = [
        f"### {escape(finding.title)}",
        "\n".join(f"- **{name}:** {value}" for name, value in pairs if value),
    ]
    if finding.remedy:
        parts += ["Remedy:", _fence(finding.remedy)]
    return "\n\n".join(parts)


def _compatible(findings: Sequence[Finding]) -> str:
    cells = [
        (
            code(finding.key),
            escape(finding.title, MAX_CELL_CHARACTERS),
            escape(finding.found, MAX_CELL_CHARACTERS),
            escape(finding.expected, MAX_CELL_CHARACTERS),
            escape(describe_source(finding.source), MAX_CELL_CHARACTERS),
        )
        for finding in findings[:MAX_LISTED]
    ]
    table = table_of(("Check", "Question", "Found", "Expected", "Source"), cells)
    return _collapsed(f"Compatible ({len(findings)})", [table, *_more(findings)]) if findings else ""


def _collapsed(summary: str, parts: Sequence[str]) -> str:
    return "\n\n".join(["<details>", f"<summary>{summary}</summary>", *parts, "</details>"])


def _results(report: RunReport) -> str:
    counts = count_states(report.results)
    if not counts:
        return "## Checks\n\nNo check was planned."
    cells = [(code(suite), *map(str, of.values())) for suite, of in counts.items()]
    states = next(iter(counts.values()))
    parts = ["## Checks", table_of(("Suite", *(STATE_WORDS[state] for state in states)), cells)]
    broken = broken_results(report)
    if broken:
        lines = [f"- {code(result.name)} {_how_it_ended(result)}" for result in broken[:MAX_LISTED]]
        parts += ["Failed beside the findings above:", "\n".join(lines), *_more(broken)]
    return "\n\n".join(parts)


def _waived(report: RunReport) -> str:
    """Return the failures that somebody answers for; empty where there are none."""
    waived = waived_results(report)
    lines = [f"- {code(result.name)} {escape(describe_waived(result), 1000)}" for result in waived[:MAX_LISTED]]
    return "\n\n".join([f"## Waived ({len(waived)})", "\n".join(lines), *_more(waived)]) if waived else ""


def _difference(difference: Difference | None) -> str:
    return "\n\n".join(["## Since the baseline", *difference_blocks(difference)]) if difference is not None else ""


def difference_blocks(difference: Difference) -> list[str]:
    """Return what changed: a sentence, a table for each kind of change, and what keeps the comparison from whole."""
    blocks = [escape(describe_difference(difference), 1000) + "."]
    for effect, title in EFFECT_TITLES.items():
        members = [change for change in difference.changes if change.effect is effect]
        rows = [
            (change.aspect.value, code(change.name), escape(describe_change(change), 400))
            for change in members[:MAX_LISTED]
        ]
        if rows:
            blocks += [f"### {title} ({len(members)})", table_of(("What", "Name", "Before → after"), rows)]
            blocks += _more(members)
    notes = "\n".join(item(note) for note in difference.notes[:MAX_LISTED])
    return [*blocks, *([notes] if notes else [])]


def _support(report: RunReport) -> str:
    """Return a table of features by provider for each suite that runs on providers."""
    parts = []
    for suite, providers in support_of_suites(report).items():
        cells = {(cell.feature, name): cell for name, of_provider in providers.items() for cell in of_provider}
        features = sorted({feature for feature, _ in cells})
        rows = [
            (code(feature), *(_support_cell(cells.get((feature, name))) for name in providers)) for feature in features
        ]
        signs = ", ".join(f"{sign} {state}" for state, sign in SUPPORT_SIGNS.items())
        parts += [
            f"## {escape(suite)}, by provider",
            table_of(("Feature", *map(code, providers)), rows),
            f"{signs}; numbers are cases that passed of those that ran or were refused.",
        ]
    return "\n\n".join(parts)


def _measured(report: RunReport) -> str:
    """Return a table of what checks measured; empty where nothing was."""
    figures = measured_figures(report)
    if not figures:
        return ""
    rows = [(code(figure.check), escape(figure.name), escape(figure.describe())) for figure in figures[:MAX_LISTED]]
    return "\n\n".join(["## Measured", table_of(("Check", "What", "Figures"), rows), *_more(figures)])


def _support_cell(cell: SupportCell | None) -> str:
    if cell is None:
        return ""
    total = cell.passed + cell.failed + cell.refused
    return f"{SUPPORT_SIGNS.get(cell.state, '')} {f'{cell.passed}/{total}' if total else ''}".strip()


def _how_it_ended(result: Result) -> str:
    word = "failed" if result.outcome is Outcome.FAILED else "broke off"
    return f"{word}: {escape(result.message)}" if result.message else word


def _not_run(results: Sequence[Result]) -> str:
    cells = [
        (code(reason.value), REASON_WORDS[reason], str(len(members)), _examples(members))
        for reason, members in not_run_by_reason(results)
    ]
    return f"## Not run\n\n{table_of(('Reason', 'In words', 'Checks', 'Which'), cells)}" if cells else ""


def _examples(results: Sequence[Result]) -> str:
    shown = ", ".join(code(result.name) for result in results[:MAX_EXAMPLES])
    return f"{shown} and {len(results) - MAX_EXAMPLES} more" if len(results) > MAX_EXAMPLES else shown


def _bullets(title: str, lines: Sequence[str]) -> str:
    if not lines:
        return ""
    shown = "\n".join(item(line) for line in lines[:MAX_LISTED])
    return "\n\n".join([f"## {title}", shown, *_more(lines)])


def _footer(report: RunReport) -> str:
    facts = [
        f"pytest-trtcheck {escape(report.tool_version)}",
        f"{escape(report.stack.kind)} {code(report.stack.name)}",
        f"profile {code(report.profile)}",
        f"level {code(report.level)}",
        f"fails on {code(report.fail_on)}",
        f"matrix of {escape(describe_matrix(report.matrix), 2000)}",
        f"checks ran {escape(describe_isolation(report.isolation))}",
        f"started {escape(report.started)}",
        f"{report.seconds:.1f} s",
        f"exit status {report.exit_status}",
        *([f"seed {report.seed}"] if report.seed is not None else []),
    ]
    return f"---\n\n{' · '.join(facts)}"
