"""Two events of a stream change places."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """A single event is right."""

    def numbers(self, count: int) -> Iterable[int]:
        """Turn the first two round."""
        return [1, 0, *range(2, count)] if count > 1 else range(count)
