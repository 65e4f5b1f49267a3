"""A model that calls others and whose process dies, as it is known to of one release: told, and asked again."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from pytest_trtcheck._suites.serving.bench import Bench
from pytest_trtcheck._suites.serving.checking import Wrong
from pytest_trtcheck._suites.serving.checks import llm
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck._suites.serving.known import DIES_OF_CALLS
from pytest_trtcheck._suites.serving.vitals import stub_of

pytestmark = [pytest.mark.serving, pytest.mark.torch]


def killing(times: int) -> Any:
    """Return what asks the model as the check does, and kills its process before it so many times."""
    left = [times]

    def ask(bench: Bench, model: str) -> list[Any]:
        http = bench.http("llm")
        stub = stub_of(bench.server("llm"), model)
        assert stub is not None
        if left[0]:
            left[0] -= 1
            os.kill(stub, signal.SIGKILL)
        http.generate(model, {"text_input": "Cab=", "max_tokens": 4})
        return []

    return ask


def test_a_death_that_is_known_is_told_and_one_too_many_fails(installation: Installation) -> None:
    bench = Bench(installation, has_torch=True)
    try:
        assert llm._by_calls(bench, killing(1)) == []
        (told,) = bench.known
        assert told.startswith(f"{DIES_OF_CALLS.words}: ")
        assert "is not healthy" in told
        bench.release_of_server = "2.99.0"
        with pytest.raises(Wrong, match=r"Python's lock .*; seen before in 2\.51\.0 only"):
            llm._by_calls(bench, killing(1))
    finally:
        bench.discard()
