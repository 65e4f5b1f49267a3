"""The ways to serve the probe model that the tool knows, found through the hook that a site's own use as well."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from pytest_trtcheck.providers import LlmBackend


def pytest_trtcheck_llm_backends(config: pytest.Config) -> list[LlmBackend]:
    """Return every built-in backend; the plan drops those whose component is not here.

    A module has ``BACKENDS``, and may have ``backends_of``: those that an option asks for.
    """
    names = sorted(name for _, name, _ in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    found = [backend for module in modules for backend in getattr(module, "BACKENDS", ())]
    asked_for = [module.backends_of(config) for module in modules if hasattr(module, "backends_of")]
    return [*found, *(backend for backends in asked_for for backend in backends)]
