"""Which layers a backend quantized, read from its log-probabilities alone.

Rounding of weights is not random: whoever rounds as we do changes the logits as we do. To first order the change is the
sum of what each layer's rounding does, so the coefficients of that sum say which layers took part: about 1 for each
layer that is quantized, about 0 for one that is not. It works for weights alone (rounded activations do not add up) and
where the backend rounds as one of the conventions known here does; elsewhere it says that it cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from pytest_trtcheck._suites.probe_llm.engine.kv import Shape, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Linear, Llama, Part, plain_linear
from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.calibration import SEED, calibrate
from pytest_trtcheck._suites.quantization.fake import Convention, Quantizer
from pytest_trtcheck._suites.quantization.measure import golden_prompts
from pytest_trtcheck._suites.quantization.variants import families_of
from pytest_trtcheck.providers import Model
from pytest_trtcheck.rules.quantization import Algorithm

SHORTEST, LONGEST = 20, 44
_NO_LAYERS = ("majority", "tie")
"""Tasks with too few places to be worth their prompts."""
SAME = 1e-4
"""Share of the predicted change that is left unexplained when the backend does as predicted: sums in another order
leave 1e-7 in fp32."""
EXPLAINED = 0.1
"""Share beyond which the coefficients are not trusted. Measured: other ties leave 0.01 to 0.09, scales in fp16 0.02 to
0.07, another search of AWQ's factors 0.12."""
LEFT, ERRORS = 0.6, 30.0
"""A layer is not quantized when its coefficient and so many standard errors of it are below LEFT. The standard errors
take places and tokens for independent, which they are not: measured over sound variants coefficients are up to 45
of them away from 1 (0.26 at the lowest, with a margin of 0.7), and those of layers left out at -0.3 to 0.1."""
FOREIGN, WHOLE = 0.2, 0.95
"""Beyond the first share, and with a coefficient of the whole change above the second, a recognized convention has
noise added to it, as when scales are cut to bf16 before numbers are restored. Measured: cut scales leave 0.33
with a coefficient of 1.07; scales kept in bf16, which round other numbers, 0.49 with 0.77."""
ALIKE = 0.6
"""Share beyond which the backend rounds by another convention: those known leave 0.7 and more of each other."""
_RIDGE = 1e-6


@dataclass(frozen=True)
class Reading:
    """What the log-probabilities say of the layers."""

    convention: str
    """The convention by which the backend seems to round; empty when it is none of the known ones."""
    unexplained: float
    """Share of the change that the layers' sum does not explain."""
    coefficients: dict[str, float]
    """By layer; empty where the prediction fits as it is, and where nothing can be told."""
    left: tuple[str, ...] = ()
    """Layers that are not quantized and should be."""
    foreign: str = ""
    """The convention that is recognized with much beside it; empty for none."""

    @property
    def can_tell(self) -> bool:
        """True when it says something of each layer."""
        return bool(self.convention)


def numbers() -> tuple[int, ...]:
    """Return which golden prompts are read: short ones with many places."""
    return tuple(
        number
        for number, one in enumerate(golden_prompts())
        if SHORTEST <= len(one.tokens) <= LONGEST and one.task not in _NO_LAYERS
    )


def can_read(algorithm: Algorithm) -> bool:
    """Say whether an algorithm is of a kind that can be read."""
    return bool(algorithm.weights) and not algorithm.activations


def read(rows: dict[int, torch.Tensor], quantization: str, model: Model) -> Reading:
    """Return what rows of log-probabilities, by golden prompt, say of the layers."""
    found = change(rows)
    best, least = None, float("inf")
    for convention in conventions(quantization):
        predicted = predict(quantization, convention, model)
        share = float((found - predicted).square().sum() / predicted.square().sum())
        if share < least:
            best, least = convention, share
        if share < SAME:
            return Reading(convention.name, share, {})
    if best is None or least > ALIKE:
        return Reading("", least, {})
    return _solve(found, quantization, best, model)


def conventions(quantization: str) -> Iterator[Convention]:
    """Yield the conventions that are tried: those that differ much from one another, the likeliest first."""
    for convention in [one for family in families_of(quantization, "").values() for one in family]:
        if convention.ties == "even" and convention.scale_dtype == "float32" and not convention.calibration_seed:
            yield convention
            if convention.group_size:
                yield replace(convention, name=f"{convention.name}, full range", full_range=1.0)


