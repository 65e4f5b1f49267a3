"""The built-in engine as a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

ABILITIES = frozenset(
    {
        "fp32", "fp16", "bf16", "slots", "length_limit", "kv_limit", "page_size", "prefix_reuse", "chunked_context",
        "arrivals", "streaming", "cancel", "log_probs", "sampling", "top_k", "top_p", "seed", "beam_search",
        "length_penalty", "repetition_penalty", "stop_words", "bad_words", "regex", "json_schema", "adapter", "ngram",
        "draft", "tensor_parallel2",
        "int8_weight_only", "int4_weight_only", "fp8", "int8_smooth_quant", "int4_awq", "w4a8_awq", "nvfp4", "mxfp4",
        "mxfp4_weight_only", "fp8_e4m3_kv", "int8_kv",
    }
)  # fmt: skip


class TorchEngine:
    """In-flight batching in plain torch, on CPU or GPU."""

    name = "torch"
    component = "torch"

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return what the engine lacks."""
        return lacking(case, ABILITIES)

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Read the model and allocate the cache."""
        from pytest_trtcheck._suites.probe_llm.engine.session import Session
        from pytest_trtcheck._suites.quantization.session import QuantizedSession

        if setup.quantization or setup.kv_dtype:
            return QuantizedSession(setup, model, where.device)
        return Session(setup, model, where.device)


BACKENDS: tuple[TorchEngine, ...] = (TorchEngine(),)
