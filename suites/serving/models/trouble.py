"""Does what a model must not do: raises, hangs, or ends its process, as it is asked to."""

from __future__ import annotations

import os
import time
from typing import Any

import triton_python_backend_utils as pb_utils

HANG_SECONDS = 3600


class TritonPythonModel:
    """Asked for nothing in particular, it answers."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Do as each request says."""
        return [
            self.act(pb_utils.get_input_tensor_by_name(request, "ACTION").as_numpy().reshape(-1)[0])
            for request in requests
        ]

    def act(self, action: bytes) -> Any:
        """Do one thing."""
        if action == b"raise":
            raise RuntimeError("the model raised as it was asked to")
        if action == b"exit":
            os._exit(7)
        if action == b"hang":
            time.sleep(HANG_SECONDS)
        if action == b"error":
            return pb_utils.InferenceResponse(
                error=pb_utils.TritonError("the model returned an error as it was asked to")
            )
        import numpy as np

        return pb_utils.InferenceResponse([pb_utils.Tensor("DONE", np.array([[action]], np.object_))])
