"""All events of a stream come together, at its end."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class Held:
    """Keeps what is sent until the end."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender
        self.held: list[Any] = []

    def is_cancelled(self) -> bool:
        """Pass on what the sender says."""
        return bool(self.sender.is_cancelled())

    def send(self, response: Any = None, flags: int = 0) -> None:
        """Keep a response, and send all with the final flag."""
        if not flags:
            self.held.append(response)
            return
        for kept in self.held:
            self.sender.send(kept)
        self.sender.send(flags=flags)


class TritonPythonModel(Sound):
    """No stream at all."""

    def stream(self, request: Any, sender: Any) -> None:
        """Stream into a buffer."""
        super().stream(request, Held(sender))
