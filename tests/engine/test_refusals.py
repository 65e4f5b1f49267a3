"""What must be refused in words: each kind of bad input has its line, and a provider without words is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

# NumPy comes with the venv that has torch.
pytestmark = pytest.mark.torch
pytest.importorskip("numpy")

from pytest_trtcheck._suites.engine import refusals  # noqa: E402
from pytest_trtcheck._suites.engine.cases import cases  # noqa: E402
from pytest_trtcheck._suites.engine.judge import Bench  # noqa: E402
from pytest_trtcheck._suites.engine.standin import Standin  # noqa: E402
from pytest_trtcheck.model.level import Level  # noqa: E402
from pytest_trtcheck.providers.engine import BuildRequest, Built, EngineCase  # noqa: E402

GEMM = next(case for case in cases(Level.QUICK) if case.name == "gemm_bias-fp16")
REVERSED = "a profile whose smallest size is above its largest"
EACH = {
    REVERSED: "profile of batch: expected sizes above 0 in order, found 4, 2, 1",
    "a profile of size zero": "profile of batch: expected sizes above 0 in order, found 0, 0, 0",
    "a build without scratch memory": "built",
    "an empty plan": "PlanError: no plan of the stand-in: it is empty",
    "half a plan": "PlanError: a damaged plan: ",
    "a foreign file": "PlanError: no plan of the stand-in: it begins with 7f454c46",
    "a plan of another release": "PlanError: no plan of the stand-in: it begins with 6e756d70",
}


def test_every_kind_of_bad_input_has_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "MOST_WORDS", 10_000)
    words, comparison = refusals.bad_input(Bench(GEMM, Standin(), 0))
    assert comparison is None
    assert "\n" not in words
    told = [words.index(f"{what}: {said}") for what, said in EACH.items()]
    assert told == sorted(told), words


class Throwing(Standin):
    """Refuses a profile without a word."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def build(self, case: EngineCase, weights: Mapping[str, Any], request: BuildRequest) -> Built:
        raise RuntimeError(self.reason)


@pytest.mark.parametrize("reason", ["", "no"])
def test_a_refusal_without_a_reason_is_told(reason: str) -> None:
    found = Bench(GEMM, Throwing(reason), 0).judge("bad_input")
    assert found.state == "failed"
    assert found.message.startswith(f"{REVERSED}: the refusal does not say why")


BEGINNING = bytes.fromhex(
    "66747274000000000100000000000000840d0000000000000806000c000000004e474e45000000003800000000000000"
    "450d0000000000007074727400000000ec000000000000002d0d00000000000002800100080280010006028001000002"
    "8001000ce580010007800100000000001280010010800100"
)
"""Of a plan that TensorRT 8.6.0.12 built on an H200: x + x of four numbers."""


def test_a_plan_is_made_another_releases_where_it_tells_its_own_twice() -> None:
    from pytest_trtcheck._suites.engine.providers.tensorrt import TensorRTEngines
    from pytest_trtcheck.probe.plan_files import HEADER_BYTES, parse_header

    assert parse_header(BEGINNING[:HEADER_BYTES]) == ("8.6.0.12", "")
    other = TensorRTEngines().of_other_release(BEGINNING)
    pairs = enumerate(zip(BEGINNING, other, strict=True))
    assert {at: pair for at, pair in pairs if pair[0] != pair[1]} == {24: (8, 9), 84: (8, 9)}
    assert TensorRTEngines().of_other_release(BEGINNING[:80]) == b""
    assert TensorRTEngines().of_other_release(b"no plan" + BEGINNING[7:]) == b""
