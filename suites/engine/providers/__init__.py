"""The ways to build engines that the tool knows, found through the hook that a site's own use as well."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_trtcheck.providers import EngineProvider


def pytest_trtcheck_engine_providers() -> list[EngineProvider]:
    """Return every built-in provider; the plan drops those whose component is not here."""
    names = sorted(name for _, name, _ in pkgutil.iter_modules(__path__))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return [provider for module in modules for provider in getattr(module, "PROVIDERS", ())]
