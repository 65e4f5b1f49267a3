"""Decoupled: answers one request with a counted stream. Each event has its number and its caller's mark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class TritonPythonModel:
    """Streams run side by side, a thread each."""

    def initialize(self, args: dict[str, str]) -> None:
        """Begin with no stream."""
        self.threads: list[threading.Thread] = []

    def execute(self, requests: list[Any]) -> None:
        """Start a stream for each request; the responses come later."""
        for request in requests:
            thread = threading.Thread(target=self.stream, args=(request, request.get_response_sender()), daemon=True)
            self.threads = [*(other for other in self.threads if other.is_alive()), thread]
            thread.start()

    def stream(self, request: Any, sender: Any) -> None:
        """Send all events of one request, until it is cancelled, and then that it was the last."""
        count, mark, delay = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0]
            for name in ("COUNT", "MARK", "DELAY_MS")
        )
        for number in self.numbers(int(count)):
            if sender.is_cancelled():
                break
            time.sleep(int(delay) / 1000)
            if mark == b"fail-at-%d" % number:
                error = pb_utils.TritonError("the model failed in a stream as it was asked to")
                sender.send(pb_utils.InferenceResponse(error=error))
                break
            sender.send(self.event(number, mark))
        self.finish(sender)

    def numbers(self, count: int) -> Iterable[int]:
        """Return the numbers of the events, in order."""
        return range(count)

    def event(self, number: int, mark: bytes) -> Any:
        """Return one event of a stream."""
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("NUMBER", np.array([number], np.int32)),
                pb_utils.Tensor("MARK_OUT", np.array([mark], np.object_)),
                pb_utils.Tensor("OPEN", np.array([sum(map(threading.Thread.is_alive, self.threads))], np.int32)),
            ]
        )

    def finish(self, sender: Any) -> None:
        """Tell that no more will come."""
        sender.send(flags=FINAL)

    def finalize(self) -> None:
        """Wait for streams that still run."""
        for thread in self.threads:
            thread.join(5)
