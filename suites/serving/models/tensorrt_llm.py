"""Middle step of the LLM ensemble: the probe model on a CPU, behind the tensors of the TensorRT-LLM backend."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils

from pytest_trtcheck._suites.probe_llm.checkpoint import load
from pytest_trtcheck._suites.probe_llm.reference import Cache
from pytest_trtcheck._suites.probe_llm.tasks import EOS

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Greedy decoding; streams run side by side, a thread each."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the checkpoint that the configuration names."""
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config.get("parameters", {}).items()}
        torch.set_num_threads(1)
        self.model = load(Path(parameters["gpt_model_path"]))
        self.decoupled = bool(config.get("model_transaction_policy", {}).get("decoupled", False))
        self.exclude_input = parameters.get("exclude_input_in_output", "false").lower() == "true"
        self.outputs = [
            (
                entry["name"],
                pb_utils.triton_string_to_numpy(entry["data_type"]),
                [max(1, int(size)) for size in entry["dims"]],
            )
            for entry in config["output"]
        ]
        self.threads: list[threading.Thread] = []

    def execute(self, requests: list[Any]) -> list[Any] | None:
        """Return one response for each request, or start a stream for each where the model is decoupled."""
        if not self.decoupled:
            return [self.whole(request) for request in requests]
        for request in requests:
            thread = threading.Thread(target=self.stream, args=(request, request.get_response_sender()), daemon=True)
            self.threads = [*(other for other in self.threads if other.is_alive()), thread]
            thread.start()
        return None

    def whole(self, request: Any) -> Any:
        """Return all tokens of one request."""
        asked = Asked(request)
        steps = list(self.steps(asked))
        return self.response(asked, [token for token, _ in steps], [score for _, score in steps])

    def stream(self, request: Any, sender: Any) -> None:
        """Send the tokens of one request as they come, or all together when it does not want a stream."""
        try:
            asked = Asked(request)
            tokens: list[int] = []
            scores: list[float] = []
            for token, score in self.steps(asked):
                if sender.is_cancelled():
                    break
                tokens.append(token)
                scores.append(score)
                if asked.streaming:
                    self.send(sender, self.response(asked, [token], [score]))
            if not asked.streaming:
                self.send(sender, self.response(asked, tokens, scores))
        except Exception as error:  # noqa: BLE001 - the caller must hear of it, and that it was the last
            sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error))))
        sender.send(flags=FINAL)

    def send(self, sender: Any, response: Any) -> None:
        """Send one response of a stream."""
        sender.send(response)

    def steps(self, asked: Asked) -> Iterator[tuple[int, float]]:
        """Yield tokens with their log-probability until the end mark, a word to stop at or the limit."""
        cache = Cache()
        new, made = asked.tokens, list[int]()
        with torch.inference_mode():
            while len(made) < asked.limit:
                scores = self.model.logits(new, cache)[-1].float().log_softmax(-1)
                made.append(int(scores.argmax()))
                yield made[-1], float(scores[made[-1]])
                if made[-1] == asked.end or any(made[-len(word) :] == word for word in asked.stop_words):
                    return
                new = made[-1:]

    def response(self, asked: Asked, tokens: list[int], scores: list[float]) -> Any:
        """Return a response with every output that the configuration declares; those not asked for are zeros."""
        shown = tokens if asked.exclude_input(self.exclude_input) else [*asked.tokens, *tokens]
        values = {
            "output_ids": [[shown]],
            "sequence_length": [[len(shown)]],
            "cum_log_probs": [[math.fsum(scores)]],
            "output_log_probs": [[scores]],
        }
        tensors = []
        for name, kind, dims in self.outputs:
            value = np.array(values[name], kind) if name in values else np.zeros([1, *dims], kind)
            tensors.append(pb_utils.Tensor(name, value))
        return pb_utils.InferenceResponse(tensors)

    def finalize(self) -> None:
        """Wait for streams that still run."""
        for thread in self.threads:
            thread.join(5)


class Asked:
    """One request, read."""

    def __init__(self, request: Any) -> None:
        given = {entry.name(): entry.as_numpy() for entry in request.inputs()}
        length = int(given["input_lengths"].reshape(-1)[0])
        self.tokens = [int(token) for token in given["input_ids"].reshape(-1)[:length]]
        self.limit = int(given["request_output_len"].reshape(-1)[0])
        self.end = self._number(given, "end_id", EOS)
        self.streaming = bool(self._number(given, "streaming", 0))
        self.stop_words = _words(given.get("stop_words_list"))
        self._exclude = self._number(given, "exclude_input_in_output", -1)
        beams = self._number(given, "beam_width", 1)
        if beams != 1:
            raise ValueError(f"beam_width: this model decodes greedily, expected 1, found {beams}")
        if self.limit < 1:
            raise ValueError(f"request_output_len: expected 1 or more, found {self.limit}")

    def exclude_input(self, default: bool) -> bool:
        """Say whether the prompt's tokens stay out of the answer."""
        return default if self._exclude < 0 else bool(self._exclude)

    @staticmethod
    def _number(given: dict[str, Any], name: str, default: int) -> int:
        return int(given[name].reshape(-1)[0]) if name in given else default


def _words(given: Any) -> list[list[int]]:
    """Return words from the backend's form: tokens, and where each word ends."""
    if given is None:
        return []
    tokens, ends = given.reshape(2, -1).tolist()
    words, begin = [], 0
    for end in ends:
        if end <= begin:
            break
        words.append(tokens[begin:end])
        begin = end
    return words
