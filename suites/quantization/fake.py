"""Quantization that is computed and not stored: numbers are rounded as an algorithm rounds them and stay in the dtype.

What the quantized model answers is what a real kernel would answer that rounds alike and adds exactly. Every step is a
method, so that a variant, sound or broken, overrides one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pytest_trtcheck._suites.probe_llm.engine.kv import Shape, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Linear, plain_linear
from pytest_trtcheck._suites.quantization.formats import (
    E2M1,
    E4M3,
    FLOATS,
    power_of_two_scale,
    round_float,
    round_to,
    whole_numbers,
)

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.calibration import Calibration, Seen
    from pytest_trtcheck.rules.quantization import Algorithm

_TINY = 1e-12

KV_NAMES = ("model.layers.{}.self_attn.k_cache", "model.layers.{}.self_attn.v_cache")
"""What keys and values of a layer are called among layers."""


@dataclass(frozen=True)
class Convention:
    """What implementations of one algorithm do differently from one another without being wrong."""

    name: str = "usual"
    ties: str = "even"
    """See ``formats.round_float``."""
    full_range: float = 0.0
    """Added to the largest integer before the scale is taken from it: 0 for amax / 127, 0.5 for 127.5, 1 for 128."""
    group_size: int = 0
    """Numbers that share a scale, for integer weights alone; 0 for what the algorithm says."""
    scale_dtype: str = "float32"
    """torch's name of the type in which scales of weights are kept."""
    activation_granularity: str = ""
    """``tensor`` (by calibration) or ``token``, where both are met; empty for what the algorithm says."""
    unit_kv_scale: bool = False
    """The scales of an fp8 cache are 1."""
    alpha_step: float = 0.1
    """Step of the search for AWQ's exponent; SmoothQuant's is 0.5."""
    calibration_seed: int = 0
    """Added to the seed of the questions that scales are calibrated on."""


def is_calibrated(algorithm: Algorithm, convention: Convention) -> bool:
    """Say whether scales or factors come from what calibration saw; others are taken from the numbers themselves."""
    kind = convention.activation_granularity or algorithm.activation_granularity
    return bool(algorithm.channel_scaling) or kind == "tensor" or (kind == "group" and algorithm.scale == "e4m3")


