"""The one error of this package."""

from __future__ import annotations

from pytest_trtcheck.errors import TrtcheckError


class DescribedError(TrtcheckError):
    """A described stack cannot be read; the message names the file, the place in it, what was wanted and found."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        """Name the place, what was wanted there and what is there."""
        super().__init__(f"{where}: expected {expected}, found {found}")
        self.where = where
        self.expected = expected
        self.found = found
