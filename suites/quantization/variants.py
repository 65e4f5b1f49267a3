"""Sound ways to do each algorithm: what implementations in the field do differently, in families."""

from __future__ import annotations

from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.fake import Convention
from pytest_trtcheck._suites.quantization.formats import INTEGER_BITS

Families = dict[str, tuple[Convention, ...]]
"""Conventions by what sets the families apart."""

_AWAY = Convention("ties away from zero", ties="away")
_OTHER_CALIBRATION = Convention("other calibration questions", calibration_seed=1)
_THIRD_CALIBRATION = Convention("third calibration questions", calibration_seed=2)
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
    """Return the sound variants of an algorithm, of a KV cache, or of both together."""
    if kv_dtype:
        return _kv(quantization, kv_dtype)
    algorithm = algorithm_of(quantization)
    usual = [Convention(), _AWAY]
    if algorithm.weights in INTEGER_BITS:
        usual += [*_RANGES, _HALF_SCALES]
    if algorithm.channel_scaling == "awq":
        usual.append(Convention("finer search", alpha_step=0.05))
    if algorithm.channel_scaling or algorithm.activations:
        usual += [_OTHER_CALIBRATION, _THIRD_CALIBRATION]
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
    families: Families = {"calibrated": (Convention(), _OTHER_CALIBRATION, _THIRD_CALIBRATION)}
    if kv_dtype not in INTEGER_BITS:
        of_one: tuple[Convention, ...] = (Convention("cache with a scale of 1", unit_kv_scale=True),)
        if quantization:
            of_one += (Convention("cache with a scale of 1, ties away", unit_kv_scale=True, ties="away"),)
        families["a scale of 1"] = of_one
    return families
