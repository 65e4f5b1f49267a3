"""Whole numbers go through floating point."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Right for small numbers."""

    def pass_on(self, values: Any) -> Any:
        """Lose the last bits of long ones."""
        return values.astype(np.float64).astype(values.dtype) if values.dtype.kind in "iu" else values
