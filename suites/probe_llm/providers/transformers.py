"""transformers: ``generate`` over static batches, padded on the left.

Requests that decode alike share a batch; seeded, streamed and speculating ones run alone, as the library has it.
Stop strings and speculation exclude each other: 5.23.0 looks for them only at the end of each step, where several
tokens may have come, and a draft model refuses them for want of a tokenizer.
Source: generation/utils.py, configuration_utils.py and stopping_criteria.py of the wheels 4.45.2 to 5.23.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.support.reasons import first_of, older
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers.llm import lacking

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where

OLDEST = "4.45"
"""First release whose ``generate`` has all that is called here: rows of a batch that stop by themselves, stop strings,
logits, several tokens to a streamer."""
CHUNKS_SINCE = "5.12"
"""``prefill_chunk_size`` is there from 4.51 on; with it 4.57.6 and 5.0.0 were seen to answer padded rows of a batch
wrongly, 5.12.1 and 5.23.0 rightly."""
STATIC_SINCE = "4.57"
"""First release in which a static cache was seen to come up; 4.45.2 raises for lack of its own arguments."""
ABILITIES = frozenset(
    {
        "fp32", "fp16", "bf16", "slots", "length_limit", "streaming", "cancel", "sampling", "top_k", "top_p", "seed",
        "beam_search", "length_penalty", "repetition_penalty", "stop_words", "bad_words", "log_probs",
    }
)  # fmt: skip
SPECULATIONS = frozenset({"ngram", "draft"})
QUANTIZED_CACHES = {"optimum-quanto": "quanto", "hqq": "hqq"}
"""Distributions that hold keys and values in int8 for transformers, and what it calls them."""


def cache_backend(where: Where) -> str:
    """Return the quantized cache that can be had here, as transformers calls it; empty for none."""
    return next((name for distribution, name in QUANTIZED_CACHES.items() if distribution in where.distributions), "")


class Transformers:
    """One model, one kind of cache."""

    component = "transformers"

    def __init__(self, name: str = "transformers", cache: str = "", first_level: Level = Level.QUICK) -> None:
        """``cache`` is the ``cache_implementation``; empty for the library's choice."""
        self.name, self.cache, self.first_level = name, cache, first_level

    def abilities(self, where: Where) -> frozenset[str]:
        """Return what the installed release can do here."""
        found = set(ABILITIES)
        if "peft" in where.distributions:
            found.add("adapter")
        if not self.cache:
            found |= SPECULATIONS
            found |= {"int8_kv"} if cache_backend(where) else set()
            found |= set() if older(where, "transformers", CHUNKS_SINCE) else {"chunked_context"}
        return frozenset(found)

    def why_not(self, case: LlmCase, where: Where) -> str:
        """Return what the library lacks, and which of its abilities exclude each other."""
        beams = any(request.beams > 1 for request in case.requests)
        streams = any(request.streaming for request in case.requests)
        stops = any(request.stop for request in case.requests)
        speculates, is_static = bool(case.setup.speculation), bool(self.cache)
        return first_of((
            (older(where, "transformers", OLDEST), f"the calls used here came with transformers {OLDEST}"),
            (is_static and older(where, "transformers", STATIC_SINCE), f"not before transformers {STATIC_SINCE}"),
            (is_static and where.device == "cpu", "a static cache is for compiled steps on GPUs"),
            (beams and (streams or speculates), "beams are neither streamed nor speculated on"),
            (beams and any(one.temperature > 0 for one in case.requests), "beams of sampled tokens are not asked for"),
            (beams and any(one.cancel_after for one in case.requests), "beams cannot be cancelled one by one"),
            (stops and speculates, "stop strings among proposed tokens are passed over"),
            (bool(case.setup.chunk) and speculates, "prompts are read whole where there is speculation"),
        )) or lacking(case, self.abilities(where))  # fmt: skip

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Load model, tokenizer, adapter and draft model, from the folders alone."""
        from pytest_trtcheck._suites.probe_llm.providers.transformers_session import Session

        return Session(setup, model, where, self.cache)


BACKENDS = (Transformers(), Transformers("transformers_static", "static", Level.STANDARD))