def change(rows: dict[int, torch.Tensor]) -> torch.Tensor:
    """Return the change of the logits, ``[places * vocabulary]``, against the golden ones, less its mean at a place."""
    right = torch.cat([golden_prompts()[number].log_probs for number in numbers()]).double()
    moved = torch.cat([rows[number] for number in numbers()]) - right
    return (moved - moved.mean(-1, keepdim=True)).flatten()


@lru_cache(maxsize=32)
def predict(quantization: str, convention: Convention, model: Model, only: str = "") -> torch.Tensor:
    """Return the change that a convention makes, of all layers or of one alone."""
    algorithm = algorithm_of(quantization)
    quantizer = Quantizer(algorithm, calibrate(model, "cpu", SEED), convention)
    if only:
        # One that the algorithm leaves as it is can be asked for as well: that is how its coefficient becomes 0.
        quantizer.algorithm = replace(algorithm, unquantized=())

    def make(name: str, weight: torch.Tensor) -> Linear:
        return quantizer.layer(name, weight) if only in {"", name} else plain_linear(name, weight)

    return change(_forward(Llama(model.main, torch.float32, "cpu", LONGEST, make)))


def _forward(network: Llama) -> dict[int, torch.Tensor]:
    """Return log-probabilities at the places of the prompts, all in one forward."""
    chosen = {number: golden_prompts()[number] for number in numbers()}
    config = network.config
    shape = Shape(config["num_hidden_layers"], config["num_key_value_heads"], config["head_dim"], len(chosen), LONGEST)
    parts = [
        Part(one.tokens, 0, [block], rows=len(one.tokens) - one.places[0]) for block, one in enumerate(chosen.values())
    ]
    with torch.inference_mode():
        logits = network.forward(parts, Store(shape, network.dtype, network.device))
    return {
        number: rows.double().log_softmax(-1)[[place - one.places[0] for place in one.places]]
        for (number, one), rows in zip(chosen.items(), logits, strict=True)
    }


@lru_cache(maxsize=2)
def _columns(quantization: str, convention: Convention, model: Model) -> tuple[tuple[str, ...], torch.Tensor]:
    """Return the names of all linear layers, and the change that each makes by itself, one in a column."""
    names: list[str] = []

    def note(name: str, weight: torch.Tensor) -> Linear:
        names.append(name)
        return plain_linear(name, weight)

    Llama(model.main, torch.float32, "cpu", LONGEST, note)
    return tuple(names), torch.stack([predict(quantization, convention, model, name) for name in names], 1)


def _solve(found: torch.Tensor, quantization: str, convention: Convention, model: Model) -> Reading:
    names, columns = _columns(quantization, convention, model)
    squares = columns.T @ columns
    ridge = _RIDGE * squares.diagonal().mean() * torch.eye(len(names), dtype=squares.dtype)
    coefficients = torch.linalg.solve(squares + ridge, columns.T @ found)
    rest = found - columns @ coefficients
    unexplained = float(rest.square().sum() / found.square().sum())
    if unexplained > EXPLAINED:
        whole = predict(quantization, convention, model)
        part = float(found @ whole / whole.square().sum())
        beside = float((found - whole).square().sum() / whole.square().sum())
        # Where factors are searched for, another search rounds other numbers in some layers.
        is_foreign = beside > FOREIGN and part > WHOLE and not algorithm_of(quantization).channel_scaling
        return Reading("", unexplained, {}, foreign=convention.name if is_foreign else "")
    inverse = torch.linalg.inv(squares + ridge)
    errors = (rest.square().mean() * inverse.diagonal()).sqrt()
    unquantized = set(algorithm_of(quantization).unquantized)
    told = {
        name: (float(value), float(error))
        for name, value, error in zip(names, coefficients, errors, strict=True)
        if name not in unquantized
    }
    left = tuple(name for name, (value, error) in told.items() if value + ERRORS * error < LEFT)
    return Reading(convention.name, unexplained, {name: value for name, (value, _) in told.items()}, left)
