"""The checks: providers by feature, what did not run, the slowest, and all of them in a table that can be searched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.parts import (
    MAX_LISTED,
    SIGNS,
    TONES,
    block,
    code,
    details,
    scrolling,
    seconds,
    section,
    state,
    table,
)
from pytest_trtcheck.report.sections import (
    REASON_WORDS,
    STATE_WORDS,
    describe_waived,
    not_run_by_reason,
    support_of_suites,
)
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.report import Result, RunReport, SupportCell

ROWS_AT_ONCE = 200
"""Rows of the table that are laid out; the others are there and hidden, so that the page opens at once."""
MAX_SLOWEST = 20
MAX_TEXTS = 100
"""Outputs of checks shown in full length."""
_MESSAGE_BUDGET = 1_200_000
"""Characters for the messages of all checks together: 5,000 of them stay under 5 MB."""
_ORDER = ("failed", "error", "waived", "not_run", "passed")


def heat_maps(report: RunReport) -> Html:
    """Return a table of features by provider for each suite that runs on providers."""
    suites = support_of_suites(report)
    maps = [join([element("h3", one_line(suite, 60)), _heat_map(providers)]) for suite, providers in suites.items()]
    if not maps:
        return Html("")
    signs = join(
        element("span", element("span", SIGNS[name], class_="sign"), f" {name}", class_=f"key {TONES[name]}")
        for name in ("works", "fails", "refused", "not run", "not supported here")
    )
    legend = element("p", signs, class_="legend")
    numbers = element("p", "Numbers: cases that passed of those that ran or were refused.", class_="note")
    return section("support", "Providers by feature", legend, *maps, numbers)


def _heat_map(providers: dict[str, list[SupportCell]]) -> Html:
    cells = {(cell.feature, name): cell for name, of_provider in providers.items() for cell in of_provider}
    features = sorted({feature for feature, _ in cells})
    head = element("tr", element("th", "Feature", scope="col"), *(_head(name) for name in providers))
    rows = [
        element(
            "tr",
            element("th", one_line(feature, 60), scope="row"),
            *(_heat_cell(cells.get((feature, name))) for name in providers),
        )
        for feature in features
    ]
    return scrolling(element("table", element("thead", head), element("tbody", *rows), class_="heat"))


def _head(name: str) -> Html:
    return element("th", one_line(name, 40), scope="col")


def _heat_cell(cell: SupportCell | None) -> Html:
    if cell is None:
        return element("td", class_="empty")
    total = cell.passed + cell.failed + cell.refused
    words = one_line(f"{cell.provider}, {cell.feature}: {cell.state}{f': {cell.words}' if cell.words else ''}", 300)
    return element(
        "td",
        element("span", SIGNS.get(cell.state, "•"), class_="sign", role="img", aria_label=one_line(cell.state, 60)),
        f" {cell.passed}/{total}" if total else "",
        class_=TONES.get(cell.state, "none"),
        title=words,
    )


def not_run(results: Sequence[Result]) -> Html:
    """Return what did not run, by reason, every name on request."""
    rows = [
        (code(reason.value), REASON_WORDS[reason], f"{len(members):,}", _names(members))
        for reason, members in not_run_by_reason(results)
    ]
    if not rows:
        return Html("")
    return section("notrun", "Not run", table(("Reason", "In words", "Checks", "Which"), rows))


def _names(members: Sequence[Result]) -> Html:
    shown = [one_line(result.name, 200) for result in members[:MAX_LISTED]]
    rest = len(members) - len(shown)
    lines = [element("li", element("code", name)) for name in shown]
    if rest:
        lines.append(element("li", f"and {rest} more; the table of all checks has them"))
    if len(members) <= 3:
        return element("ul", *lines, class_="names")
    return details(f"{shown[0]} and {len(members) - 1} more", element("ul", *lines, class_="names"))


def slowest(results: Sequence[Result]) -> Html:
    """Return the checks that took longest, with a bar each."""
    ranked = sorted((result for result in results if result.seconds > 0), key=lambda result: -result.seconds)
    longest = ranked[0].seconds if ranked else 0.0
    rows = [
        (
            seconds(result.seconds),
            _bar(result.seconds / longest, TONES[result.state]),
            code(result.name),
            one_line(result.provider, 60),
            state(result.state),
        )
        for result in ranked[:MAX_SLOWEST]
    ]
    if not rows:
        return Html("")
    return section(
        "slowest", "Slowest checks", table(("Time", "", "Check", "Provider", "Outcome"), rows, class_="slow")
    )


def _bar(share: float, tone: str) -> Html:
    bar = element("rect", width=max(round(share * 160, 1), 1), height=10, rx=2)
    return element("svg", bar, class_=f"bar {tone}", width=160, height=10, aria_hidden="true")


def all_checks(report: RunReport) -> Html:
    """Return every check, failures first, in a table that can be filtered, searched and sorted."""
    results = [result for kind in _ORDER for result in report.results if result.state == kind]
    if not results:
        return section("checks", "All checks", element("p", "No check was planned.", class_="note"))
    limit = max(min(_MESSAGE_BUDGET // len(results), 500), 80)
    texts = {id(result) for result in [result for result in results if result.text][:MAX_TEXTS]}
    rows = [_row(result, limit, has_text=id(result) in texts) for result in results]
    chunks = [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
    bodies = [element("tbody", *chunk, hidden=index > 0) for index, chunk in enumerate(chunks)]
    titles = ("Outcome", "Check", "Suite", "Provider", "Time", "Message")
    head = element("thead", element("tr", *(element("th", title, scope="col") for title in titles)))
    grid = element("table", head, *bodies, class_="checks", id="all")
    return section("checks", f"All checks ({len(results):,})", _controls(results), scrolling(grid), _status())


def _row(result: Result, limit: int, *, has_text: bool) -> Html:
    message = one_line(result.message, limit)
    if result.reason is not None:
        message = f"{result.reason.value}: {message or REASON_WORDS[result.reason]}"
    if result.waiver is not None:
        message = one_line(describe_waived(result), limit + 300)
    told: list[str] = [message]
    if has_text:
        told.append(details("output", block(result.text)))
    return element(
        "tr",
        element("td", state(result.state)),
        element("td", element("code", one_line(result.name, 200))),
        element("td", one_line(result.suite, 40)),
        element("td", one_line(result.provider, 40)),
        element(
            "td", seconds(result.seconds) if result.started or result.seconds else "", data_s=round(result.seconds, 4)
        ),
        element("td", *told),
        data_o=result.state,
    )


def _controls(results: Sequence[Result]) -> Html:
    """Return search and filters; the script shows them, since without it they would do nothing."""
    counts = {kind: sum(result.state == kind for result in results) for kind in STATE_WORDS}
    boxes = [
        element(
            "label",
            element("input", type="checkbox", name="outcome", value=kind, checked=True),
            f" {STATE_WORDS[kind]} ({count:,})",
        )
        for kind, count in counts.items()
        if count
    ]
    search = element(
        "label", "Search ", element("input", type="search", id="search", placeholder="name, provider, message"),
    )  # fmt: skip
    return element(
        "form",
        search,
        element("fieldset", element("legend", "Outcome"), *boxes),
        _choice("suite", "Suite", {result.suite for result in results}),
        _choice("provider", "Provider", {result.provider for result in results if result.provider}),
        element("button", "Reset", type="reset"),
        id="controls",
        hidden=True,
    )


def _choice(identity: str, title: str, values: set[str]) -> Html:
    shown = sorted({one_line(value, 40) for value in values})
    if len(shown) < 2:
        return Html("")
    options = [
        element("option", "all", value=""),
        *(element("option", value, value=value) for value in shown[:MAX_LISTED]),
    ]
    return element("label", f"{title} ", element("select", *options, id=identity))


def _status() -> Html:
    line = element("span", role="status", id="shown")
    button = element("button", "Show more", type="button", id="more")
    return element("p", line, " ", button, id="below", hidden=True)
