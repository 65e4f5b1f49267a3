"""TensorRT-LLM's LLM API, by its PyTorch backend and, where the release has it, by engines.

Written against recorded names, never run on the library itself. Names of arguments are taken from the installed
classes: releases refuse unknown ones, and what is missing is refused here by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.support.reasons import below, first_of, older
from pytest_trtcheck.model.versions import PackageVersion
from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

COMPONENT = "tensorrt_llm"
SHARED = frozenset(
    {
        "fp16", "bf16", "slots", "length_limit", "kv_limit", "prefix_reuse", "chunked_context",
        "arrivals", "streaming", "cancel", "sampling", "top_k", "top_p", "stop_words", "log_probs",
        "tensor_parallel2", "tensor_parallel4", "tensor_parallel8",
    }
)  # fmt: skip
TORCH_ABILITIES = SHARED | {"adapter", "ngram", "draft", "regex", "json_schema"}
"""Its default sampler heeds neither penalties, bad words nor seeds, and beams need another one."""
ENGINE_ABILITIES = SHARED | {
    "fp32", "page_size", "seed", "beam_search", "length_penalty", "repetition_penalty", "bad_words", "regex",
    "json_schema", "int8_weight_only", "int4_weight_only",
}  # fmt: skip
TORCH_SINCE = "1.0"
"""The PyTorch backend is ``tensorrt_llm.LLM``."""
PAGES_SINCE = "1.2"
"""Its KV cache takes the size of blocks."""
ENGINE_SINCE = "0.16"
"""Oldest release whose arguments were read under the names used here."""
LAST_WITH_ENGINES = "1.3.0rc20"
MOST_BEAMS = 4
"""Engines are built for so many."""


def after(where: Where, release: str) -> bool:
    """Say whether the installed release came after another, release candidates told apart."""
    version = PackageVersion.try_parse(where.versions.get(COMPONENT))
    return version is not None and PackageVersion.parse(release) < version


class TensorRtLlm:
    """The PyTorch backend."""

    name = "tensorrt_llm"
    component = COMPONENT
    open_seconds = 40.0
    """An estimate: it was not measured."""

    def abilities(self, where: Where) -> frozenset[str]:
        """Return what the installed release can do here."""
        found = set(TORCH_ABILITIES)
        if not older(where, COMPONENT, PAGES_SINCE):
            found.add("page_size")
        if not below(where, "8.9"):
            found.add("fp8_e4m3_kv")
        return frozenset(found)

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what the library lacks."""
        return first_of((
            (where.device != "cuda", "TensorRT-LLM runs on GPUs only"),
            (older(where, COMPONENT, TORCH_SINCE), f"the PyTorch backend is its own default from {TORCH_SINCE} on"),
            (case.setup.dtype == "fp32", "its attention takes fp16 and bf16"),
        )) or lacking(case, self.abilities(where))  # fmt: skip

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:  # noqa: ARG002
        """Bring the model up; Refused when the release lacks an argument or chose another attention backend."""
        from pytest_trtcheck._suites.probe_llm.providers.tensorrt_llm_session import open_torch

        return open_torch(setup, model)


class TensorRtLlmEngine:
    """An engine that is built when the model is brought up."""

    name = "tensorrt_llm_engine"
    component = COMPONENT
    open_seconds = 90.0
    """An estimate: it was not measured."""

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what the library lacks."""
        return first_of((
            (where.device != "cuda", "TensorRT-LLM runs on GPUs only"),
            (older(where, COMPONENT, ENGINE_SINCE), f"the calls used here were read from {ENGINE_SINCE} on"),
            (after(where, LAST_WITH_ENGINES), f"{LAST_WITH_ENGINES} is the last release with the engine backend"),
            (any(request.beams > MOST_BEAMS for request in case.requests), f"built for {MOST_BEAMS} beams at most"),
        )) or lacking(case, ENGINE_ABILITIES)  # fmt: skip

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Build the engine and bring it up; Refused when the release lacks an argument."""
        from pytest_trtcheck._suites.probe_llm.providers.tensorrt_llm_session import open_engine

        return open_engine(setup, model, has_torch_default=not older(where, COMPONENT, TORCH_SINCE))


BACKENDS = (TensorRtLlm(), TensorRtLlmEngine())
