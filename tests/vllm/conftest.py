"""What makes runs of the tool on vLLM short, and the same everywhere."""

from __future__ import annotations

import pytest

PLAIN = {
    # Engines run eagerly; this keeps torch.compile from the few functions of vLLM's that it decorates all the same.
    "TORCHDYNAMO_DISABLE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}


@pytest.fixture(scope="session", autouse=True)
def plain_environment() -> object:
    """Set the environment for all runs, and what the outer test run is told must not reach the inner ones."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        for name in ("PYTEST_ADDOPTS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "KUBERNETES_SERVICE_HOST"):
            patch.delenv(name, raising=False)
        yield
