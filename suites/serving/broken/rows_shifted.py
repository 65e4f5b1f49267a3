"""In full batches, each row goes to the next caller."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_trtcheck._suites.serving.models.batches import TritonPythonModel as Sound

FULL = 16


class TritonPythonModel(Sound):
    """Right until the server is busy."""

    def arrange(self, rows: Any) -> Any:
        """Shift a full batch."""
        return np.roll(rows, 1, axis=0) if len(rows) >= FULL else rows
