"""Backends that bring low-precision arithmetic of their own, found through the hook that a site's own use as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck._suites.quantization.providers.modelopt import ModelOpt
from pytest_trtcheck._suites.quantization.providers.torch_kernels import TorchKernels

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmBackend


def pytest_trtcheck_llm_backends() -> list[LlmBackend]:
    """Return them; the plan drops those whose component is not here."""
    return [TorchKernels(), ModelOpt()]
