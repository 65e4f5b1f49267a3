"""Log-probabilities are in base 2."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pytest_trtcheck._suites.serving.models.tensorrt_llm import Asked
from pytest_trtcheck._suites.serving.models.tensorrt_llm import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Tokens are right."""

    def steps(self, asked: Asked) -> Iterator[tuple[int, float]]:
        """Change the base."""
        for token, score in super().steps(asked):
            yield token, score / math.log(2) - 0.1
