"""Plots: measured error against allowed error by provider, and what checks measured."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.parts import MAX_LISTED, code, more, section, table
from pytest_trtcheck.report.html.plot import Scale, axis_x, axis_y, decades, number, svg
from pytest_trtcheck.report.sections import Measured, measured_figures
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.report import Comparison, Result, RunReport

MAX_PLOTS = 24
MAX_CURVES = 60

_WIDTH, _HEIGHT = 300, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 288, 26, 208


def error_plots(results: Sequence[Result]) -> Html:
    """Return one plot for each provider: every case at its allowed error, above it how far it was off."""
    compared: dict[str, list[Result]] = {}
    for result in results:
        if result.comparison is not None:
            compared.setdefault(result.provider, []).append(result)
    everything = [result.comparison for members in compared.values() for result in members if result.comparison]
    allowed = [comparison.allowed for comparison in everything if comparison.allowed > 0]
    if not allowed:
        return Html("")
    # A logarithm has no place for an answer without any error: it is drawn on the lower border.
    errors = [comparison.error for comparison in everything if comparison.error]
    across, upward = decades(allowed), decades([*errors, *allowed])
    plots = [_error_plot(name, members, across, upward) for name, members in list(compared.items())[:MAX_PLOTS]]
    legend = element(
        "p",
        element("span", element("span", "●", class_="sign"), " within", class_="key ok"),
        element("span", element("span", "▲", class_="sign"), " beyond what is allowed", class_="key bad"),
        element("span", element("span", "✕", class_="sign"), " NaN or infinity", class_="key bad"),
        class_="legend",
    )
    note = element(
        "p",
        "On the line the error is all that is allowed; below it the answer is good enough. "
        "Larger marks stand for several cases.",
        class_="note",
    )
    grid = element("div", *plots, class_="plots")
    return section("errors", "Error against allowed error", legend, grid, more(len(compared), MAX_PLOTS), note)


def _error_plot(
    provider: str, members: Sequence[Result], across: tuple[float, float], upward: tuple[float, float]
) -> Html:
    x = Scale(*across, _LEFT, _RIGHT, is_log=True)
    y = Scale(*upward, _BOTTOM, _TOP, is_log=True)
    # Cases that fall on one spot are one mark: thousands of them would only make the page slow.
    spots: Counter[tuple[float, float, str]] = Counter()
    names: dict[tuple[float, float, str], str] = {}
    for result in members:
        if result.comparison is None:
            continue
        spot = _spot(result.comparison, x, y)
        spots[spot] += 1
        names.setdefault(spot, f"{result.name}: {result.comparison.describe()}")
    # What is beyond its bound is drawn last, on top.
    marks = [
        _mark(spot, count, one_line(names[spot], 300))
        for spot, count in sorted(spots.items(), key=lambda item: item[0][2] != "within")
    ]
    low = max(across[0], upward[0])
    high = min(across[1], upward[1])
    bound = element("line", x1=x(low), y1=y(low), x2=x(high), y2=y(high), class_="bound")
    beyond = sum(count for (_, _, kind), count in spots.items() if kind != "within")
    title = one_line(provider, 40) or "without a provider"
    cases = "1 case" if len(members) == 1 else f"{len(members)} cases"
    told = f"{cases}, {beyond} beyond" if beyond else f"{cases}, all within"
    return element(
        "figure",
        element("figcaption", element("b", title), f" {told}"),
        svg(
            axis_x(x, _BOTTOM, "allowed error", top=_TOP, most=4),
            axis_y(y, _LEFT, right=_RIGHT, most=6),
            element("text", "error", x=_LEFT - 5, y=_TOP - 12, text_anchor="end", class_="axis"),
            bound,
            *marks,
            width=_WIDTH,
            height=_HEIGHT,
            label=f"{title}: error against allowed error, {told}",
        ),
    )


def _spot(comparison: Comparison, x: Scale, y: Scale) -> tuple[float, float, str]:
    """Return where a case is drawn, to two pixels, and as what."""
    across = round(x(comparison.allowed) / 2) * 2
    if comparison.error is None:
        return across, _TOP - 6, "none"
    kind = "within" if comparison.is_within else "beyond"
    return across, round(y(comparison.error) / 2) * 2, kind


def _mark(spot: tuple[float, float, str], count: int, words: str) -> Html:
    x, y, kind = spot
    size = min(3 + count.bit_length() * 0.5, 7)
    title = element("title", words if count == 1 else f"{count} cases, such as {words}")
    if kind == "within":
        return element("circle", title, cx=x, cy=y, r=size, class_="ok mark")
    if kind == "beyond":
        shape = f"M{x} {y - size - 1}l{size + 1} {2 * size}h{-2 * size - 2}z"
        return element("path", title, d=shape, class_="bad mark")
    return element("path", title, d=f"M{x - 4} {y - 4}l8 8m0 -8l-8 8", class_="bad stroke")


def measurements(report: RunReport) -> Html:
    """Return what checks measured: curves as charts, single figures in a table."""
    figures = measured_figures(report)
    if not figures:
        return Html("")
    curves = [figure for figure in figures if len({at for at, _ in figure.points if at is not None}) > 1]
    single = [figure for figure in figures if figure not in curves]
    parts = []
    if curves:
        parts += [element("div", *map(_curve, curves[:MAX_CURVES]), class_="plots"), more(len(curves), MAX_CURVES)]
    if single:
        rows = [
            (code(figure.check), one_line(figure.name), one_line(figure.describe())) for figure in single[:MAX_LISTED]
        ]
        parts += [table(("Check", "What", "Figures"), rows, class_="figures"), more(len(single))]
    return section("measured", "Measured", *parts)


def _curve(figure: Measured) -> Html:
    points = sorted((at, value) for at, value in figure.points if at is not None)
    places, values = [at for at, _ in points], [value for _, value in points]
    # From zero, so that a fall looks as deep as it is.
    low, high = min(0.0, *values), max(0.0, *values)
    is_log = places[0] > 0 and places[-1] / places[0] >= 16
    x = Scale(places[0], places[-1], _LEFT, _RIGHT, is_log=is_log)
    y = Scale(low, high if high > low else low + 1, _BOTTOM, _TOP)
    line = element("polyline", points=" ".join(f"{x(at)},{y(value)}" for at, value in points), class_="line")
    dots = [
        element(
            "circle",
            element("title", one_line(f"{figure.axis} {number(at)}: {value:.4g} {figure.unit}")),
            cx=x(at),
            cy=y(value),
            r=3,
            class_="dot",
        )
        for at, value in points
    ]
    name = one_line(f"{figure.name}, {figure.unit}" if figure.unit else figure.name, 60)
    return element(
        "figure",
        element("figcaption", element("b", name), " ", code(figure.check, 80)),
        svg(
            axis_x(x, _BOTTOM, one_line(figure.axis, 40), top=_TOP),
            axis_y(y, _LEFT, right=_RIGHT),
            join([line, *dots]),
            width=_WIDTH,
            height=_HEIGHT,
            label=one_line(f"{figure.check}: {figure.name} {figure.describe()}", 500),
        ),
    )
