"""Which algorithms a level asks for, how much it asks, and what that is as requests; no torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.tasks import VOCABULARY
from pytest_trtcheck._suites.quantization.significance import ALPHA, questions_needed
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import LlmCase, Request, Setup
from pytest_trtcheck.rules.quantization import DTYPES

if TYPE_CHECKING:
    from pytest_trtcheck.rules.quantization import Figures

PARTS = {"easy": "TRC-QNT-001", "hard": "TRC-QNT-002", "golden": "TRC-QNT-003", "layers": "TRC-QNT-004"}
"""Questions to one setup of one backend, and the check that each is."""
BROKEN_HOOK_CHECK = "TRC-QNT-005"

SETUPS = (
    ("int8_weight_only", ""),
    ("int4_weight_only", ""),
    ("fp8", ""),
    ("int8_smooth_quant", ""),
    ("int4_awq", ""),
    ("w4a8_awq", ""),
    ("nvfp4", ""),
    ("mxfp4", ""),
    ("mxfp4_weight_only", ""),
    ("", "fp8_e4m3"),
    ("", "int8"),
    ("fp8", "fp8_e4m3"),
)
"""Algorithm and KV cache, as they are asked of backends."""
_AT_QUICK = 3

LOSSES = {
    Level.QUICK: {"easy": 0.10, "hard": 0.20},
    Level.STANDARD: {"easy": 0.08, "hard": 0.17},
    Level.FULL: {"easy": 0.07, "hard": 0.15},
}
"""Loss of the share of right answers that a level is to see; how many questions that takes follows from it. Smaller
losses than those of level full do not stand out from the few hundred questions that the records rest on."""

GOLDEN_LONGEST = 140
"""Tokens of the longest golden prompts that are compared: the others cost more than all of these together."""


def setups(level: Level) -> tuple[tuple[str, str], ...]:
    """Return the algorithms and caches of a level."""
    return SETUPS[:_AT_QUICK] if level in {Level.STATIC, Level.QUICK} else SETUPS


def counts(recorded: Figures, level: Level) -> dict[str, int]:
    """Return how many questions of each kind a level asks, so that it sees the loss that it is to see."""
    losses = LOSSES.get(level, LOSSES[Level.QUICK])
    return {
        kind: questions_needed(recorded.right[kind], recorded.asked[kind], loss, ALPHA / 2)
        for kind, loss in losses.items()
    }


def case_of(part: str, setup: Setup) -> LlmCase:
    """Return what a part asks of a backend: one request of its kind stands for all of them."""
    request = Request((1,), max_tokens=1, log_probs=VOCABULARY if part in {"golden", "layers"} else 0)
    return LlmCase(f"{setup.name}-{part}", setup, (request,))


def candidates(quantization: str, kv_dtype: str) -> tuple[Setup, ...]:
    """Return the setups for an algorithm, that with the least other noise first."""
    return tuple(Setup(dtype, quantization, kv_dtype) for dtype in DTYPES)
