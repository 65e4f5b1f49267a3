"""Every request leaves an error in the log."""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb_utils

from pytest_trtcheck._suites.serving.models.echo import TritonPythonModel as Sound


class TritonPythonModel(Sound):
    """Its answers are right."""

    def pass_on(self, values: Any) -> Any:
        """Complain."""
        pb_utils.Logger.log_error("something is wrong inside")
        return values
