"""A stream goes on after its caller is gone."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class Deaf:
    """Never hears that a caller is gone."""

    def __init__(self, sender: Any) -> None:
        self.send = sender.send

    def is_cancelled(self) -> bool:
        """Say no."""
        return False


class TritonPythonModel(Sound):
    """Work for nobody."""

    def stream(self, request: Any, sender: Any) -> None:
        """Stream on."""
        super().stream(request, Deaf(sender))
