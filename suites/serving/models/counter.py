"""Counts its executions, so that an answer from a cache can be told from a fresh one."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Answers depend on how often it was asked before."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin at zero."""
        self.count = 0

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return the number of the execution, for each request."""
        responses = []
        for _ in requests:
            self.count += 1
            number = np.array([[self.count]], np.int32)
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("COUNT", number)]))
        return responses
