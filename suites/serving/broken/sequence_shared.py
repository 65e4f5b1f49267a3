"""All sequences share one sum."""

from __future__ import annotations

from pytest_trtcheck._suites.serving.models.sequence import TritonPythonModel as Sound


class Shared(dict[int, int]):
    """One place for every key."""

    def get(self, key: int, default: int = 0) -> int:  # type: ignore[override]
        """Return the only value."""
        return super().get(0, default)

    def __setitem__(self, key: int, value: int) -> None:
        super().__setitem__(0, value)

    def __delitem__(self, key: int) -> None:
        self.clear()


class TritonPythonModel(Sound):
    """Right for one sequence at a time."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin with one place."""
        self.sums = Shared()
