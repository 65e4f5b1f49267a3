"""One event of a stream comes twice."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """A single event is right."""

    def numbers(self, count: int) -> Iterable[int]:
        """Repeat the last."""
        return [*range(count), *range(count - 1, count)] if count > 1 else range(count)
