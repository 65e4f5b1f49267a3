"""vLLM's server of the OpenAI protocol under the checks of the suites that any such server gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vllm.running import passed, run
from tests.vllm.server import vllm_server

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

CHECKS = (
    "TRC-IMP-001-numpy",
    "TRC-SRV-022-openai-models",
    "TRC-SRV-023-openai-completions",
    "TRC-SRV-024-openai-chat",
    "TRC-SRV-025-openai-completions-stream",
    "TRC-SRV-025-openai-chat-stream",
    "TRC-SRV-026-openai-stop",
    "TRC-SRV-027-openai-logprobs",
    "TRC-SRV-028-openai-errors",
    "TRC-BAT-001-openai-alone-bf16",
    "TRC-BAT-002-openai-mixed_lengths-bf16",
    "TRC-BAT-007-openai-streaming-bf16",
    "TRC-BAT-008-openai-cancel-bf16",
    "TRC-DEC-001-openai-stop_words",
    "TRC-DEC-002-openai-seeds",
    "TRC-DEC-004-openai-log_probs",
)


def test_its_server_passes_and_nothing_is_left_out(pytester: pytest.Pytester, tmp_path: Path) -> None:
    with vllm_server(tmp_path / "server.log") as server:
        ran = run(pytester, "quick", CHECKS, f"--trtcheck-openai-url={server}")
    assert ran.outcomes() == passed(CHECKS)
    assert (ran.verdict, ran.status) == ("accepted", 0)
