"""What a check of this suite is: a function on a bench that returns what it measured, or raises what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.serving.endpoint import AnswerError, TransportError
from pytest_trtcheck._suites.serving.server import ServerError
from pytest_trtcheck.model.report import Measurement, Reason

Measured = Iterable[Measurement]


class Wrong(Exception):  # noqa: N818 - it is what was found, not an error of the check
    """What is wrong with the server, in one line."""


class NotRun(Exception):  # noqa: N818 - likewise
    """The check cannot run here."""

    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason = reason


FAULTS = (Wrong, AnswerError, TransportError, ServerError)
"""What a check raises when the server is at fault."""


@dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    check_id: str
    run: Callable[[Any], Measured]
    """Takes the bench, or the client of a server that is not ours."""
    grpc: bool = False
    """True for one that needs tritonclient's gRPC."""
    llm: bool = False
    """True for one that needs the probe model, and torch to run it."""
    level: str = "quick"
    seconds: float = 60.0
    """Deadline."""

    @property
    def about(self) -> str:
        """The first line of its description."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


def expect(condition: object, words: str) -> None:
    """Raise Wrong unless the condition holds."""
    if not condition:
        raise Wrong(words)
