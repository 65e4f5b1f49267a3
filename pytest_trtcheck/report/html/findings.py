"""Verdict, stack and findings: what a reader looks for first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.parts import (
    MAX_LISTED,
    SIGNS,
    TONES,
    block,
    bullets,
    code,
    details,
    linked,
    more,
    pairs,
    section,
    state,
    table,
)
from pytest_trtcheck.report.sections import (
    STATE_WORDS,
    count_states,
    describe_faults,
    describe_source,
    group_findings,
    split_table,
)
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import RunReport, StackRow

MAX_REASONS = 20
MAX_FACTS = 20


def verdict(report: RunReport) -> Html:
    """Return the banner: verdict, reasons, and how many checks ended how."""
    word = report.verdict.value
    head = element(
        "p", element("span", SIGNS[word], class_="sign", aria_hidden="true"), word.capitalize(), class_="verdict"
    )
    reasons = [element("li", one_line(reason)) for reason in report.verdict_reasons[:MAX_REASONS]]
    rest = len(report.verdict_reasons) - MAX_REASONS
    if rest > 0:
        reasons.append(element("li", f"and {rest} more reasons"))
    return element(
        "section",
        element("h1", "trtcheck", *_subject(report)),
        head,
        *([element("ul", *reasons)] if reasons else []),
        _tiles(report),
        class_=f"banner {TONES[word]}",
        id="verdict",
    )


def _subject(report: RunReport) -> list[Html]:
    gpus = ", ".join(dict.fromkeys(gpu.name for gpu in report.stack.gpus))
    named = f"{report.stack.kind} {report.stack.name}{f' · {gpus}' if gpus else ''} · {report.started[:16]}"
    return [element("small", one_line(named, 200))]


def _tiles(report: RunReport) -> Html:
    suites = count_states(report.results).values()
    totals = {kind: sum(counts.get(kind, 0) for counts in suites) for kind in STATE_WORDS}
    counts = {kind: count for kind, count in totals.items() if count or kind != "waived"}
    groups = group_findings(report)
    tiles = [
        *((STATE_WORDS[outcome], count, TONES[outcome]) for outcome, count in counts.items()),
        ("incompatible", len(groups.incompatible), "bad"),
        ("unknown", len(groups.unknown), "open"),
        ("warning" if len(groups.warnings) == 1 else "warnings", len(groups.warnings), "warn"),
    ]
    return element(
        "ul",
        *(
            element("li", element("b", f"{count:,}"), " ", name, class_=tone if count else "none")
            for name, count, tone in tiles
        ),
        class_="tiles",
    )


def stack_table(rows: Sequence[StackRow]) -> Html:
    """Return the stack with what was expected against what was found."""
    shown, absent = split_table(rows)
    cells = [
        (
            one_line(title_of(row.component), 60),
            state(row.state),
            code(row.version, 80),
            one_line(row.expected, 200),
            code(row.where),
        )
        for row in shown
    ]
    if not rows:
        return Html("")
    parts = [table(("Component", "State", "Found", "Expected", "Where"), cells, class_="stack")] if cells else []
    if absent:
        parts.append(element("p", f"Not found: {one_line(', '.join(absent), 2000)}.", class_="note"))
    return section("stack", "Stack", *parts, note="expected against found")


def findings(report: RunReport) -> Html:
    """Return what is wrong or cannot be told, each with its evidence, and what is compatible as a table."""
    groups = group_findings(report)
    told = [
        ("incompatible", "Incompatible", groups.incompatible),
        ("unknown", "Unknown", groups.unknown),
        ("warning", "Warnings", groups.warnings),
    ]
    parts = [_group(report, kind, title, members) for kind, title, members in told if members]
    if groups.compatible:
        parts.append(_compatible(groups.compatible))
    if not parts:
        parts = [element("p", "No question was put to this stack.", class_="note")]
    return section("findings", "Findings", *parts)


def _group(report: RunReport, kind: str, title: str, members: Sequence[Finding]) -> Html:
    cards = [_card(report, kind, finding) for finding in members[:MAX_LISTED]]
    return join([element("h3", f"{title} ({len(members)})"), *cards, more(len(members))])


def _card(report: RunReport, kind: str, finding: Finding) -> Html:
    heading = element("h4", state(kind), " ", one_line(finding.title) or "without a title", " ", code(finding.key))
    body = pairs(
        [
            ("Found", one_line(finding.found)),
            ("Expected", one_line(finding.expected)),
            ("At fault", one_line(describe_faults(finding))),
            ("Detail", one_line(finding.detail, 2000)),
            ("Read from", _evidence(report, finding)),
            ("Source", linked(describe_source(finding.source))),
            ("Remedy", block(finding.remedy) if finding.remedy else ""),
        ]
    )
    return element("article", heading, body, class_=f"finding {TONES[kind]}")


def _evidence(report: RunReport, finding: Finding) -> Html:
    """Return the facts that a finding rests on, with where each was read and how."""
    lines = []
    for key in finding.facts[:MAX_FACTS]:
        fact = report.stack.facts.get(key)
        if fact is None:
            continue
        value = fact.value if fact.value is not None else fact.state.value.replace("_", " ")
        place = " · ".join(one_line(part, 300) for part in (fact.where, fact.how, fact.reason) if part)
        name = one_line(title_of(key), 60)
        lines.append(element("li", name, " ", code(value), *([" ", place] if place else [])))
    return element("ul", *lines, class_="facts") if lines else Html("")


def _compatible(members: Sequence[Finding]) -> Html:
    rows = [
        (
            code(finding.key),
            one_line(finding.title, 200),
            one_line(finding.found, 200),
            one_line(finding.expected, 200),
            linked(describe_source(finding.source), 300),
        )
        for finding in members[:MAX_LISTED]
    ]
    header = ("Check", "Question", "Found", "Expected", "Source")
    return details(f"Compatible ({len(members)})", table(header, rows, class_="compatible"), more(len(members)))


def not_looked_at(lines: Sequence[str]) -> Html:
    """Return what the run did not look at."""
    return section("unseen", "Not looked at", bullets(lines)) if lines else Html("")
