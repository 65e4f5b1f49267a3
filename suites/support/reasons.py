"""What providers say when they decline: reasons in their order, releases and GPUs compared, a library's words cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_trtcheck.model.versions import Capability, DottedVersion, PackageVersion

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Where

MOST_WORDS = 300
"""Characters of a library's refusal that are kept: compilers append whole programs to theirs."""


def first_of(reasons: Iterable[tuple[bool, str]]) -> str:
    """Return the words of the first reason that holds, empty when none does."""
    return next((words for holds, words in reasons if holds), "")


def on_one_line(words: str) -> str:
    """Return what a library said on one line, cut where it goes on for long."""
    line = " ".join(words.split())
    return line if len(line) <= MOST_WORDS else f"{line[: MOST_WORDS - 1]}…"


def older(where: Where, component: str, release: str) -> bool:
    """Say whether a component is older than a release. Alphas count as the release: NGC names its builds so."""
    version = PackageVersion.try_parse(where.versions.get(component))
    return version is not None and version.base < DottedVersion.parse(release)


def below(where: Where, capability: str) -> bool:
    """Say whether the GPU's compute capability is lower; False where none is known."""
    found = Capability.try_parse(where.compute_capability)
    return found is not None and found < Capability.parse(capability)
