"""The user's own limits for what a suite measures: without one, a figure decides nothing."""

from __future__ import annotations

import math

from pytest_trtcheck.errors import OptionError

SERVING_FIGURES = (
    "throughput", "latency_p50", "latency_p99", "first_token_p50", "first_token_p99", "inter_token_p50",
    "inter_token_p99", "token_throughput",
)  # fmt: skip
"""Figures of the serving suite under load; throughputs are per second and must be reached, times are in ms."""


def read_limits(option: str, text: str, figures: tuple[str, ...]) -> dict[str, float]:
    """Return limits by figure from ``latency_p99=50,throughput=200``; OptionError for anything else."""
    limits = {}
    for part in filter(None, (entry.strip() for entry in text.split(","))):
        name, _, number = part.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if name not in figures or not 0 < value < math.inf or name in limits:
            wanted = f"expected NAME=NUMBER,... with names of {', '.join(figures)}, each once, and numbers above 0"
            raise OptionError(f"{option}: {wanted}, found {part[:100]!r}")
        limits[name] = value
    return limits
