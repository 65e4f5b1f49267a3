"""From logits to tokens: held against transformers' own processors, and by hand."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.tasks import EOS, VOCABULARY, encode
from pytest_trtcheck.providers import Request

if TYPE_CHECKING:
    from torch import Tensor

pytestmark = pytest.mark.torch

PROMPT = (1, *encode("Wabcab="))


def logits(seed: int = 0) -> Tensor:
    import torch

    return torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


@pytest.mark.transformers
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("demands", "processor", "arguments"),
    [
        ({"repetition_penalty": 1.3}, "RepetitionPenaltyLogitsProcessor", {"penalty": 1.3}),
        ({"repetition_penalty": 0.7}, "RepetitionPenaltyLogitsProcessor", {"penalty": 0.7}),
        ({"temperature": 0.6}, "TemperatureLogitsWarper", {"temperature": 0.6}),
        ({"temperature": 1.0, "top_k": 5}, "TopKLogitsWarper", {"top_k": 5}),
        ({"temperature": 1.0, "top_p": 0.8}, "TopPLogitsWarper", {"top_p": 0.8}),
        (
            {"bad_words": ("c", "ax")},
            "NoBadWordsLogitsProcessor",
            {"bad_words_ids": [encode("c"), encode("ax")], "eos_token_id": None},
        ),
    ],
    ids=str,
)
def test_each_step_is_what_transformers_does(
    demands: dict[str, Any], processor: str, arguments: dict[str, Any], seed: int
) -> None:
    import torch
    import transformers

    answer = tuple(encode("ba"))
    chooser = Chooser(Request(PROMPT, **{"temperature": 1.0, **demands}))
    theirs = getattr(transformers, processor)(**arguments)
    row = logits(seed)
    expected = theirs(torch.tensor([[*PROMPT, *answer]]), row[None].clone())[0].softmax(-1)
    torch.testing.assert_close(chooser.distribution(row, answer), expected, rtol=1e-12, atol=1e-15)


def test_greedy_takes_the_likeliest_of_what_is_left() -> None:
    row = logits()
    best, second = row.topk(2).indices.tolist()
    assert Chooser(Request(PROMPT)).choose(row, ()) == best
    assert Chooser(Request(PROMPT, bad_words=(chr(best),))).choose(row, ()) == second


def test_a_bad_word_of_two_letters_hides_the_second_after_the_first_only() -> None:
    chooser = Chooser(Request(PROMPT, bad_words=("xy",)))
    assert chooser.forbidden(encode("ax")) == set(encode("y"))
    assert chooser.forbidden(encode("xa")) == set()


def test_a_guide_ends_an_answer_where_nothing_may_follow() -> None:
    chooser = Chooser(Request(PROMPT, regex="ab?"))
    allowed = set(range(VOCABULARY)) - chooser.unguided((), VOCABULARY)
    assert allowed == set(encode("a"))
    assert set(range(VOCABULARY)) - chooser.unguided(encode("a"), VOCABULARY) == {*encode("b"), EOS}
    assert chooser.choose(logits(), encode("ab")) == EOS


def test_draws_follow_the_distribution_and_the_seed() -> None:
    row = logits(3)
    request = Request(PROMPT, temperature=1.2, top_k=4)
    shares = Chooser(request).distribution(row, ())
    seeded = (replace(request, seed=seed) for seed in range(2000))
    drawn = Counter(Chooser(one).choose(row, ()) for one in seeded)
    assert set(drawn) == set(shares.nonzero().flatten().tolist())
    for token, count in drawn.items():
        share = float(shares[token])
        assert abs(count / 2000 - share) < 5 * math.sqrt(share * (1 - share) / 2000)
    again = Request(PROMPT, temperature=1.2, seed=5)
    first, second = Chooser(again), Chooser(again)
    assert [first.choose(row, ()) for _ in range(20)] == [second.choose(row, ()) for _ in range(20)]


def test_without_a_seed_draws_differ() -> None:
    row = logits() * 0
    choosers = [Chooser(Request(PROMPT, temperature=1.0)) for _ in range(2)]
    first, second = ([chooser.choose(row, ()) for _ in range(20)] for chooser in choosers)
    assert first != second


@pytest.mark.parametrize(
    ("answer", "stop", "expected"),
    [("abc", ("c",), "c"), ("abc", ("bc", "c"), "bc"), ("abc", ("ab",), ""), ("abc", (), ""), ("", ("a",), "")],
)
def test_a_stop_word_is_seen_at_the_end_only(answer: str, stop: tuple[str, ...], expected: str) -> None:
    assert Chooser(Request(PROMPT, stop=stop)).stop_word(encode(answer)) == expected
