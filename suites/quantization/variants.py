"""Sound ways to do each algorithm: what implementations in the field do differently, in families."""

from __future__ import annotations

from dataclasses import replace

from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.fake import Convention, is_calibrated
from pytest_trtcheck._suites.quantization.formats import INTEGER_BITS

Families = dict[str, tuple[Convention, ...]]
"""Conventions by what sets the families apart."""

_AWAY = Convention("ties away from zero", ties="away")
_RANGES = (Convention("range to 2^(b-1) - 0.5", full_range=0.5), Convention("range to 2^(b-1)", full_range=1.0))
_HALF_SCALES = Convention("scales in fp16", scale_dtype="float16")
_GROUPS = {
    f"groups of {size}": (
        Convention(f"groups of {size}", group_size=size),
        Convention(f"groups of {size}, ties away from zero", ties="away", group_size=size),
    )
    for size in (128, 64)
}


def families_of(quantization: str, kv_dtype: str) -> Families:
    """Return the sound variants of an algorithm, of a KV cache, or of both together; all with the same calibration."""
    if kv_dtype:
        return _kv(quantization, kv_dtype)
    algorithm = algorithm_of(quantization)
    usual = [Convention(), _AWAY]
    if algorithm.weights in INTEGER_BITS:
        usual += [*_RANGES, _HALF_SCALES]
    if algorithm.channel_scaling == "awq":
        usual.append(Convention("finer search", alpha_step=0.05))
    families: Families = {"usual": tuple(usual)}
    if algorithm.granularity == "channel" and not algorithm.activations:
        families |= _GROUPS
    if algorithm.activations in {"int8", "fp8_e4m3"} and not algorithm.group_size:
        other = {"token": "tensor", "tensor": "token"}[algorithm.activation_granularity]
        families[f"a scale for each {other}"] = (
            Convention(f"a scale for each {other}", activation_granularity=other),
            Convention(f"a scale for each {other}, ties away from zero", ties="away", activation_granularity=other),
        )
    return families


def _kv(quantization: str, kv_dtype: str) -> Families:
    families: Families = {"calibrated": (Convention(),)}
    if kv_dtype not in INTEGER_BITS:
        of_one: tuple[Convention, ...] = (Convention("cache with a scale of 1", unit_kv_scale=True),)
        if quantization:
            of_one += (Convention("cache with a scale of 1, ties away", unit_kv_scale=True, ties="away"),)
        families["a scale of 1"] = of_one
    return families


def calibrations_of(quantization: str, kv_dtype: str, count: int) -> Families:
    """Return the first variant of each family whose scales are fixed by calibration, on ``count`` sets of questions.

    The calibration that all variants of ``families_of`` have is not among them: it is one more.
    """
    return {
        family: tuple(
            replace(conventions[0], name=f"{conventions[0].name}, calibration {seed}", calibration_seed=seed)
            for seed in range(1, count + 1)
        )
        for family, conventions in families_of(quantization, kv_dtype).items()
        if _is_calibrated(quantization, kv_dtype, conventions[0])
    }


def _is_calibrated(quantization: str, kv_dtype: str, convention: Convention) -> bool:
    of_cache = bool(kv_dtype) and not convention.unit_kv_scale
    return of_cache or (bool(quantization) and is_calibrated(algorithm_of(quantization), convention))
