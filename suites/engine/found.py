"""What a check of the engine suite comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Comparison

MOST_WORDS = 400
LEAST_WORDS = 8
"""Characters of a refusal below which it says nothing."""
Found = tuple[str, "Comparison | None"]
"""Words for the report, and the comparison where there is one."""


class WrongError(Exception):
    """A check found something; the text says what."""

    def __init__(self, words: str, comparison: Comparison | None = None) -> None:
        super().__init__(words)
        self.comparison = comparison
