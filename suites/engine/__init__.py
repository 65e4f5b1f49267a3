"""Suite ``engine``: graphs built into engines, saved, loaded elsewhere, run, and held against a reference in fp64."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck.session.run import Run

NATIVE = True
"""Checks build and run engines in their own process, and so need workers; see ``runs_native``."""
NEEDS = ()
"""What is needed is asked check by check: NumPy for the reference, TensorRT for its registry, nothing for headers."""


def runs_native(config: pytest.Config, run: Run) -> bool:
    """Say whether anything is built in the checks' own process: by TensorRT on a GPU, or by a site's provider."""
    from pytest_trtcheck._suites.engine import providers

    hooks = config.hook.pytest_trtcheck_engine_providers.get_hookimpls()
    is_foreign = any(hook.plugin is not providers for hook in hooks)
    return is_foreign or bool(run.stack.get("tensorrt").is_found and run.stack.gpus)
