"""Known behaviours of the real server: each is told in its own words when it is met, and is no failure.

With ``--trtcheck-fail-on warning`` it is one. A behaviour that is dangerous is known for the releases in which it was
seen; met in another one, it is a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pytest_trtcheck._suites.serving.checking import Wrong


class Learner(Protocol):
    """What a check runs on, as far as it takes notes."""

    known: list[str]
    facts: list[str]

    @property
    def release_of_server(self) -> str:
        """Empty where the server does not tell."""


@dataclass(frozen=True)
class Known:
    """One behaviour."""

    words: str
    releases: tuple[str, ...] = ()
    """Releases for which it is no failure; empty for all."""


SEEN = ("2.51.0",)
CLIENT_500 = Known("a wrong request is answered with HTTP 500, as if the server had failed")
ERROR_IN_200 = Known("an error comes with HTTP 200")
UNKNOWN_KEYS = Known("unknown keys of generate are ignored: a misspelt parameter has no effect")
DEAD_BUT_READY = Known("a model whose Python stub died stays READY, and so does the server")
WRAPPED = Known("a JSON number beyond the input's type is cut to its low bits, and the request answered", SEEN)
SPLIT_PATH = Known("a request whose path arrives in two pieces is not found", SEEN)
DIES_OF_DEPTH = Known("one request of deeply nested JSON ends the server", SEEN)
DIES_OF_SHAPE = Known("one request with a shape too large for memory ends the server", SEEN)
DIES_OF_CALLS = Known(
    "a Python stub that calls a decoupled model (BLS) dies at times: a thread that does not hold Python's lock makes "
    "arrays of the responses", SEEN,
)  # fmt: skip
DIES_OF_PAUSE = Known(
    "a Python stub that gets no CPU for 2 s during a request is called dead; when it goes on, the next request to it "
    "ends the server", SEEN,
)  # fmt: skip


def met(learner: Learner, behaviour: Known, example: str) -> None:
    """Note a known behaviour, once for each check; Wrong where the server's release is none of those it is known of."""
    if behaviour.releases and learner.release_of_server not in behaviour.releases:
        raise Wrong(f"{behaviour.words}: {example}; seen before in {', '.join(behaviour.releases)} only")
    if not any(line.startswith(behaviour.words) for line in learner.known):
        learner.known.append(f"{behaviour.words}: {example}")
