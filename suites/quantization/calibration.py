"""What goes through the probe model's layers on sound questions: fixed scales are taken from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from pytest_trtcheck._suites.probe_llm.engine.kv import Store
from pytest_trtcheck._suites.probe_llm.engine.model import Linear, LinearFactory
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import Question
from pytest_trtcheck.providers import Model, Request, Setup

SEED = 3001
"""Questions of calibration are none of those that are asked later, but by chance."""
NEAR = tuple(name for name in EASY if not name.endswith("_far"))
"""Easy sets whose questions are short."""
_EACH = 4
_SAMPLE = 256


@dataclass
class Seen:
    """What came into one linear layer; in host memory, since a calibration outlives its session."""

    largest: torch.Tensor
    """fp32 ``[in]``: largest magnitude in each channel."""
    total: torch.Tensor
    """fp32 ``[in]``: sum of magnitudes in each channel."""
    count: int
    sample: torch.Tensor
    """fp32 ``[some tokens, in]``."""

    @property
    def mean(self) -> torch.Tensor:
        """Mean magnitude in each channel."""
        return self.total / self.count

    def on(self, device: torch.device) -> Seen:
        """Return the same in a device's memory."""
        return Seen(self.largest.to(device), self.total.to(device), self.count, self.sample.to(device))


@dataclass
class Calibration:
    """What was seen in a run over sound questions."""

    inputs: dict[str, Seen] = field(default_factory=dict)
    keys: dict[int, float] = field(default_factory=dict)
    """Largest magnitude of a key, by layer."""
    values: dict[int, float] = field(default_factory=dict)

    def see(self, name: str, x: torch.Tensor) -> None:
        """Add what goes into a layer, ``[tokens, in]``."""
        size = x.float().abs()
        largest, total = size.amax(0).cpu(), size.sum(0).cpu()
        found = self.inputs.get(name)
        if found is None:
            # A copy: a view would keep all the tokens of the step.
            self.inputs[name] = Seen(largest, total, len(x), x[:_SAMPLE].float().cpu().clone())
            return
        found.largest = found.largest.maximum(largest)
        found.total += total
        found.count += len(x)


def calibration_questions(seed: int = SEED) -> list[Question]:
    """Return a few questions of each near set and of the hard one."""
    easy = [question for name in NEAR for question in easy_questions(name, _EACH, seed)]
    return [*easy, *hard_questions(_EACH, seed)]


@lru_cache(maxsize=4)
def calibrate(model: Model, device: str, seed: int) -> Calibration:
    """Return what goes through the layers in fp32."""
    seen = Calibration()

    class Watched(Session):
        def linear_factory(self) -> LinearFactory:
            return lambda name, weight: _watched(seen, name, weight)

        store_class = _watched_store(seen)

    session = Watched(Setup(slots=64, kv_tokens=8192), model, device)
    session.generate(requests_of(calibration_questions(seed)))
    session.close()
    return seen


def requests_of(questions: Sequence[Question]) -> list[Request]:
    """Return a request for each question, with room for the right answer and no more."""
    return [Request(tuple(question.prompt_ids), len(question.answer_ids)) for question in questions]


def _watched(seen: Calibration, name: str, weight: torch.Tensor) -> Linear:
    def layer(x: torch.Tensor) -> torch.Tensor:
        seen.see(name, x)
        return x @ weight.T

    return layer


def _watched_store(seen: Calibration) -> type[Store]:
    class WatchedStore(Store):
        def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
            seen.keys[layer] = max(seen.keys.get(layer, 0.0), float(k.abs().max()))
            seen.values[layer] = max(seen.values.get(layer, 0.0), float(v.abs().max()))
            super().write(layer, places, k, v)

    return WatchedStore