class Quantizer:
    """Makes linear layers as one algorithm has them."""

    def __init__(self, algorithm: Algorithm, calibration: Calibration, convention: Convention | None = None) -> None:
        self.algorithm, self.calibration = algorithm, calibration
        self.convention = convention or Convention()

    def layer(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer from its name and its weight ``[out, in]``."""
        if not self.is_quantized(name):
            return plain_linear(name, weight)
        factors = self.factors(name, weight.float())
        stored = self.weights(name, weight.float() * factors).to(weight.dtype)
        if not self.algorithm.activations:
            folded = (stored / factors).to(weight.dtype)
            return lambda x: x @ folded.T
        limit = self.limit(name, factors) if is_calibrated(self.algorithm, self.convention) else 0.0
        return lambda x: self.activations(x.float() / factors, limit).to(x.dtype) @ stored.T

    def is_quantized(self, name: str) -> bool:
        """Say whether the algorithm touches a layer."""
        return bool(self.algorithm.weights) and name not in self.algorithm.unquantized

    def weights(self, name: str, weight: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - for those who go by it
        """Return weights fp32 ``[out, in]`` as they are after a round trip through the algorithm's type."""
        groups = self.grouped(weight)
        scales = self.scales(groups)
        return self.restored(self.codes(groups, scales), scales, weight)

    def grouped(self, weight: torch.Tensor) -> torch.Tensor:
        """Return weights as ``[sets of numbers with one scale, numbers]``."""
        kind = self.algorithm.granularity
        size = self.algorithm.group_size
        if self.algorithm.weights not in FLOATS and self.convention.group_size:
            kind, size = "group", self.convention.group_size
        return weight.reshape({"tensor": 1, "channel": len(weight), "group": -1}[kind], size if kind == "group" else -1)

    def scales(self, groups: torch.Tensor) -> torch.Tensor:
        """Return a scale for each row of ``grouped``, ``[rows, 1]``: a code times it is the number."""
        largest = groups.abs().amax(-1, keepdim=True).clamp(min=_TINY)
        kind = self.algorithm.weights
        if kind in FLOATS:
            return self.float_scales(largest, float(largest.max()))
        scales = largest / (whole_numbers(kind)[1] + self.convention.full_range)
        return scales.to(getattr(torch, self.convention.scale_dtype)).float()

    def float_scales(self, largest: torch.Tensor, of_tensor: float) -> torch.Tensor:
        """Return scales for groups of a floating type, from their largest magnitudes and that of the tensor."""
        form = FLOATS[self.algorithm.weights]
        if self.algorithm.scale == "e8m0":
            return power_of_two_scale(largest, form)
        if self.algorithm.scale == "e4m3":
            whole = of_tensor / (E2M1.largest * E4M3.largest)
            return round_float(largest / (form.largest * whole), E4M3).clamp(min=2.0**-9) * whole
        return largest / form.largest

    def codes(self, groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        """Return the numbers of the type that are stored."""
        return round_to(groups / scales, self.algorithm.weights, self.convention.ties)

    def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return numbers from codes, in the shape of the weight."""
        return (codes * scales).reshape(weight.shape)

    def limit(self, name: str, factors: torch.Tensor) -> float:
        """Return the largest magnitude that calibration saw before a layer, by which fixed scales are set."""
        return float((self.seen(name, factors.device).largest / factors).max().clamp(min=_TINY))

    def seen(self, name: str, device: torch.device) -> Seen:
        """Return what calibration saw before a layer."""
        return self.calibration.inputs[name].on(device)

    def activations(self, x: torch.Tensor, limit: float) -> torch.Tensor:
        """Return what goes into a layer, fp32 ``[tokens, in]``, after a round trip through the algorithm's type."""
        kind = self.algorithm.activations
        if self.algorithm.activation_granularity == "group":
            groups = x.reshape(-1, self.algorithm.group_size)
            scales = self.float_scales(groups.abs().amax(-1, keepdim=True).clamp(min=_TINY), limit)
            return (round_to(groups / scales, kind, self.convention.ties) * scales).reshape(x.shape)
        top = FLOATS[kind].largest if kind in FLOATS else whole_numbers(kind)[1]
        by_token = (self.convention.activation_granularity or self.algorithm.activation_granularity) == "token"
        scale = x.abs().amax(-1, keepdim=True).clamp(min=_TINY) / top if by_token else limit / top
        return round_to(x / scale, kind, self.convention.ties) * scale

    def factors(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return what activations are divided and weights multiplied by, for each input channel, fp32 ``[in]``."""
        if self.algorithm.channel_scaling == "smooth":
            largest = self.seen(name, weight.device).largest.clamp(min=1e-5)
            return (largest / weight.abs().amax(0).clamp(min=1e-5)).sqrt()
        if self.algorithm.channel_scaling == "awq":
            return self.searched(name, weight)
        return torch.ones_like(weight[0])

    def searched(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        """Return AWQ's factors: the power of the mean activation with which a layer's output changes least."""
        seen = self.seen(name, weight.device)
        right = seen.sample @ weight.T
        best, least = torch.ones_like(weight[0]), float("inf")
        step = self.convention.alpha_step
        for power in range(round(1 / step) + 1):
            factors = seen.mean.clamp(min=1e-5) ** (power * step)
            factors = factors / (factors.max() * factors.min()).sqrt()
            error = float((seen.sample @ (self.weights(name, weight * factors) / factors).T - right).square().sum())
            if error < least:
                best, least = factors, error
        return best


class QuantizedStore(Store):
    """Keys and values in a narrow type: codes are kept in the dtype, and scaled when they are read."""

    def __init__(self, shape: Shape, dtype: torch.dtype, device: str, kind: str, scales: list[tuple[float, float]]):
        super().__init__(shape, dtype, device)
        self.kind, self.scales = kind, scales
        """Scales of keys and of values, by layer."""
        self.through: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None
        """Where to note what is kept and what is read again, by name; None while nobody asks."""

    def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
        """Round and keep."""
        codes = (round_to(x.float() / scale, self.kind) for x, scale in zip((k, v), self.scales[layer], strict=True))
        super().write(layer, places, *(code.to(k.dtype) for code in codes))
        if self.through is not None:
            again = self.read(layer, places[None])
            for name, kept, found in zip(KV_NAMES, (k, v), again, strict=True):
                self.through[name.format(layer)] = (kept.flatten(1), found[0].flatten(1))

    def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return numbers again."""
        k, v = super().read(layer, places)
        of_keys, of_values = self.scales[layer]
        return k * of_keys, v * of_values


def kv_scales(calibration: Calibration, kind: str, convention: Convention) -> list[tuple[float, float]]:
    """Return the scales of keys and of values of every layer."""
    if kind in FLOATS and convention.unit_kv_scale:
        return [(1.0, 1.0) for _ in calibration.keys]
    top = FLOATS[kind].largest if kind in FLOATS else whole_numbers(kind)[1]
    return [(calibration.keys[layer] / top, calibration.values[layer] / top) for layer in sorted(calibration.keys)]
