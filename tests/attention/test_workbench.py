"""The workbench: one case at a time, whatever providers and memory do."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_trtcheck.providers import AttentionCase

pytestmark = pytest.mark.torch

CASE = AttentionCase("context", "causal", "packed", (40, 9), (40, 9), 8, 2, 64, "fp32")


def bench() -> Any:
    from pytest_trtcheck._suites.attention.workbench import Workbench

    return Workbench()


def eager() -> Any:
    from pytest_trtcheck._suites.attention.providers.eager import Eager

    return Eager()


def test_the_reference_is_made_once_for_all_providers() -> None:
    made = bench()
    for _ in range(3):
        made.lay_out(CASE, 1, "cpu")
        assert made.judge(eager()).state == "passed"
    assert made.references_made == 1


def test_a_reference_that_memory_did_not_hold_is_not_taken_for_the_one_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from pytest_trtcheck._suites.attention import workbench as module

    sound, made = vars(module)["make_reference"], bench()

    def fails(*_: object) -> None:
        raise torch.OutOfMemoryError("not today")

    monkeypatch.setattr(module, "make_reference", fails)
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            made.lay_out(CASE, 1, "cpu")
    monkeypatch.setattr(module, "make_reference", sound)
    made.lay_out(CASE, 1, "cpu")
    assert made.judge(eager()).state == "passed"


def test_what_a_provider_leaves_switched_on_changes_nothing_for_the_next() -> None:
    import torch

    tidy = bench()
    tidy.lay_out(CASE, 1, "cpu")
    before = torch.get_default_dtype()
    torch.set_float32_matmul_precision("medium")
    torch.set_default_device("meta")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = bench()
            made.lay_out(CASE, 1, "cpu")
            judgement = made.judge(eager())
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
        torch.set_default_device(None)
    assert judgement.state == "passed"
    assert torch.equal(made._reference.bound.rms, tidy._reference.bound.rms)
    assert torch.get_default_dtype() is before


def test_hidden_copies_of_the_inputs_are_out_of_a_providers_reach() -> None:
    class Cheat(type(eager())):  # type: ignore[misc]
        name = "cheat"

        def run(self, case: Any, inputs: Any) -> Any:
            answer = super().run(case, inputs)
            inputs.k.zero_()
            inputs._before["k"] = inputs.k
            return answer

    made = bench()
    made.lay_out(CASE, 1, "cpu")
    judgement = made.judge(Cheat())
    assert (judgement.state, judgement.spoiled) == ("failed", True)
    assert made.judge(eager()).state == "passed"


@pytest.mark.parametrize("kind", ["sparse", "nested", "meta"])
def test_an_answer_of_an_odd_kind_is_one_clear_failure(kind: str) -> None:
    import torch

    class Odd:
        name = "odd"

        def run(self, case: Any, inputs: Any) -> Any:
            if kind == "sparse":
                return torch.zeros_like(inputs.q).to_sparse()
            jagged = torch.nested.nested_tensor_from_jagged(inputs.q, torch.tensor([0, 40, 49]))
            return jagged if kind == "nested" else inputs.q.to("meta")

    made = bench()
    made.lay_out(CASE, 1, "cpu")
    judgement = made.judge(Odd())
    assert judgement.state == "failed"
    assert judgement.message.startswith("the provider's answer has the wrong ")


@pytest.mark.parametrize(("lengths", "threads"), [((40, 9), 1), ((2048,), 3)])
def test_small_cases_run_on_one_thread_and_large_ones_on_all(lengths: tuple[int, ...], threads: int) -> None:
    import torch

    seen = []

    class Counts(type(eager())):  # type: ignore[misc]
        def run(self, case: AttentionCase, inputs: Any) -> Any:
            seen.append(torch.get_num_threads())
            return super().run(case, inputs)

    made, before = bench(), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        made.lay_out(AttentionCase("context", "causal", "packed", lengths, lengths, 2, 2, 64, "fp32"), 1, "cpu")
        assert made.judge(Counts()).state == "passed"
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {threads}
