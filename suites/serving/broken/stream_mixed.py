"""One event of each stream is marked as another caller's."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound

WHICH = 5


class TritonPythonModel(Sound):
    """Right while one caller is served."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin with no caller."""
        super().initialize(args)
        self.marks: list[bytes] = []

    def event(self, number: int, mark: bytes) -> Any:
        """Give event WHICH to the caller after."""
        if mark not in self.marks:
            self.marks.append(mark)
        at = self.marks.index(mark) + (number == WHICH)
        return super().event(number, self.marks[at % len(self.marks)])
