"""Last step of the LLM ensemble: tokens to text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from pytest_trtcheck._suites.probe_llm.tasks import decode


class TritonPythonModel:
    """One text for each beam."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read how many dimensions the output has."""
        (output,) = json.loads(args["model_config"])["output"]
        self.dims = len(output["dims"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """Return the texts of one request."""
        tokens = pb_utils.get_input_tensor_by_name(request, "TOKENS_BATCH").as_numpy()
        lengths = pb_utils.get_input_tensor_by_name(request, "SEQUENCE_LENGTH")
        texts = [
            [
                self.text(beam[: int(lengths.as_numpy()[row][place])] if lengths else beam)
                for place, beam in enumerate(beams)
            ]
            for row, beams in enumerate(tokens)
        ]
        output = np.array(texts, np.object_).reshape(*tokens.shape[:2], *[1] * (self.dims - 1))
        return pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", output)])

    def text(self, tokens: Any) -> bytes:
        """Return the text of one sequence of tokens."""
        return decode([int(token) for token in tokens]).encode()
