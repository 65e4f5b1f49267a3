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
from pytest_trtcheck._suites.quantization.fake import KV_NAMES, Convention, Quantizer, kv_scales
from pytest_trtcheck._suites.quantization.formats import round_to
from pytest_trtcheck.providers import Model, Setup

QUESTION_SEED = 5001
MOST = 2.5
"""How many times the usual error, or which part of it, a layer may have. Measured over sound variants: 0.45 to 1.3."""
_ROUNDINGS = {"fp32": 1e-4, "fp16": 2e-3, "bf16": 1.6e-2}
"""Relative error that a layer may have that is not quantized: a few roundings of the dtype."""


@dataclass(frozen=True)
class LayerError:
    """How far a layer's output is from that of the layer as it was trained, on the same input."""

    name: str
    found: float
    """Relative to the root mean square of the right output."""
    usual: float
    """The same of our own quantization of this layer."""
    floor: float

    @property
    def strangeness(self) -> float:
        """Factor by which the error is larger or smaller than usual; 1 is best."""
        found, usual = (max(error, self.floor) for error in (self.found, self.usual))
        return max(found / usual, usual / found)

    @property
    def is_within(self) -> bool:
        """True when the layer is as far off as its quantization has to be."""
        return self.strangeness <= MOST

    def describe(self) -> str:
        """Return the errors on one line."""
        kind = "more" if self.found > self.usual else "less"
        return f"{self.name} is off by {self.found:.2g} of its output, {kind} than the usual {self.usual:.2g}"


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
    return sorted(errors, key=lambda error: error.strangeness, reverse=True)


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
    off = [float((one - right).square().mean().sqrt()) / size for one in (after, usual)]
    found = off[0] if math.isfinite(off[0]) else math.inf
    return LayerError(name, found, off[1], _ROUNDINGS[setup.dtype])


def _usual(name: str, x: torch.Tensor, weight: torch.Tensor, setup: Setup, model: Model) -> torch.Tensor:
    """Return what our own quantization of a layer makes of an input."""
    dtype = DTYPES[setup.dtype]
    layer = _quantizer(setup.quantization, model).layer(name, weight.to(dtype)) if setup.quantization else None
    return (layer(x.to(dtype)) if layer else x.to(dtype) @ weight.to(dtype).T).float()


@lru_cache(maxsize=4)
def _quantizer(quantization: str, model: Model) -> Quantizer:
    return Quantizer(algorithm_of(quantization), calibrate(model, "cpu", SEED))


def _cached(x: torch.Tensor, layer: int, at: int, setup: Setup, model: Model) -> torch.Tensor:
    if not setup.kv_dtype:
        return x
    scale = kv_scales(calibrate(model, "cpu", SEED), setup.kv_dtype, Convention())[layer][at]
    return round_to(x / scale, setup.kv_dtype) * scale
