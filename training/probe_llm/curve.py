"""The loss curve as a small SVG, drawn without a plotting library."""

from __future__ import annotations

import math
from typing import Any

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 300, 50, 16, 110, 40
COLOURS = ("#1b6ca8", "#c4561c", "#2d7d46")


def curve(log: list[dict[str, Any]], stages: list[str]) -> str:
    """Return the loss of each stage over its steps; both axes share one scale, the loss is logarithmic."""
    lines: dict[str, list[tuple[int, float]]] = {
        stage: [(row["step"], row["loss"]) for row in log if row.get("stage") == stage and "loss" in row]
        for stage in stages
    }
    points = [point for line in lines.values() for point in line]
    last = max(step for step, _ in points)
    low, high = math.log10(min(loss for _, loss in points)), math.log10(max(loss for _, loss in points))

    def x(step: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * step / last, 1)

    def y(loss: float) -> float:
        share = (math.log10(loss) - low) / ((high - low) or 1.0)
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    view = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {view} font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for loss in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5):
        if low <= math.log10(loss) <= high:
            parts.append(f'<path d="M{LEFT} {y(loss)}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y(loss) + 4}" text-anchor="end">{loss:g}</text>')
    for index, (stage, line) in enumerate(lines.items()):
        colour = COLOURS[index % len(COLOURS)]
        path = " ".join(f"{x(step)},{y(loss)}" for step, loss in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 16 + 18 * index}" fill="{colour}">{stage}</text>')
    middle = (LEFT + WIDTH - RIGHT) // 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">step (last: {last})</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 4}" text-anchor="end">loss</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
