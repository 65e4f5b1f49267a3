"""torch's own low-precision kernels in the built-in engine: products of int8 and fp8, packed int8 and int4 weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

_KERNELS = {
    "cpu": {
        "int8_smooth_quant": ("fp32", "bf16"),
        "fp8": ("fp32", "bf16"),
        # In fp32 the packed kernels have no vector code and take a hundred times as long.
        "int8_weight_only": ("bf16",),
        "int4_awq": ("bf16",),
    },
    "cuda": {"int8_smooth_quant": ("fp32", "bf16"), "fp8": ("bf16",)},
}
"""Types of what is not quantized, by device and algorithm: ``_int_mm``, ``_scaled_mm``, ``_weight_int8pack_mm`` and
``_weight_int4pack_mm_for_cpu`` of torch 2.13."""
_FP8_FROM = (8, 9)
"""Lowest compute capability with fp8 products."""


class TorchKernels:
    """Weights are packed and multiplied by the kernels that torch brings; see ``kernels``."""

    name = "torch_kernels"
    component = "torch"

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what torch has no kernel for here."""
        setup = case.setup
        if not setup.quantization:
            return "no quantization asked for"
        dtypes = _KERNELS[where.device].get(setup.quantization, ())
        if not dtypes:
            return f"torch has no kernel for {setup.quantization} on {where.device}"
        capability = tuple(int(part) for part in where.compute_capability.split(".") if part.isdecimal())
        if setup.quantization == "fp8" and where.device == "cuda" and capability < _FP8_FROM:
            return "fp8 products want compute capability 8.9"
        return lacking(case, frozenset({*dtypes, setup.quantization, "log_probs"}))

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Quantize and pack the weights."""
        from pytest_trtcheck._suites.quantization.kernels import KernelSession

        return KernelSession(setup, model, where.device)
