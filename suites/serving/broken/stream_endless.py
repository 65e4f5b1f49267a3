"""The final flag of a stream is never sent."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """All events come, and then nothing."""

    def finish(self, sender: Any) -> None:
        """Say nothing."""
