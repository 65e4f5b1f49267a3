"""nvidia-modelopt: its quantizers put into transformers' model, as they are before an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

_ABILITIES = frozenset({"fp32", "log_probs"})
_ON_CPU = frozenset({"int8_weight_only", "int4_weight_only", "int8_smooth_quant", "int4_awq", "fp8", "w4a8_awq"})
"""The formats of four bits with block scales are rounded by CUDA kernels."""
_ON_GPU = _ON_CPU | {"nvfp4", "mxfp4"}


class ModelOpt:
    """transformers' Llama with modelopt's quantizers in it."""

    name = "modelopt"
    component = "modelopt"

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what modelopt, or what runs it here, lacks."""
        if "transformers" not in where.distributions:
            return "needs transformers, for the model that is quantized"
        if not case.setup.quantization:
            return "no quantization asked for"
        return lacking(case, _ABILITIES | (_ON_GPU if where.device == "cuda" else _ON_CPU))

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Load, calibrate and quantize the model."""
        from pytest_trtcheck._suites.quantization.modelopt_session import ModelOptSession

        return ModelOptSession(setup, model, where.device)
