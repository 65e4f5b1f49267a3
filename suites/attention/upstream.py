"""The check that people know: TensorRT-LLM's ``tests/attention/test_bert_attention.py``, its inputs and its criterion.

The same in every release from 0.5.0 to 0.14.0.dev2024100800 (Apache-2.0, github.com/NVIDIA/TensorRT-LLM): hidden
states of scale 1e-3 go through a projection with Xavier weights and a bias of scale 1e-2, then through attention; the
answer must be within 1e-3 of BertSelfAttention of transformers. Attention is then all but uniform and the answer
nearly the bias of V, whatever the kernel does. It goes so far that upstream's reference multiplies by the transposed
weights (``torch.nn.Linear`` takes them as [out, in], upstream hands them over as [in, out]) and still agrees; that is
kept here.
"""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import metadata
from itertools import product
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.providers import AttentionCase, AttentionProvider, Refused, Where, component_of

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck._suites.attention.inputs import AttentionInputs

SECONDS_UPSTREAM = 255.0
"""What the 49 cases take upstream, most of it building engines."""

ATOL = 1e-3
RTOL = 1e-7
"""Default of ``numpy.testing.assert_allclose``."""
_INPUT_SCALE = 1e-3
_BIAS_SCALE = 1e-2

FMHA_OFF = "disabled"
FMHA_ON = "enabled"
FMHA_FP32 = "enabled_with_fp32_acc"


ENGINE = "tensorrt_llm_engine"
"""Provider that builds upstream's engine."""
STANDING_IN = {
    FMHA_OFF: ("torch_math", "torch_eager"),
    FMHA_ON: ("torch_flash", "torch_mem_efficient", "torch_math", "torch_eager"),
    FMHA_FP32: ("torch_cudnn", "torch_mem_efficient", "torch_flash", "torch_math", "torch_eager"),
}
"""Names of providers by context FMHA mode, in the order in which they are tried."""


@dataclass(frozen=True)
class GridCase:
    """One case of upstream's grid."""

    batch: int
    length: int
    heads: int
    head_size: int
    fmha: str
    """Context FMHA: ``disabled``, ``enabled`` or ``enabled_with_fp32_acc``."""
    dtype: str

    @property
    def name(self) -> str:
        """Return all of it in one word."""
        return f"{self.dtype}_b{self.batch}_s{self.length}_h{self.heads}_d{self.head_size}_fmha_{self.fmha}"

    @property
    def attention(self) -> AttentionCase:
        """Return the attention in it."""
        lengths = (self.length,) * self.batch
        return AttentionCase(
            "context", "full", "dense", lengths, lengths, self.heads, self.heads, self.head_size, self.dtype
        )


GRID: tuple[GridCase, ...] = (
    GridCase(1, 128, 12, 64, FMHA_OFF, "fp32"),
    *(
        GridCase(batch, length, 16, head_size, fmha, "fp16")
        for batch, length, head_size, fmha in product(
            (1, 8), (64, 256, 512, 1024), (32, 64), (FMHA_OFF, FMHA_ON, FMHA_FP32)
        )
    ),
)


@dataclass(frozen=True)
class GridOutcome:
    """One case by upstream's criterion."""

    passed: bool
    max_error: float | None
    """Largest difference from the reference; None where shapes differ or the answer holds what is no number."""
    seconds: float
    """What the provider took."""

    def describe(self) -> str:
        """Return the largest and the allowed difference."""
        found = "no number" if self.max_error is None else f"{self.max_error:.3g}"
        return f"largest difference from the reference: {found}, allowed {ATOL:g}"


def run_grid_case(case: GridCase, provider: AttentionProvider, device: str, seed: int) -> GridOutcome:
    """Draw inputs, run a provider and judge it as upstream does. What the provider raises goes on to the caller.

    Cases that differ in the FMHA mode only have the same inputs with the same seed.
    """
    return grid_outcome(case, provider, *_inputs_of_shape(replace(case, fmha=FMHA_OFF), device, seed))


@lru_cache(maxsize=1)
def _inputs_of_shape(case: GridCase, device: str, seed: int) -> tuple[AttentionInputs, torch.Tensor]:
    return make_grid_inputs(case, device, seed)


