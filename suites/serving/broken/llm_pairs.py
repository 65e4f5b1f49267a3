"""Sound: streams two tokens in one response."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck._suites.serving.models.tensorrt_llm import FINAL, Asked
from pytest_trtcheck._suites.serving.models.tensorrt_llm import TritonPythonModel as Sound

SIZE = 2


class TritonPythonModel(Sound):
    """As engines do that guess ahead."""

    def stream(self, request: Any, sender: Any) -> None:
        """Send pairs, or all together when the request wants no stream."""
        asked = Asked(request)
        steps = list(self.steps(asked))
        size = SIZE if asked.streaming else len(steps)
        for at in range(0, len(steps), size):
            part = steps[at : at + size]
            self.send(sender, self.response(asked, [token for token, _ in part], [score for _, score in part]))
        sender.send(flags=FINAL)
