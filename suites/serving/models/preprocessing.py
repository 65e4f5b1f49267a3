"""First step of the LLM ensemble: text to the probe model's tokens, words to stop at to lists of tokens."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, PAD, encode


class TritonPythonModel:
    """Speaks the tensors that the TensorRT-LLM backend's own preprocessing speaks."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters and the types of the outputs."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        self.begin = [BOS] if parameters.get("add_special_tokens", "true").lower() == "true" else []
        self.types = {entry["name"]: pb_utils.triton_string_to_numpy(entry["data_type"]) for entry in config["output"]}

    def execute(self, requests: list[Any]) -> list[Any]:
        """Return one response for each request."""
        return [self.answer(request) for request in requests]

    def answer(self, request: Any) -> Any:
        """Tokenize the texts of one request, one for each row."""
        given = {entry.name(): entry.as_numpy() for entry in request.inputs()}
        rows = [[*self.begin, *encode(text.decode())] for text in given["QUERY"].reshape(-1)]
        width = max(map(len, rows))
        count = len(rows)
        values = {
            "INPUT_ID": [row + [PAD] * (width - len(row)) for row in rows],
            "REQUEST_INPUT_LEN": [[len(row)] for row in rows],
            "REQUEST_OUTPUT_LEN": given["REQUEST_OUTPUT_LEN"],
            "BAD_WORDS_IDS": [word_list(given.get("BAD_WORDS_DICT"))] * count,
            "STOP_WORDS_IDS": [word_list(given.get("STOP_WORDS_DICT"))] * count,
            "OUT_END_ID": given.get("END_ID", [[EOS]] * count),
            "OUT_PAD_ID": given.get("PAD_ID", [[PAD]] * count),
        }
        tensors = [pb_utils.Tensor(name, np.array(values[name], kind)) for name, kind in self.types.items()]
        return pb_utils.InferenceResponse(tensors)


def word_list(words: Any) -> list[list[int]]:
    """Return the backend's form of a list of words: all their tokens, and where each word ends; -1 fills up."""
    found = [encode(word.decode()) for word in ([] if words is None else words.reshape(-1)) if word]
    tokens = [token for word in found for token in word]
    ends = [sum(map(len, found[: place + 1])) for place in range(len(found))]
    return [tokens or [-1], ends + [-1] * (max(1, len(tokens)) - len(ends))]
