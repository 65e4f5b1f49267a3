"""What may be there although the loader's search does not find it: the driver, the rest of a system, early guests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_trtcheck.binaries.closure import Mapped

NEARBY = "opened by Python code of its wheel"
"""How a library is found that the search does not come to; taken for granted where the file is there."""
BROUGHT_BY_WHEELS = frozenset(
    component.key for component in COMPONENTS if component.distributions and not component.python_only
) | {"tensorrt_plugin", "tensorrt_onnx_parser"}


@dataclass(frozen=True)
class Surroundings:
    """What may be there although no search of the loader finds it."""

    driver: bool = True
    """Libraries of the driver: a container gets them from its host."""
    system: bool = False
    """All that wheels do not bring: the root is a part of a system, a virtual environment alone."""
    nearby: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Paths, by file name, of libraries that Python code of their wheels may open before they are asked for."""

    def bring(self, name: str) -> bool:
        """Say whether a library that is not found may be there all the same."""
        provider = provider_of_library(name)
        return (self.driver and provider == "driver") or (self.system and provider not in BROUGHT_BY_WHEELS)

    def define(self, symbol: str, assumed: Iterable[str], scope: Iterable[Mapped]) -> bool:
        """Say whether a symbol that nothing defines may be one of a library that was assumed."""
        provider = provider_of_symbol(symbol)
        if not self.system:
            return provider in {provider_of_library(name) for name in assumed}
        here = {provider_of_library(mapped.path) for mapped in scope}
        return provider not in (here & BROUGHT_BY_WHEELS)
