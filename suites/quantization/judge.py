"""From what a backend answered to a judgement: four questions, each with its bar, its threshold and what it can see."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.quantization.significance import (
    ALPHA,
    BETA,
    detectable_loss,
    fewest_right,
    prediction_width,
    worse_than,
)
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.fingerprint import Reading
    from pytest_trtcheck._suites.quantization.layers import LayerError
    from pytest_trtcheck._suites.quantization.measure import Distance, Score
    from pytest_trtcheck.rules.quantization import Deviations, Figures, Spread

_MOST_LAYERS = 3


@dataclass(frozen=True)
class Judgement:
    """What became of one question to one backend."""

    state: str
    """``passed``, ``failed``, ``refused`` or ``undecided``."""
    message: str
    """One line."""
    measurements: tuple[Measurement, ...] = ()
    ratio: float | None = None
    """What was measured over what is allowed, where both are figures: above 1 only where it failed."""


PASSED, FAILED, REFUSED, UNDECIDED = "passed", "failed", "refused", "undecided"


def judge_score(score: Score, kind: str, figures: Figures) -> Judgement:
    """Judge right answers: no worse than recorded, by Fisher's exact test, all sets together and each by itself."""
    recorded = (figures.right[kind], figures.asked[kind])
    least = fewest_right(score.asked, *recorded, ALPHA / 2)
    loss = detectable_loss(score.asked, *recorded, ALPHA / 2)
    words = (
        f"{score.right} of {score.asked} right, at least {least} expected: {recorded[0]} of {recorded[1]} recorded; "
        f"alpha {ALPHA:g}, a loss of {100 * loss:.1f} points is seen with probability {1 - BETA:g}"
    )
    share = 100 / score.asked
    told = (
        Measurement(f"{kind}_accuracy", score.right * share, "%"),
        Measurement(f"{kind}_accuracy_threshold", least * share, "%"),
        Measurement(f"{kind}_accuracy_detectable_loss", 100 * loss, "points"),
        Measurement(f"{kind}_accuracy_p_value", worse_than(score.right, score.asked, *recorded), ""),
    )
    low = [
        f"{right} of {asked} in {name}"
        for name, (right, asked) in score.by_set.items()
        if worse_than(right, asked, *recorded) < ALPHA / 2 / len(score.by_set)
    ]
    if score.right < least or low:
        words = "; ".join(filter(None, (words, f"too few right: {', '.join(low)}" if low else "", score.wrong)))
        return Judgement(FAILED, words, told)
    return Judgement(PASSED, words, told)


@dataclass(frozen=True)
class Bar:
    """Between what a figure has to lie, in nats."""

    low: float
    high: float


def bar_of(spread: Spread, deviations: Deviations, figures: Figures) -> Bar:
    """Return where one more sound variant lies, but for a probability of alpha at each end.

    A prediction interval of Student's t around the lowest and the highest family, for one that is done another way and
    calibrated on other questions: both spreads, each with its degrees of freedom and with that of the mean.
    """
    ways, calibrations = deviations.ways, deviations.calibrations
    variances = [(ways.value**2 * (1 + 1 / figures.ways_of_each), ways.freedom)]
    if figures.calibrations:
        share = 1 + 1 / figures.calibrations_of_each
        variances.append((calibrations.value**2 * share, calibrations.freedom))
    width = prediction_width(variances, ALPHA)
    return Bar(math.exp(spread.low - width), math.exp(spread.high + width))


def judge_distance(found: Distance, figures: Figures, deviations: dict[str, Deviations]) -> Judgement:
    """Judge log-probabilities: their KL divergence no larger than recorded, their noise neither larger nor smaller."""
    # Where noise is large, more places tip over than are left out: an algorithm's own spread counts too.
    # The two ways of mxfp4 in bf16 differ by a factor of 7.
    apart = deviations["divergence"]
    widest = replace(apart.ways, value=max(apart.ways.value, figures.divergence.deviation))
    kl = bar_of(figures.divergence, replace(apart, ways=widest), figures)
    noise = bar_of(figures.noise, deviations["noise"], figures)
    told = [
        Measurement("kl_divergence", found.divergence, "nats"),
        Measurement("kl_divergence_allowed", kl.high, "nats"),
        Measurement("noise_least", noise.low, "nats"),
        Measurement("noise_allowed", noise.high, "nats"),
    ]
    words = [f"KL divergence {found.divergence:.3g} nats at {found.places} places, allowed {kl.high:.3g}"]
    wrong = [] if found.divergence <= kl.high else ["too far from the golden log-probabilities"]
    ratios = [found.divergence / kl.high]
    if found.noise is None:
        words.append("noise not judged: not all tokens were told")
    else:
        told.append(Measurement("noise", found.noise, "nats"))
        words.append(f"noise {found.noise:.3g} nats, expected {noise.low:.3g} to {noise.high:.3g}")
        ratios += [found.noise / noise.high, noise.low / max(found.noise, 1e-300)]
        if not found.noise <= noise.high:
            wrong.append("too noisy")
        elif found.noise < noise.low:
            wrong.append("nearer to the model as it was trained than its quantization: are layers left as they were?")
    told = [one for one in told if math.isfinite(one.value)]
    sound = f"{figures.variants} sound variants are recorded"
    sound += f" and {figures.calibrations} calibrations" if figures.calibrations else ""
    sound += f", alpha {ALPHA:g}"
    message = "; ".join([*wrong, *words, sound])
    finite = [ratio for ratio in ratios if math.isfinite(ratio)]
    return Judgement(FAILED if wrong else PASSED, message, tuple(told), max(finite, default=None))


def judge_layers(errors: list[LayerError] | None, reading: Reading | None) -> Judgement:
    """Judge each layer, by what the session tells of it, or by what the log-probabilities tell."""
    if errors:
        wrong = [error for error in errors if not error.is_within]
        told = tuple(
            Measurement("layer_error", error.found, "of its output", axis="layer", at=float(number))
            for number, error in enumerate(errors[:_MOST_LAYERS])
            if math.isfinite(error.found)
        )
        message = "; ".join(error.describe() for error in (wrong or errors)[:_MOST_LAYERS])
        count = (
            f"{len(wrong)} of {len(errors)} layers are not quantized as they should be: " if wrong else "strangest: "
        )
        return Judgement(FAILED if wrong else PASSED, count + message, told, errors[0].ratio)
    if reading is None:
        return Judgement(UNDECIDED, "the backend tells nothing of its layers, and rounded activations hide them")
    if reading.left:
        return Judgement(FAILED, f"left as they were, and should be quantized: {', '.join(reading.left)}")
    if reading.foreign:
        known = (
            f"weights are rounded by the convention {reading.foreign!r}, and {100 * reading.unexplained:.0f} % of the"
        )
        return Judgement(FAILED, f"{known} change of the logits comes from something else, such as scales cut short")
    if not reading.can_tell:
        known = "by none of the known conventions, so its log-probabilities do not tell layers apart"
        return Judgement(UNDECIDED, f"the backend rounds {known} (unexplained {reading.unexplained:.2g})")
    told = (Measurement("unexplained_change", reading.unexplained, "of the change"),)
    return Judgement(PASSED, f"every layer takes part, rounded by the convention: {reading.convention}", told)


def culprits(errors: list[LayerError] | None) -> str:
    """Return the layers to look at first when a bar is missed; empty where nothing is known of layers."""
    wrong = [error for error in errors or [] if not error.is_within]
    return "; ".join(error.describe() for error in wrong[:_MOST_LAYERS])
