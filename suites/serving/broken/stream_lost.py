"""The last event of a stream is never sent."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """A single event is right."""

    def numbers(self, count: int) -> Iterable[int]:
        """Leave out the last."""
        return range(count - 1) if count > 1 else range(count)
