"""What broken kernels share: one mistake in one step, and in which cases it can show at all."""

from __future__ import annotations

from typing import ClassVar

from pytest_trtcheck._suites.attention.providers.eager import Eager
from pytest_trtcheck.providers import AttentionCase, Where


class Broken(Eager):
    """A kernel with one mistake."""

    needs: ClassVar[frozenset[str]] = frozenset()
    """The mistake shows only in cases that have one of these features or this dtype; empty for all cases."""

    def why_not(self, case: AttentionCase, where: Where) -> str:  # noqa: ARG002
        """Return why this kernel gives the right answer to a case; empty where it may not."""
        there = case.features | {case.dtype} | ({"nan_query"} if case.nan_query else set())
        if not self.needs or self.needs & there:
            return ""
        return f"the mistake shows only with {', '.join(sorted(self.needs))}"
