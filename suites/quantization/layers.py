"""The error of each layer by itself, where a session tells what goes into its layers and what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from pytest_trtcheck._suites.probe_llm.engine.session import DTYPES
from pytest_trtcheck._suites.probe_llm.sets import easy_questions
from pytest_trtcheck._suites.probe_llm.tensors import read_tensors
from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate
from pytest_trtcheck._suites.quantization.fake import KV_NAMES, Quantizer, kv_scales
from pytest_trtcheck._suites.quantization.formats import round_to
from pytest_trtcheck._suites.quantization.variants import families_of
from pytest_trtcheck.providers import Model, Setup

QUESTION_SEED = 5001
MOST = 2.5
"""How many times the usual error, or which part of it, a layer may have. Measured over sound variants: 0.45 to 1.6."""
_ROUNDINGS = {"fp32": 1e-4, "fp16": 2e-3, "bf16": 1.6e-2}
"""Relative error that a layer may have that is not quantized: a few roundings of the dtype."""


@dataclass(frozen=True)
class LayerError:
    """How far a layer's output is from that of the layer as it was trained, on the same input."""

    name: str
    found: float
    """Relative to the root mean square of the right output."""
    usual: tuple[float, float]
    """The same of our own quantization of this layer: of the family that is least off, and of the one that is most."""
    floor: float

    @property
    def ratio(self) -> float:
        """Factor by which the error is beyond the usual ones, over the factor that is allowed."""
        found, least, most = (max(error, self.floor) for error in (self.found, *self.usual))
        return max(found / most, least / found) / MOST

    @property
    def is_within(self) -> bool:
        """True when the layer is as far off as its quantization has to be."""
        return self.ratio <= 1

    def describe(self) -> str:
        """Return the errors on one line, the usual one that is nearer."""
        least, most = self.usual
        kind, usual = ("more", most) if self.found > most else ("less", least)
        if least <= self.found <= most:
            kind, usual = ("more", least)
        return f"{self.name} is off by {self.found:.2g} of its output, {kind} than the usual {usual:.2g}"


def prompt() -> tuple[int, ...]:
    """Return the tokens on which layers are compared: a few questions, one after the other."""
    asked = [easy_questions(name, 1, QUESTION_SEED)[0] for name in ("lookup", "sort", "add", "draw")]
    return tuple(token for question in asked for token in [*question.prompt_ids, *question.answer_ids])


def layer_errors(told: Mapping[str, Any], setup: Setup, model: Model) -> list[LayerError]:
    """Return the error of each layer that a session told of, the strangest first.

    ``told``: inputs ``[tokens, in]`` and outputs ``[tokens, out]`` by the checkpoint's name of the layer, or what a
    cache was given and what it gave back, by ``KV_NAMES``. ValueError for shapes that do not fit the layer.
    """
    errors = [_error(name, pair, setup, model) for name, pair in told.items()]
    return sorted(errors, key=lambda error: error.ratio, reverse=True)


@lru_cache(maxsize=1)
def _weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in read_tensors(model.main / "model.safetensors").items()}


def _error(name: str, pair: Any, setup: Setup, model: Model) -> LayerError:
    before, after = (torch.as_tensor(one).detach().cpu().float() for one in pair)
    caches = {kind.format(layer): (layer, at) for at, kind in enumerate(KV_NAMES) for layer in range(64)}
    if name in caches:
        right, usual = before, _cached(before, *caches[name], setup, model)
    else:
        weight = _weights(model).get(f"{name}.weight")
        if weight is None or before.ndim != 2 or before.shape[-1] != weight.shape[1]:
            raise ValueError(f"{name!r:.60} with inputs of shape {tuple(before.shape)} is no layer of the probe model")
        right, usual = before @ weight.T, _usual(name, before, weight, setup, model)
    if after.shape != right.shape:
        raise ValueError(f"{name}: expected outputs of shape {tuple(right.shape)}, found {tuple(after.shape)}")
    size = float(right.square().mean().sqrt()) or 1.0
    found, *of_families = (float((one - right).square().mean().sqrt()) / size for one in (after, *usual))
    found = found if math.isfinite(found) else math.inf
    return LayerError(name, found, (min(of_families), max(of_families)), _ROUNDINGS[setup.dtype])


def _usual(name: str, x: torch.Tensor, weight: torch.Tensor, setup: Setup, model: Model) -> list[torch.Tensor]:
    """Return what our own quantization of a layer makes of an input, in each family of sound ways."""
    x, weight = x.to(DTYPES[setup.dtype]), weight.to(DTYPES[setup.dtype])
    if not setup.quantization:
        return [(x @ weight.T).float()]
    return [quantizer.layer(name, weight)(x).float() for quantizer in _quantizers(setup.quantization, model)]


@lru_cache(maxsize=4)
def _quantizers(quantization: str, model: Model) -> tuple[Quantizer, ...]:
    seen = calibrate(model, "cpu", SEED)
    families = families_of(quantization, "").values()
    return tuple(Quantizer(algorithm_of(quantization), seen, conventions[0]) for conventions in families)


def _cached(x: torch.Tensor, layer: int, at: int, setup: Setup, model: Model) -> list[torch.Tensor]:
    """Return what comes out of our own quantized cache, in each family of sound ways."""
    if not setup.kv_dtype:
        return [x]
    seen = calibrate(model, "cpu", SEED)
    families = families_of("", setup.kv_dtype).values()
    scales = [kv_scales(seen, setup.kv_dtype, conventions[0])[layer][at] for conventions in families]
    return [round_to(x / scale, setup.kv_dtype) * scale for scale in scales]
