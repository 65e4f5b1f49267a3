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


def test_a_plan_is_made_another_releases_where_it_tells_its_own_twice() -> None:
    from pytest_trtcheck._suites.engine.providers.tensorrt import TensorRTEngines

    tag = b"\x02\x80\x01\x00"
    header = b"ftrt" + bytes(20) + bytes([8, 6, 0, 12])
    body = b"".join(tag + bytes([number]) for number in (8, 6, 0, 12))
    plan = header + b"weights" * 9 + body + b"more"
    other = TensorRTEngines().of_other_release(plan)
    changed = {
        at: (before, after) for at, (before, after) in enumerate(zip(plan, other, strict=True)) if before != after
    }
    assert changed == {24: (8, 9), len(plan) - len(b"more") - 16: (8, 9)}
    assert TensorRTEngines().of_other_release(header + b"weights") == b""
    assert TensorRTEngines().of_other_release(b"no plan" + body) == b""
