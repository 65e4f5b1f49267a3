"""Bars: what is recorded, what is allowed, what is said."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.quantization.cases import LOSSES, SETUPS, counts
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.rules.quantization import Deviation, Deviations, Figures, Spread, deviations, figures

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.judge import Judgement
    from pytest_trtcheck._suites.quantization.measure import Score

pytestmark = pytest.mark.torch

MATRIX = load_matrix()
KL, NOISE = Spread(-7.0, -6.5, 0.4, 0.2), Spread(-3.5, -3.0, 0.1, 0.05)
FIGURES = Figures("row", "run", {"easy": 288, "hard": 512}, {"easy": 288, "hard": 480}, KL, NOISE, 4, 2, 20, 1)
APART = {
    "divergence": Deviations(Deviation(0.3, 50), Deviation(0.2, 19)),
    "noise": Deviations(Deviation(0.1, 50), Deviation(0.05, 19)),
}


def score_of(right: int, asked: int = 171, **by_set: tuple[int, int]) -> Score:
    from pytest_trtcheck._suites.quantization.measure import Score

    return Score(right, asked, by_set or {"all": (right, asked)}, "copy 'Cab=': expected [1], found [2]")


def distance_judged(divergence: float, noise: float | None) -> Judgement:
    from pytest_trtcheck._suites.quantization.judge import judge_distance
    from pytest_trtcheck._suites.quantization.measure import Distance

    return judge_distance(Distance(divergence, noise, 472, {}), FIGURES, APART)


def test_answers_at_the_threshold_pass_and_one_fewer_fail_with_alpha_threshold_and_what_can_be_seen() -> None:
    from pytest_trtcheck._suites.quantization.judge import judge_score

    passed, failed = judge_score(score_of(159), "easy", FIGURES), judge_score(score_of(158), "easy", FIGURES)
    assert (passed.state, failed.state) == ("passed", "failed")
    assert passed.message == (
        "159 of 171 right, at least 159 expected: 288 of 288 recorded; alpha 1e-05, "
        "a loss of 10.3 points is seen with probability 0.9"
    )
    assert failed.message.endswith("expected [1], found [2]")
    told = {one.name: one.value for one in failed.measurements}
    assert told["easy_accuracy_threshold"] == pytest.approx(100 * 159 / 171)
    assert told["easy_accuracy"] == pytest.approx(100 * 158 / 171)


def test_a_set_that_is_all_wrong_fails_though_the_others_are_right() -> None:
    from pytest_trtcheck._suites.quantization.judge import judge_score

    judged = judge_score(score_of(165, 171, copy=(19, 19), add=(8, 14)), "easy", FIGURES)
    assert judged.state == "failed"
    assert "too few right: 8 of 14 in add" in judged.message


@pytest.mark.parametrize(
    ("divergence", "noise", "words"),
    [
        (1e-3, 0.04, ""),
        (0.02, 0.04, "too far from the golden log-probabilities"),
        (1e-3, 0.2, "too noisy"),
        (1e-3, 0.01, "nearer to the model as it was trained than its quantization: are layers left as they were?"),
        (math.inf, 0.04, "too far from the golden log-probabilities"),
        (1e-3, math.nan, "too noisy"),
        (1e-3, None, ""),
    ],
)
def test_log_probabilities_have_a_bar_above_and_their_noise_one_below_too(
    divergence: float, noise: float | None, words: str
) -> None:
    judged = distance_judged(divergence, noise)
    assert judged.state == ("failed" if words else "passed")
    assert judged.message.startswith(words or "KL divergence 0.001 nats at 472 places, allowed ")
    assert all(math.isfinite(one.value) for one in judged.measurements)


def test_a_bar_is_a_prediction_interval_for_another_way_on_another_calibration() -> None:
    from pytest_trtcheck._suites.quantization.judge import bar_of
    from pytest_trtcheck._suites.quantization.significance import prediction_width

    bar = bar_of(NOISE, APART["noise"], FIGURES)
    width = prediction_width([(0.1**2 * 1.5, 50), (0.05**2 * 1.05, 19)])
    assert math.log(bar.low) == pytest.approx(-3.5 - width)
    assert math.log(bar.high) == pytest.approx(-3.0 + width)
    without = replace(FIGURES, calibrations=0, calibrated_families=0)
    assert bar_of(NOISE, APART["noise"], without).high < bar.high


def test_what_was_measured_over_what_is_allowed_is_above_1_where_a_judgement_failed_by_it_and_nowhere_else() -> None:
    from pytest_trtcheck._suites.quantization.judge import judge_layers
    from pytest_trtcheck._suites.quantization.layers import LayerError

    def layers(found: float) -> Judgement:
        return judge_layers([LayerError("a", found, (0.02, 0.04), 1e-4)], None)

    judged = [layers(found) for found in (0.0079, 0.0081, 0.03, 0.099, 0.101, math.inf)]
    judged += [distance_judged(*pair) for pair in ((1e-3, 0.04), (0.02, 0.04), (1e-3, 0.2), (1e-3, 0.01))]
    assert {one.state for one in judged} == {"passed", "failed"}
    for one in judged:
        assert one.ratio is not None
        assert (one.ratio > 1) == (one.state == "failed"), one


def test_backends_that_hide_their_layers_are_undecided_and_not_passed() -> None:
    from pytest_trtcheck._suites.quantization.fingerprint import Reading
    from pytest_trtcheck._suites.quantization.judge import judge_layers

    assert judge_layers(None, None).state == "undecided"
    assert judge_layers(None, Reading("", 1.1, {})).state == "undecided"
    assert judge_layers(None, Reading("usual", 1e-7, {})).state == "passed"
    left = judge_layers(None, Reading("usual", 0.01, {"a": 0.0}, left=("model.layers.1.mlp.up_proj",)))
    assert (left.state, left.message) == (
        "failed", "left as they were, and should be quantized: model.layers.1.mlp.up_proj",
    )  # fmt: skip
    assert judge_layers(None, Reading("", 0.3, {}, foreign="usual")).state == "failed"


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_every_algorithm_has_figures_from_which_a_level_can_see_its_loss(dtype: str) -> None:
    from pytest_trtcheck._suites.quantization.variants import calibrations_of

    for quantization, kv_dtype in SETUPS:
        found = figures(MATRIX, quantization, kv_dtype, dtype)
        assert found is not None, (quantization, kv_dtype)
        assert found.variants >= found.families
        calibrated = calibrations_of(quantization, kv_dtype, 1)
        assert found.calibrated_families == len(calibrated)
        # Of 20 degrees of freedom or so Student's t takes 5.6 deviations for alpha, of 2 it would take 220.
        assert found.calibrations - len(calibrated) >= len(calibrated) * (20 if dtype == "fp32" else 3)
        assert found.noise.low <= found.noise.high
        for level in LOSSES:
            asked = counts(found, level)
            assert 50 < asked["easy"] < 2000
            assert 50 < asked["hard"] < 5000
    assert figures(MATRIX, "int5", "", dtype) is None


def test_quick_asks_less_than_standard_and_that_less_than_full() -> None:
    found = figures(MATRIX, "int8_weight_only", "", "fp32")
    assert found is not None
    asked = [counts(found, level) for level in (Level.QUICK, Level.STANDARD, Level.FULL)]
    assert [one["hard"] for one in asked] == sorted({one["hard"] for one in asked})


def test_the_pooled_spread_has_many_degrees_of_freedom() -> None:
    for apart in deviations(MATRIX, "int8_weight_only", "").values():
        assert 0.02 < apart.ways.value < 0.3
        assert apart.ways.freedom > 30
        assert apart.calibrations.value == 0


def test_an_int8_cache_is_known_to_differ_more_from_calibration_to_calibration_than_others() -> None:
    of_int8, of_fp8 = (deviations(MATRIX, "", kind)["noise"].calibrations for kind in ("int8", "fp8_e4m3"))
    assert of_int8.value > 3 * of_fp8.value > 0.1
    assert of_int8.freedom >= 20
    none = deviations(MATRIX, "int5", "")["noise"]
    assert none.calibrations == Deviation(0.0, 0)


def test_every_variant_that_was_recorded_lies_within_its_own_bar() -> None:
    import json

    from training.quantization import variants

    lines = (Path(__file__).parents[2] / "training" / "quantization.jsonl").read_text(encoding="utf-8").splitlines()
    measured = {name: found for line in lines for name, found in json.loads(line).items()}
    count = 0
    for name, setup, *_ in variants(("fp32", "fp16", "bf16")):
        from pytest_trtcheck._suites.quantization.judge import judge_distance
        from pytest_trtcheck._suites.quantization.measure import Distance

        found = figures(MATRIX, setup.quantization, setup.kv_dtype, setup.dtype)
        assert found is not None
        told = Distance(measured[name]["divergence"], measured[name]["noise"], measured[name]["places"], {})
        judged = judge_distance(told, found, deviations(MATRIX, setup.quantization, setup.kv_dtype))
        assert judged.state == "passed", f"{name}: {judged.message}"
        count += 1
    assert count == len(measured) > 500
