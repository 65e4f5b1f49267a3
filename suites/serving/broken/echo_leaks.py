"""Every request keeps a file open and some memory."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Its answers are right."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin with nothing."""
        self.kept: list[Any] = []

    def pass_on(self, values: Any) -> Any:
        """Keep more and more."""
        self.kept.append((open("/dev/null", "rb"), b"x" * 10_000))  # noqa: PTH123, SIM115 - never closed on purpose
        return values
