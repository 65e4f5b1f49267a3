"""The judge: one clear result for whatever a provider does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.providers import AttentionCase, Refused, Where

if TYPE_CHECKING:
    from pytest_trtcheck._suites.support.judgement import Judgement

pytestmark = pytest.mark.torch

CASE = AttentionCase("context", "causal", "packed", (5, 12), (5, 12), 4, 2, 32, "fp16")


class Doing:
    """A provider that does what it is told with the right answer."""

    name = "doing"

    def __init__(self, what: Callable[[Any, Any], Any]) -> None:
        self.what = what

    def why_not(self, case: AttentionCase, where: Where) -> str:
        return ""

    def run(self, case: AttentionCase, inputs: Any) -> Any:
        from pytest_trtcheck._suites.attention.providers.eager import Eager

        return self.what(inputs, Eager().run(case, inputs))


def _judge(what: Callable[[Any, Any], Any]) -> Judgement:
    from pytest_trtcheck._suites.attention.inputs import make_inputs
    from pytest_trtcheck._suites.attention.judge import judge
    from pytest_trtcheck._suites.attention.reference import make_reference

    inputs = make_inputs(CASE, 0, "cpu")
    return judge(CASE, Doing(what), inputs, make_reference(CASE, inputs))


def _raise(error: Exception) -> Any:
    raise error


def test_a_right_answer_passes_with_its_comparison() -> None:
    judgement = _judge(lambda inputs, answer: answer)
    assert (judgement.state, judgement.spoiled, judgement.text) == ("passed", False, "")
    assert judgement.comparison is not None
    assert judgement.message == judgement.comparison.describe()


def test_a_wrong_answer_fails_with_the_worst_element() -> None:
    judgement = _judge(lambda inputs, answer: answer + 1)
    assert judgement.state == "failed"
    assert "worst at sequence " in judgement.message


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda inputs, answer: answer[:1], "wrong shape: expected (17, 4, 32), found (1, 4, 32)"),
        (lambda inputs, answer: answer.float(), "wrong dtype: expected torch.float16, found torch.float32"),
        (lambda inputs, answer: answer.to("meta"), "wrong device: expected cpu, found meta"),
        (
            lambda inputs, answer: answer.to_sparse(),
            "layout: expected torch.strided, found torch.sparse_coo",
        ),
        (lambda inputs, answer: None, "returned no tensor: expected torch.Tensor, found NoneType"),
    ],
)
def test_an_answer_of_the_wrong_form_fails_with_what_was_expected(what: Callable[..., Any], words: str) -> None:
    judgement = _judge(what)
    assert (judgement.state, judgement.comparison, judgement.spoiled) == ("failed", None, False)
    assert words in judgement.message


def test_nothing_written_is_no_number() -> None:
    judgement = _judge(lambda inputs, answer: inputs.out.fill_(float("nan")))
    assert judgement.state == "failed"
    assert "NaN or infinity in the wrong place" in judgement.message


def test_an_exception_fails_with_its_first_line_and_traceback() -> None:
    judgement = _judge(lambda inputs, answer: _raise(ValueError("bad stride\nsecond line")))
    assert (judgement.state, judgement.message) == ("failed", "ValueError: bad stride")
    assert "second line" in judgement.text


@pytest.mark.parametrize("kind", [Refused, NotImplementedError])
def test_a_refusal_is_told_in_the_librarys_words(kind: type[Exception]) -> None:
    judgement = _judge(lambda inputs, answer: _raise(kind("no kernel for head size 32")))
    assert (judgement.state, judgement.message) == ("refused", "no kernel for head size 32")


def test_changed_inputs_fail_by_name_although_the_answer_is_right() -> None:
    judgement = _judge(lambda inputs, answer: (inputs.k.mul_(2), inputs.cu_q.add_(1), answer)[-1])
    assert (judgement.state, judgement.spoiled) == ("failed", True)
    assert "changed its inputs" in judgement.message
    assert "cu_q, k" in judgement.message


def test_a_refusal_that_changed_inputs_is_a_failure() -> None:
    judgement = _judge(lambda inputs, answer: (inputs.v.zero_(), _raise(Refused("late")))[-1])
    assert (judgement.state, judgement.spoiled) == ("failed", True)
    assert judgement.message.startswith("late; ")


def test_the_values_of_the_reference_are_not_handed_out_and_attributes_are_not_shared() -> None:
    seen: list[Any] = []

    def what(inputs: Any, answer: Any) -> Any:
        seen.append(inputs.sequences)
        inputs.q = inputs.k = None
        return answer

    assert _judge(what).state == "passed"
    assert seen == [()]
