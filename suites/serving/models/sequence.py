"""Adds up the numbers of each sequence; the server's sequence batcher says where one begins and ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Keeps one sum for each sequence that is open."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin with no sequence."""
        self.sums: dict[int, int] = {}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return the sum so far, for each request."""
        responses = []
        for request in requests:
            number, start, end, sequence = (
                int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0])
                for name in ("NUMBER", "START", "END", "CORRELATION")
            )
            total = number + (0 if start else self.sums.get(sequence, 0))
            self.sums[sequence] = total
            if end:
                del self.sums[sequence]
            answer = pb_utils.Tensor("SUM", np.array([[total]], np.int32))
            responses.append(pb_utils.InferenceResponse([answer]))
        return responses
