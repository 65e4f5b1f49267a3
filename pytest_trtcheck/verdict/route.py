"""How the parts of a stack came to be there, as the install route says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_trtcheck.verdict.base import Context

_FROM_SOURCE = re.compile(r"source|build|built|compil|no-binary|editable|(?:^|\s)-e\s|setup\.py|cmake", re.IGNORECASE)
_FROM_INDEX = re.compile(r"\bpip\d?\b|wheel|\buv\b", re.IGNORECASE)


def is_built_here(context: Context) -> bool:
    """Say whether the install route says that parts were compiled in this environment."""
    return any(_FROM_SOURCE.search(text) for text in context.values("install"))


def is_for_cpus(context: Context, key: str) -> bool:
    """Say whether a component's installed build computes on CPUs: by its distribution's name, or by its label."""
    fact = context.stack.facts[key]
    return "_cpu-" in fact.where.rpartition("/")[2] or "cpu" in (fact.value or "").partition("+")[2]


def is_from_index(context: Context) -> bool:
    """Say whether the install route is pip or a wheel, which bring the libraries they need as packages."""
    return any(_FROM_INDEX.search(text) for text in context.values("install")) and not is_built_here(context)
