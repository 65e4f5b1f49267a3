"""The last token before the end mark is never sent."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_trtcheck._suites.serving.models.tensorrt_llm import Asked
from pytest_trtcheck._suites.serving.models.tensorrt_llm import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """An off-by-one at the end of a loop."""

    def steps(self, asked: Asked) -> Iterator[tuple[int, float]]:
        """Leave out the last but one."""
        made = list(super().steps(asked))
        yield from [*made[:-2], *made[-1:]]
