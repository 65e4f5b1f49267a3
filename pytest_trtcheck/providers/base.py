"""What all kinds of providers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class Refused(Exception):  # noqa: N818 - it is no error: a library said that it does not do this
    """Raised by ``run`` when the library itself declines a case, with the library's words.

    The check is then ``not_run: refused``, or ``failed`` where the matrix says that it should work. NotImplementedError
    counts as a refusal too; any other exception is a failure.
    """


def component_of(provider: object) -> str:
    """Return the component whose release the matrix is asked about; empty for a provider that names none."""
    return str(getattr(provider, "component", ""))


@dataclass(frozen=True)
class Where:
    """The place a case would run in, known before anything native is loaded."""

    device: str
    """``cuda`` or ``cpu``, as torch names it."""
    compute_capability: str = ""
    """``9.0``; empty without a GPU."""
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Version of each component found, by its key in the stack vocabulary: ``torch``, ``flashinfer``, ``tensorrt`` …"""
    distributions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Version of every installed Python distribution, by its normalised name: ``flashinfer-jit-cache`` …"""
