"""Words to stop at are not looked at."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_trtcheck._suites.serving.models.tensorrt_llm import Asked
from pytest_trtcheck._suites.serving.models.tensorrt_llm import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Right without them."""

    def steps(self, asked: Asked) -> Iterator[tuple[int, float]]:
        """Forget them."""
        asked.stop_words = []
        yield from super().steps(asked)