def grid_device() -> str:
    """Return where the grid runs: on a GPU where torch has one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def grid_providers(case: GridCase, device: str) -> list[AttentionProvider]:
    """Return the built-in providers that stand for a case's kernel and say that they can run here, the best first.

    Upstream's own engine where TensorRT-LLM is installed; else the kernel of torch that works as the mode asks.
    """
    from pytest_trtcheck._suites.attention.providers import pytest_trtcheck_attention_providers

    where = _where(device)
    there = {
        provider.name: provider
        for provider in pytest_trtcheck_attention_providers()
        if component_of(provider) in where.versions and not provider.why_not(case.attention, where)
    }
    return [there[name] for name in (ENGINE, *STANDING_IN[case.fmha]) if name in there]


def _where(device: str) -> Where:
    import torch

    found = {"torch": str(torch.__version__)}
    with contextlib.suppress(metadata.PackageNotFoundError):
        found["tensorrt_llm"] = metadata.version("tensorrt_llm")
    capability = ".".join(map(str, torch.cuda.get_device_capability())) if device == "cuda" else ""
    return Where(device, capability, found)


def run_on_first(
    case: GridCase, providers: Sequence[AttentionProvider], device: str, seed: int
) -> tuple[AttentionProvider, GridOutcome]:
    """Run the first provider whose library does not decline; Refused with all their words where every one does."""
    words = []
    for provider in providers:
        try:
            return provider, run_grid_case(case, provider, device, seed)
        except (Refused, NotImplementedError) as refusal:  # noqa: PERF203 - a handful of providers
            words.append(f"{provider.name}: {refusal}")
    raise Refused("; ".join(words) or f"no provider for {case.name}")


def make_grid_inputs(case: GridCase, device: str, seed: int) -> tuple[AttentionInputs, torch.Tensor]:
    """Return the inputs of attention, and what upstream expects, ``[batch, length, hidden size]``."""
    import torch

    from pytest_trtcheck._suites.support.dtypes import DTYPES

    dtype, hidden = DTYPES[case.dtype], case.heads * case.head_size
    generator = torch.Generator().manual_seed(seed)
    bound = math.sqrt(6 / (hidden + 3 * hidden))
    weight = torch.empty(hidden, 3 * hidden).uniform_(-bound, bound, generator=generator).to(device, dtype)
    bias = torch.randn(3 * hidden, generator=generator).to(device, dtype) * _BIAS_SCALE
    states = torch.randn(case.batch, case.length, hidden, generator=generator).to(device, dtype) * _INPUT_SCALE
    split = (case.batch, case.length, case.heads, case.head_size)
    q, k, v = (part.reshape(split) for part in (_product(states, weight) + bias).chunk(3, dim=-1))
    return _inputs(case, q, k, v), _bert_self_attention(case, states, weight, bias)


def _inputs(case: GridCase, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> AttentionInputs:
    import torch

    from pytest_trtcheck._suites.attention.inputs import AttentionInputs

    starts = torch.arange(case.batch + 1, dtype=torch.int32, device=q.device) * case.length
    lengths = torch.full((case.batch,), case.length, dtype=torch.int32, device=q.device)
    return AttentionInputs(
        (), q, torch.zeros_like(q), cu_q=starts, cu_k=starts, query_lengths=lengths, kv_lengths=lengths, k=k, v=v
    )


def _bert_self_attention(
    case: GridCase, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Return what transformers computes: every step in the dtype, weights as Linear takes them."""
    parts = zip(weight.chunk(3, dim=-1), bias.chunk(3), strict=True)
    split = (case.batch, case.length, case.heads, case.head_size)
    q, k, v = ((_product(states, part.T) + its_bias).view(split).transpose(1, 2) for part, its_bias in parts)
    scores = _product(q, k.transpose(-1, -2)) / math.sqrt(case.head_size)
    return _product(scores.softmax(dim=-1), v).transpose(1, 2).flatten(-2)


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a product summed in fp32 and rounded, as a GPU takes it; CPUs are very slow at fp16."""
    return (a.float() @ b.float()).to(a.dtype)


def grid_outcome(
    case: GridCase, provider: AttentionProvider, inputs: AttentionInputs, expected: torch.Tensor
) -> GridOutcome:
    """Run a provider and judge it as upstream does: ``assert_allclose`` with an absolute tolerance, nothing else."""
    import torch

    # Some kernels change what they are given, and upstream does not look: others get their own.
    own = copy.deepcopy(inputs)
    start = time.perf_counter()
    with torch.no_grad():
        answer: Any = provider.run(case.attention, own)
    if expected.device.type == "cuda":
        torch.cuda.synchronize(expected.device)
    seconds = time.perf_counter() - start
    if tuple(answer.shape) != tuple(inputs.q.shape):
        return GridOutcome(passed=False, max_error=None, seconds=seconds)
    found, wanted = answer.flatten(-2).float(), expected.float()
    is_close = bool(torch.isclose(found, wanted, rtol=RTOL, atol=ATOL, equal_nan=True).all())
    error = float((found - wanted).abs().max())
    return GridOutcome(is_close, error if math.isfinite(error) else None, seconds)
