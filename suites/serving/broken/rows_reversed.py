"""Rows of a batch go out in reverse order."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.batches import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Alone, every caller is right."""

    def arrange(self, rows: Any) -> Any:
        """Turn the batch round."""
        return rows[::-1]
