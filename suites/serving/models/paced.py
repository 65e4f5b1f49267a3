"""Takes as long as it is told to, and says when it began and ended, in nanoseconds of the monotonic clock."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

STEP_SECONDS = 0.01


class TritonPythonModel:
    """One request after the other."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request; a cancelled one ends early."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """Wait, and tell when that was."""
        milliseconds = pb_utils.get_input_tensor_by_name(request, "WAIT_MS").as_numpy().reshape(-1)[0]
        began = time.monotonic_ns()
        while time.monotonic_ns() - began < int(milliseconds) * 1_000_000:
            if request.is_cancelled():
                break
            time.sleep(STEP_SECONDS)
        times = np.array([[began, time.monotonic_ns()]], np.int64)
        return pb_utils.InferenceResponse([pb_utils.Tensor("TIMES", times)])
