"""Figures that differ from run to run: which differences are more than that."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytest_trtcheck.model.difference import Aspect, Change, Effect
from pytest_trtcheck.model.report import Outcome

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Result

Pairs = Sequence[tuple["Result", "Result"]]

TIME_FACTOR = 2.0
"""A check is slower when it takes this many times as long as before, beyond what all checks of the run do."""
TIME_LEAST_SECONDS = 1.0
"""And this much longer: shorter checks are dominated by what else the machine does."""
TOTAL_LEAST_SECONDS = 10.0
_TIMED_FROM_SECONDS = 0.05
_ENOUGH_FOR_A_SPREAD = 8
_SPREADS = 4.0
ERROR_FACTOR = 2.0
"""With the same inputs an error is exact; a kernel that adds up in another order moves it by less than this."""
ERROR_FACTOR_OTHER_SEED = 3.0
ERROR_LEAST_SHARE = 0.25
"""Of what is allowed: an error far below its bound may double."""
MEASUREMENT_FACTOR = 1.5


def error_changes(both: Pairs, *, same_seed: bool) -> Iterator[Change]:
    """Tell of errors against the reference that grew or shrank; a check whose outcome changed tells of itself."""
    factor = ERROR_FACTOR if same_seed else ERROR_FACTOR_OTHER_SEED
    for one, other in both:
        old, new = one.comparison, other.comparison
        if one.outcome is not other.outcome or old is None or new is None or old.error is None or new.error is None:
            continue
        if old.statistic != new.statistic or old.allowed <= 0 or new.allowed <= 0:
            continue
        was, now = old.error / old.allowed, new.error / new.allowed
        if max(was, now) < ERROR_LEAST_SHARE or max(was, now) < factor * min(was, now):
            continue
        effect = Effect.REGRESSION if now > was else Effect.IMPROVEMENT
        yield Change(Aspect.ERROR, other.name, f"{was:.0%} of what is allowed", f"{now:.0%}", effect, new.describe())


def time_changes(both: Pairs) -> Iterator[Change]:
    """Tell of checks that take longer or shorter than the others of the run do, and of the run as a whole."""
    timed = [
        (one, other)
        for one, other in both
        if one.outcome is other.outcome is Outcome.PASSED and min(one.seconds, other.seconds) > 0
    ]
    ratios = [
        math.log(other.seconds / one.seconds)
        for one, other in timed
        if max(one.seconds, other.seconds) >= _TIMED_FROM_SECONDS
    ]
    # A busy machine slows all checks alike: that is told once, and not of each.
    typical = statistics.median(ratios) if len(ratios) >= _ENOUGH_FOR_A_SPREAD else 0.0
    spread = 1.4826 * statistics.median([abs(ratio - typical) for ratio in ratios]) if ratios and typical else 0.0
    bound = max(math.log(TIME_FACTOR), _SPREADS * spread)
    for one, other in timed:
        beyond = math.log(other.seconds / one.seconds) - typical
        if abs(beyond) < bound or abs(other.seconds - one.seconds) < TIME_LEAST_SECONDS:
            continue
        effect = Effect.REGRESSION if beyond > 0 else Effect.IMPROVEMENT
        yield Change(Aspect.TIME, other.name, f"{one.seconds:.2f} s", f"{other.seconds:.2f} s", effect)
    yield from _total(timed)


def _total(timed: Pairs) -> Iterator[Change]:
    was, now = sum(one.seconds for one, _ in timed), sum(other.seconds for _, other in timed)
    if abs(now - was) < TOTAL_LEAST_SECONDS or max(was, now) < TIME_FACTOR * min(was, now):
        return
    effect = Effect.REGRESSION if now > was else Effect.IMPROVEMENT
    words = f"{len(timed)} checks that pass in both runs"
    yield Change(Aspect.TIME, "all checks", f"{was:.1f} s", f"{now:.1f} s", effect, words)


def measurement_changes(both: Pairs) -> Iterator[Change]:
    """Tell of figures that changed: a rate that fell and a time that grew are regressions, others are changes."""
    for one, other in both:
        old = {(figure.name, figure.unit, figure.axis, figure.at): figure.value for figure in one.measurements}
        for figure in other.measurements:
            was = old.get((figure.name, figure.unit, figure.axis, figure.at))
            if was is None or not _differs(was, figure.value):
                continue
            place = f" at {figure.axis} {figure.at:g}" if figure.at is not None else ""
            unit = f" {figure.unit}" if figure.unit else ""
            yield Change(
                Aspect.MEASUREMENT,
                f"{other.name}: {figure.name}{place}",
                f"{was:.4g}{unit}",
                f"{figure.value:.4g}{unit}",
                _effect(was, figure.value, figure.unit),
            )


def _differs(was: float, now: float) -> bool:
    if was == now:
        return False
    low, high = sorted((abs(was), abs(now)))
    return was * now <= 0 or high >= MEASUREMENT_FACTOR * low


def _effect(was: float, now: float, unit: str) -> Effect:
    if unit.endswith("/s"):
        return Effect.REGRESSION if now < was else Effect.IMPROVEMENT
    if unit in ("s", "ms", "us"):
        return Effect.REGRESSION if now > was else Effect.IMPROVEMENT
    return Effect.CHANGE
