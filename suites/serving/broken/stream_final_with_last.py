"""Sound: the final flag comes with the last event, where there is one."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.stream import FINAL
from pytest_trtcheck._suites.serving.models.stream import TritonPythonModel as Sound


class Late:
    """Sends each response when the next is known."""

    def __init__(self, sender: Any) -> None:
        self.sender = sender
        self.last: Any = None

    def is_cancelled(self) -> bool:
        """Pass on what the sender says."""
        return bool(self.sender.is_cancelled())

    def send(self, response: Any = None, flags: int = 0) -> None:
        """Send what came before, with the flag if it was the last."""
        if self.last is not None:
            self.sender.send(self.last, flags)
        elif flags == FINAL:
            self.sender.send(flags=flags)
        self.last = response


class TritonPythonModel(Sound):
    """One message less for each stream."""

    def stream(self, request: Any, sender: Any) -> None:
        """Stream one behind."""
        super().stream(request, Late(sender))
