"""A request goes on after its caller cancelled it."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.paced import TritonPythonModel as Sound


class Deaf:
    """Never hears of a cancellation."""

    def __init__(self, request: Any) -> None:
        self.inputs = request.inputs

    def is_cancelled(self) -> bool:
        """Say no."""
        return False


class TritonPythonModel(Sound):
    """Keeps the model from others."""

    def answer(self, request: Any) -> Any:
        """Go on."""
        return super().answer(Deaf(request))
