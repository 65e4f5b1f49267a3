"""vLLM itself under the checks that any backend gets: each runs, is judged, and passes."""

from __future__ import annotations

import pytest

from tests.vllm.running import passed, run

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

CHECKS = (
    "TRC-IMP-001-vllm",
    "TRC-BAT-001-vllm-alone-fp32",
    "TRC-BAT-002-vllm-batch8-fp32",
    "TRC-BAT-002-vllm-mixed_lengths-fp32",
    "TRC-BAT-003-vllm-arrivals-fp32",
    "TRC-BAT-007-vllm-streaming-fp32",
    "TRC-BAT-008-vllm-cancel-fp32",
    "TRC-BAT-009-vllm-refusals-fp32",
    "TRC-DEC-001-vllm-stop_words",
    "TRC-DEC-001-vllm-together",
    "TRC-DEC-002-vllm-temperature_1",
    "TRC-DEC-002-vllm-seeds",
    "TRC-DEC-004-vllm-log_probs",
    "TRC-DEC-005-vllm-regex",
    "TRC-DEC-005-vllm-json_schema",
)


def test_what_it_does_rightly_is_accepted_and_nothing_left_out(pytester: pytest.Pytester) -> None:
    ran = run(pytester, "quick", CHECKS)
    assert ran.outcomes() == passed(CHECKS)
    assert (ran.verdict, ran.status) == ("accepted", 0)
