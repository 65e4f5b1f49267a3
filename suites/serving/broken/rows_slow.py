"""Sound: takes its time for each batch."""

from __future__ import annotations

import time
from typing import Any

from pytest_trtcheck._suites.serving.models.batches import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Slow is not wrong."""

    def arrange(self, rows: Any) -> Any:
        """Wait."""
        time.sleep(0.02)
        return rows
