"""Exact tests of counts and a bar for figures: when is a result worse than what was recorded, and what can be seen.

Standard library only. A test's error rates are named as everywhere: alpha, a sound subject is flagged; beta, one that
lost as much as was to be detected is not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

ALPHA = 1e-5
"""Of each test. A run makes tens of them, 100 runs some thousands: one false alarm in many hundred runs."""
BETA = 0.1

_MOST_QUESTIONS = 20_000


def log_choose(n: int, k: int) -> float:
    """Return the natural logarithm of the number of ways to choose ``k`` of ``n``."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def binomial_tail(right: int, asked: int, share: float) -> float:
    """Return the probability of so many right answers or fewer, each right with probability ``share``."""
    if share <= 0 or right >= asked:
        return 1.0
    if share >= 1:
        return 0.0
    logs = (
        log_choose(asked, k) + k * math.log(share) + (asked - k) * math.log1p(-share) for k in range(max(right, -1) + 1)
    )
    return min(1.0, math.fsum(math.exp(log) for log in logs))


def worse_than(right: int, asked: int, recorded_right: int, recorded_asked: int) -> float:
    """Return the p-value of Fisher's exact test, one-sided: so few right by chance if both are equally good.

    Given how many are right in both together, how many of them fall to this side is hypergeometric.
    """
    total, together = asked + recorded_asked, right + recorded_right
    lowest = max(0, together - recorded_asked)
    whole = log_choose(total, asked)
    logs = (
        log_choose(together, k) + log_choose(total - together, asked - k) - whole
        for k in range(lowest, right + 1)
        if asked - k <= total - together
    )
    return min(1.0, math.fsum(math.exp(log) for log in logs))


@lru_cache(maxsize=1024)
def fewest_right(asked: int, recorded_right: int, recorded_asked: int, alpha: float = ALPHA) -> int:
    """Return the threshold: the fewest right answers that are not significantly worse than what was recorded."""
    low, high = 0, asked
    while low < high:
        middle = (low + high) // 2
        if worse_than(middle, asked, recorded_right, recorded_asked) < alpha:
            low = middle + 1
        else:
            high = middle
    return low


def miss_rate(asked: int, share: float, recorded_right: int, recorded_asked: int, alpha: float = ALPHA) -> float:
    """Return beta: the probability that a subject that is right with probability ``share`` is not flagged."""
    threshold = fewest_right(asked, recorded_right, recorded_asked, alpha)
    return 1.0 - binomial_tail(threshold - 1, asked, share) if threshold else 1.0


@lru_cache(maxsize=256)
def questions_needed(
    recorded_right: int, recorded_asked: int, loss: float, alpha: float = ALPHA, beta: float = BETA
) -> int:
    """Return how many questions show a loss: the fewest, by doubling and halving, that miss it with ``beta`` at most.

    ``loss``: of the share of right answers, 0.1 for ten points. ValueError where no number will do.
    """
    share = recorded_right / recorded_asked - loss
    if share <= 0:
        raise ValueError(f"a loss of {loss:g} from {recorded_right} of {recorded_asked} leaves nothing right")
    low, high = 1, 16
    while miss_rate(high, share, recorded_right, recorded_asked, alpha) > beta:
        low, high = high, high * 2
        if high > _MOST_QUESTIONS:
            raise ValueError(f"a loss of {loss:g} from {recorded_right} of {recorded_asked} is too small to be shown")
    while high - low > 1:
        middle = (low + high) // 2
        if miss_rate(middle, share, recorded_right, recorded_asked, alpha) > beta:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=256)
def detectable_loss(
    asked: int, recorded_right: int, recorded_asked: int, alpha: float = ALPHA, beta: float = BETA
) -> float:
    """Return the smallest loss of the share of right answers that so many questions show, to a thousandth."""
    share = recorded_right / recorded_asked
    for thousandths in range(1, math.floor(share * 1000) + 1):
        if miss_rate(asked, share - thousandths / 1000, recorded_right, recorded_asked, alpha) <= beta:
            return thousandths / 1000
    return share


def student_tail(t: float, freedom: int) -> float:
    """Return the probability that Student's t with so many degrees of freedom is above ``t``, for t of 0 or more."""
    x = freedom / (freedom + t * t)
    return 0.5 * _incomplete_beta(x, freedom / 2, 0.5)


@lru_cache(maxsize=64)
def student_quantile(tail: float, freedom: int) -> float:
    """Return the ``t`` above which Student's t is with probability ``tail``, by bisection."""
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > tail:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if student_tail(middle, freedom) > tail:
            low = middle
        else:
            high = middle
    return high


def prediction_width(variances: Sequence[tuple[float, int]], alpha: float = ALPHA) -> float:
    """Return how far from the middle one more value lies, on one side, but for a probability of ``alpha``.

    ``variances``: of independent effects that add up, each with its degrees of freedom; those of the sum are by Welch
    and Satterthwaite (Biometrics Bulletin 2, 1946), rounded down.
    """
    total = sum(variance for variance, _ in variances)
    if not total:
        return 0.0
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in variances if variance)
    return student_quantile(alpha, math.floor(freedom)) * math.sqrt(total)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    ) / a  # fmt: skip
    fraction = 0.0
    for m in range(200, 0, -1):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = even / (1 + odd / (1 + fraction))
    first = -(a + b) * x / (a + 1)
    return front / (1 + first / (1 + fraction))
