"""What somebody answers for, and what changed since the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.parts import MAX_LISTED, bullets, code, linked, more, section, state, table
from pytest_trtcheck.report.sections import EFFECT_TITLES, describe_change, describe_difference, waived_results
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.model.difference import Difference
    from pytest_trtcheck.model.report import RunReport


def waived(report: RunReport) -> Html:
    """Return the failures that somebody answers for."""
    members = waived_results(report)
    rows = [
        (
            code(result.name),
            state(result.outcome.value),
            one_line(result.message, 300),
            linked(waiver.reason, 500),
            one_line(waiver.owner, 100),
            one_line(waiver.expires, 20),
            linked(waiver.link, 300),
        )
        for result in members[:MAX_LISTED]
        if (waiver := result.waiver) is not None
    ]
    if not rows:
        return Html("")
    grid = table(("Check", "Outcome", "Message", "Why it is waived", "Owner", "Until", "Link"), rows, class_="figures")
    return section("waived", f"Waived ({len(members)})", grid, more(len(members)), note="run, failed, and answered for")


def difference(change: Difference | None) -> Html:
    """Return what changed since the baseline; empty without one."""
    if change is None:
        return Html("")
    return section("difference", "Since the baseline", difference_body(change))


def difference_body(told: Difference) -> Html:
    """Return a sentence, a table for each kind of change, and what keeps the comparison from being whole."""
    parts = [element("p", one_line(describe_difference(told), 1000))]
    for effect, title in EFFECT_TITLES.items():
        members = [change for change in told.changes if change.effect is effect]
        rows = [
            (change.aspect.value, code(change.name), one_line(describe_change(change)))
            for change in members[:MAX_LISTED]
        ]
        if rows:
            grid = table(("What", "Name", "Before → after"), rows, class_="figures")
            parts += [element("h3", f"{title} ({len(members)})"), grid, more(len(members))]
    if told.notes:
        parts.append(bullets(told.notes))
    return join(parts)
