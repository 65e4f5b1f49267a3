"""Axes of small charts drawn as SVG: scales, ticks, frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_trtcheck.report.html.element import Html, element, join

TEXT_SIZE = 11


@dataclass(frozen=True)
class Scale:
    """Maps values to places along one side of a chart."""

    low: float
    high: float
    start: float
    """Place of ``low``."""
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, at the border for one that lies beyond."""
        low, high, at = (self._along(part) for part in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + min(max(share, 0), 1) * (self.end - self.start), 1)

    def _along(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.is_log else value

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values between both ends: powers of ten, or steps of 1, 2 or 5 times one."""
        if self.is_log:
            first, last = math.ceil(self._along(self.low) - 1e-9), math.floor(self._along(self.high) + 1e-9)
            step = max(math.ceil((last - first + 1) / most), 1)
            return [10.0**power for power in range(first, last + 1, step)]
        span = self.high - self.low
        if not span > 0:
            return [self.low]
        raw = span / most
        power = 10 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [index * step for index in range(first, math.floor(self.high / step + 1e-9) + 1)]


def decades(values: Sequence[float]) -> tuple[float, float]:
    """Return the powers of ten around positive values."""
    low, high = min(values), max(values)
    bottom = math.floor(math.log10(low) + 1e-9)
    return 10.0**bottom, 10.0 ** max(math.ceil(math.log10(high) - 1e-9), bottom + 1)


def number(value: float) -> str:
    """Return a tick's label."""
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:,.10g}"


def axis_x(scale: Scale, y: float, title: str, *, top: float, most: int = 5) -> Html:
    """Return grid lines, ticks and title below a chart whose frame ends at ``y``."""
    parts = []
    for tick in scale.ticks(most):
        at = scale(tick)
        parts += [
            element("line", x1=at, x2=at, y1=top, y2=y, class_="grid"),
            element("text", number(tick), x=at, y=y + 14, text_anchor="middle"),
        ]
    middle = (scale.start + scale.end) / 2
    return join([*parts, element("text", title, x=middle, y=y + 29, text_anchor="middle", class_="axis")])


def axis_y(scale: Scale, x: float, *, right: float, most: int = 5) -> Html:
    """Return grid lines and ticks left of a chart whose frame begins at ``x``."""
    parts = []
    for tick in scale.ticks(most):
        at = scale(tick)
        parts += [
            element("line", x1=x, x2=right, y1=at, y2=at, class_="grid"),
            element("text", number(tick), x=x - 5, y=at + 4, text_anchor="end"),
        ]
    return join(parts)


def svg(*parts: Html, width: int, height: int, label: str) -> Html:
    """Return a drawing; the label is what a screen reader says of it."""
    return element(
        "svg", *parts, viewBox=f"0 0 {width} {height}", width=width, height=height, role="img", aria_label=label,
        font_size=TEXT_SIZE, class_="chart",
    )  # fmt: skip
