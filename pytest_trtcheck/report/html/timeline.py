"""When each worker ran what: one lane a worker, with what broke off and every worker that had to be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.html.parts import TONES, bullets, scrolling, seconds, section
from pytest_trtcheck.report.html.plot import Scale, axis_x, svg
from pytest_trtcheck.report.sections import describe_isolation
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Result, RunReport

MAX_LANES = 64
_WIDTH, _LEFT, _RIGHT = 1060, 110, 1045
_LANE, _TOP = 26, 8
_LEAST_WIDTH = 1.5


@dataclass
class _Bar:
    """Checks of one tone that are too near to each other to be told apart."""

    start: float
    end: float
    tone: str
    count: int
    words: str


def timeline(report: RunReport) -> Html:
    """Return the lanes, what became of workers, and how many were replaced; empty when nothing started."""
    zero = _moment(report.started)
    timed = [(start, result) for result in report.results if (start := _moment(result.started)) is not None]
    notes = list(report.isolation.notes)
    if not timed and not notes:
        return Html("")
    parts = []
    if timed:
        begin = min([start for start, _ in timed] + ([zero] if zero is not None else []))
        parts.append(scrolling(_lanes([(start - begin, result) for start, result in timed])))
        marks = element(
            "p",
            element("span", element("span", "▮", class_="sign"), " passed", class_="key ok"),
            element("span", element("span", "▮", class_="sign"), " failed", class_="key bad"),
            element(
                "span", element("span", "✕", class_="sign"), " broke off: crash, hang, lost worker", class_="key bad"
            ),
            element("span", element("span", "▮", class_="sign"), " not run", class_="key none"),
            class_="legend",
        )
        parts.append(marks)
    if notes:
        parts += [element("h3", "What happened to workers"), bullets(notes)]
    return section("timeline", "Timeline by worker", *parts, note=one_line(describe_isolation(report.isolation)))


def _moment(started: str) -> float | None:
    try:
        return datetime.fromisoformat(started).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _lanes(timed: Sequence[tuple[float, Result]]) -> Html:
    lanes: dict[str, list[tuple[float, Result]]] = {}
    for start, result in sorted(timed, key=lambda entry: entry[0]):
        lanes.setdefault(result.worker, []).append((start, result))
    shown = list(lanes.items())[:MAX_LANES]
    bottom = _TOP + _LANE * len(shown)
    end = max(start + max(result.seconds, 0) for start, result in timed)
    x = Scale(0, max(end, 0.001), _LEFT, _RIGHT)
    parts = [axis_x(x, bottom, "seconds since the start", top=_TOP, most=10)]
    for index, (worker, members) in enumerate(shown):
        y = _TOP + _LANE * index
        parts.append(element("text", one_line(worker, 14) or "pytest", x=_LEFT - 8, y=y + 17, text_anchor="end"))
        parts += [_drawn(bar, y) for bar in _bars(members, x)]
        parts += [_cross(start, result, x, y) for start, result in members if result.outcome is Outcome.ERROR]
    return svg(*parts, width=_WIDTH, height=bottom + 36, label=f"{len(timed)} checks on {len(lanes)} workers")


def _bars(members: Sequence[tuple[float, Result]], x: Scale) -> list[_Bar]:
    """Return what to draw in a lane; neighbours of one tone within a pixel are one bar."""
    bars: list[_Bar] = []
    for start, result in members:
        left, right = x(start), x(start + max(result.seconds, 0))
        tone = TONES[result.state]
        words = f"{result.name}: {result.state.replace('_', ' ')}, {seconds(result.seconds)}"
        last = bars[-1] if bars else None
        if last and last.tone == tone and left - last.end < 1 and right - left < _LEAST_WIDTH:
            last.end, last.count = max(last.end, right), last.count + 1
        else:
            bars.append(_Bar(left, right, tone, 1, words))
    return bars


def _drawn(bar: _Bar, y: float) -> Html:
    words = bar.words if bar.count == 1 else f"{bar.count} checks, the first: {bar.words}"
    width = max(round(bar.end - bar.start, 1), _LEAST_WIDTH)
    title = element("title", one_line(words, 300))
    return element("rect", title, x=bar.start, y=y + 4, width=width, height=_LANE - 8, class_=f"{bar.tone} mark")


def _cross(start: float, result: Result, x: Scale, y: float) -> Html:
    """Return the mark for a check that broke off, with what ended it."""
    at, middle = x(start + max(result.seconds, 0)), y + _LANE / 2
    title = element("title", one_line(f"{result.name}: {result.message}", 300))
    shape = f"M{at - 5} {middle - 5}l10 10m0 -10l-10 10"
    ground = element("path", d=shape, class_="ground")
    cross = element("path", title, d=shape, class_="bad stroke")
    # The kind of end stands before the colon: hang, crash, out of memory.
    kind = one_line(result.message.partition(":")[0], 20)
    side, anchor = (10, "start") if at < (_LEFT + _RIGHT) / 2 else (-10, "end")
    return join([ground, cross, element("text", kind, x=at + side, y=middle + 4, text_anchor=anchor, class_="kind")])
