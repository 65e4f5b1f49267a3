"""The LLM pipeline as one model that calls the others (business logic scripting)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
TO_PREPROCESSING = {
    "text_input": "QUERY",
    "max_tokens": "REQUEST_OUTPUT_LEN",
    "bad_words": "BAD_WORDS_DICT",
    "stop_words": "STOP_WORDS_DICT",
    "end_id": "END_ID",
    "pad_id": "PAD_ID",
}
TO_MODEL = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "STOP_WORDS_IDS": "stop_words_list",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
}
FROM_MODEL = {"output_ids": "TOKENS_BATCH", "sequence_length": "SEQUENCE_LENGTH"}


class TritonPythonModel:
    """One request after the other."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the parameters."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        self.model = parameters.get("tensorrt_llm_model_name", "tensorrt_llm")
        self.accumulate = parameters.get("accumulate_tokens", "false").lower() == "true"
        self.decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Return one response for each request, or send its responses where the model is decoupled."""
        if not self.decoupled:
            return [list(self.responses(request))[-1] for request in requests]
        for request in requests:
            sender = request.get_response_sender()
            for response in self.responses(request):
                sender.send(response)
            sender.send(flags=FINAL)
        return None

    def responses(self, request: Any) -> Iterator[Any]:
        """Yield the responses of one request; an error of a step is the last one."""
        given = {entry.name(): entry for entry in request.inputs()}
        try:
            first = self.ask("preprocessing", _renamed(given, TO_PREPROCESSING), None)
            tensors = _renamed({entry.name(): entry for entry in next(first).output_tensors()}, TO_MODEL)
            if "stream" in given:
                tensors.append(pb_utils.Tensor("streaming", given["stream"].as_numpy()))
            so_far = b""
            for answer in self.ask(self.model, tensors, list(FROM_MODEL)):
                made = {entry.name(): entry for entry in answer.output_tensors()}
                (text,) = next(self.ask("postprocessing", _renamed(made, FROM_MODEL), None)).output_tensors()
                so_far = (so_far if self.accumulate else b"") + text.as_numpy().reshape(-1)[0]
                yield pb_utils.InferenceResponse([pb_utils.Tensor("text_output", np.array([[so_far]], np.object_))])
        except pb_utils.TritonModelException as error:
            yield pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))

    def ask(self, model: str, tensors: list[Any], outputs: list[str] | None) -> Iterator[Any]:
        """Yield the responses of another model; TritonModelException for one that is an error."""
        names = outputs or {"preprocessing": list(TO_MODEL), "postprocessing": ["OUTPUT"]}[model]
        decoupled = self.decoupled and model == self.model
        asked = pb_utils.InferenceRequest(model_name=model, inputs=tensors, requested_output_names=names)
        answers = asked.exec(decoupled=True) if decoupled else [asked.exec()]
        for answer in answers:
            if answer.has_error():
                raise pb_utils.TritonModelException(answer.error().message())
            if answer.output_tensors():
                yield answer


def _renamed(given: dict[str, Any], names: dict[str, str]) -> list[Any]:
    """Return those tensors that the other model has a name for, under that name."""
    return [pb_utils.Tensor(new, given[old].as_numpy()) for old, new in names.items() if old in given]
