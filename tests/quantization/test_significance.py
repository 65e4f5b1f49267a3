"""Exact tests: values that others have published, error rates as claimed, and numbers of questions that suffice."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from pytest_trtcheck._suites.quantization.significance import (
    ALPHA,
    BETA,
    binomial_tail,
    detectable_loss,
    fewest_right,
    miss_rate,
    prediction_width,
    questions_needed,
    student_quantile,
    student_tail,
    worse_than,
)


@pytest.mark.parametrize(
    ("tail", "freedom", "published"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.2.
    [
        (0.05, 1, 6.314),
        (0.025, 10, 2.228),
        (0.01, 5, 3.365),
        (0.005, 30, 2.750),
        (0.001, 50, 3.261),
        (0.001, 3, 10.215),
    ],
)
def test_quantiles_of_students_t_are_those_of_the_table(tail: float, freedom: int, published: float) -> None:
    assert student_quantile(tail, freedom) == pytest.approx(published, abs=5e-4)
    assert student_tail(published, freedom) == pytest.approx(tail, rel=2e-3)


def test_students_t_with_one_degree_of_freedom_is_cauchys_distribution() -> None:
    for t in (0.1, 1.0, 7.0, 300.0):
        assert student_tail(t, 1) == pytest.approx(0.5 - math.atan(t) / math.pi, rel=1e-9)


def test_fishers_test_gives_the_published_p_value() -> None:
    # The table ((1, 9), (11, 3)) of scipy's and Wikipedia's examples: one-sided 0.001379728.
    assert worse_than(1, 10, 11, 14) == pytest.approx(0.001379728, rel=1e-6)
    # Fisher's tea: 3 of 4 right against 1 of 4 has 17/70, the complement of which is counted here.
    assert worse_than(1, 4, 3, 4) == pytest.approx(17 / 70, rel=1e-9)


def test_fishers_test_adds_up_the_hypergeometric_terms() -> None:
    right, asked, others_right, others = 7, 12, 19, 21
    whole = math.comb(asked + others, right + others_right)
    terms = [math.comb(asked, k) * math.comb(others, right + others_right - k) for k in range(right + 1)]
    assert worse_than(right, asked, others_right, others) == pytest.approx(sum(terms) / whole, rel=1e-12)


def test_binomial_tails_are_sums_of_terms() -> None:
    assert binomial_tail(3, 10, 0.5) == pytest.approx(176 / 1024, rel=1e-12)
    assert binomial_tail(10, 10, 0.3) == 1.0
    assert binomial_tail(9, 10, 1.0) == 0.0
    assert binomial_tail(0, 10, 0.3) == pytest.approx(0.7**10)
    assert binomial_tail(-1, 10, 0.3) == 0.0


def test_the_threshold_is_the_fewest_right_answers_that_are_not_significant() -> None:
    for asked, recorded in ((50, (480, 512)), (111, (483, 512)), (164, (288, 288))):
        least = fewest_right(asked, *recorded)
        assert worse_than(least, asked, *recorded) >= ALPHA > worse_than(least - 1, asked, *recorded)


def test_a_sound_subject_is_flagged_no_more_often_than_alpha_says() -> None:
    # Exact, not simulated: over all outcomes of both samples, for shares all over the range.
    asked, others, alpha = 40, 60, 0.05
    for share in (0.3, 0.6, 0.9, 0.97):
        flagged = sum(
            _binomial(others, k, share) * binomial_tail(fewest_right(asked, k, others, alpha) - 1, asked, share)
            for k in range(1, others + 1)
            if fewest_right(asked, k, others, alpha)
        )
        assert flagged <= alpha


def test_error_rates_in_a_simulation_are_as_claimed() -> None:
    rng = random.Random(7)
    recorded, alpha, loss, runs = (940, 1000), 0.01, 0.1, 4000
    asked = questions_needed(*recorded, loss, alpha, BETA)
    least = fewest_right(asked, *recorded, alpha)
    share = recorded[0] / recorded[1]
    alarms, misses = (
        sum(_flagged(rng, asked, least, truth) == verdict for _ in range(runs)) / runs
        for truth, verdict in ((share, True), (share - loss, False))
    )
    assert alarms <= alpha + 4 * math.sqrt(alpha / runs)
    assert misses <= BETA + 4 * math.sqrt(BETA / runs)


def test_the_number_of_questions_is_the_smallest_that_misses_the_loss_seldom_enough() -> None:
    recorded = (483, 512)
    asked = questions_needed(*recorded, 0.2)
    share = recorded[0] / recorded[1] - 0.2
    assert miss_rate(asked, share, *recorded) <= BETA
    assert miss_rate(asked // 2, share, *recorded) > BETA
    assert 0.15 < detectable_loss(asked, *recorded) <= 0.201


def test_a_loss_that_no_number_of_questions_shows_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="too small to be shown"):
        questions_needed(90, 100, 0.01)
    with pytest.raises(ValueError, match="leaves nothing right"):
        questions_needed(10, 100, 0.2)


def test_one_effect_is_predicted_by_students_t_and_two_by_their_common_degrees_of_freedom() -> None:
    assert prediction_width([(0.04, 31)]) == pytest.approx(student_quantile(ALPHA, 31) * 0.2)
    # Welch and Satterthwaite: (0.04 + 0.01) ** 2 / (0.04 ** 2 / 31 + 0.01 ** 2 / 33) = 45.7
    assert prediction_width([(0.04, 31), (0.01, 33)]) == pytest.approx(student_quantile(ALPHA, 45) * math.sqrt(0.05))
    assert prediction_width([(0.04, 31), (0.0, 0)]) == pytest.approx(student_quantile(ALPHA, 31) * 0.2)
    assert prediction_width([(0.0, 5)]) == 0


def test_a_predicted_width_is_exceeded_as_seldom_as_it_says() -> None:
    rng, runs, alpha, exceeded = random.Random(3), 3000, 0.05, 0
    for _ in range(runs):
        ways, calibrations = ([rng.gauss(0, size) for _ in range(12)] for size in (0.1, 0.4))
        variances = [(statistics.variance(one) * (1 + 1 / 12), 11) for one in (ways, calibrations)]
        middle = statistics.mean(ways) + statistics.mean(calibrations)
        exceeded += rng.gauss(0, 0.1) + rng.gauss(0, 0.4) - middle > prediction_width(variances, alpha)
    assert exceeded / runs == pytest.approx(alpha, abs=4 * math.sqrt(alpha / runs))


def _binomial(n: int, k: int, share: float) -> float:
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)


def _flagged(rng: random.Random, asked: int, least: int, share: float) -> bool:
    return sum(rng.random() < share for _ in range(asked)) < least
