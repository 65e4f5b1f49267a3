"""What is asked of backends of language models, and how it is named."""

from __future__ import annotations

import pytest

from pytest_trtcheck.providers.llm import Completion, LlmCase, Request, Setup, lacking


def test_a_setup_is_named_by_what_it_asks_for() -> None:
    assert Setup().name == "fp32"
    assert Setup("bf16", slots=4, chunk=16, prefix_reuse=True, speculation="ngram").name == (
        "bf16-slots4-prefix_reuse-chunk16-ngram"
    )


def test_a_case_needs_what_its_setup_and_each_request_need() -> None:
    requests = (
        Request((1,)),
        Request((1,), after=0, stop=("x",)),
        Request((1,), temperature=0.5, seed=1, adapter=True),
    )
    case = LlmCase("x", Setup(kv_tokens=64, kv_dtype="int8"), requests, frozenset({"statistics"}))
    assert case.features == {
        "fp32", "int8_kv", "kv_limit", "statistics", "arrivals", "stop_words", "sampling", "seed", "adapter",
    }  # fmt: skip
    assert lacking(case, case.features) == ""
    assert lacking(case, case.features - {"seed", "arrivals"}) == "no arrivals, no seed"


def test_every_field_that_is_not_left_at_its_default_is_a_feature() -> None:
    assert Request((1,), max_tokens=5).features == frozenset()
    for name, value in {
        "after": 0, "streaming": True, "cancel_after": 1, "temperature": 1.0, "top_k": 3, "top_p": 0.5, "seed": 0,
        "beams": 2, "length_penalty": 0.5, "repetition_penalty": 1.2, "stop": ("a",), "bad_words": ("a",),
        "regex": "a", "json_schema": "{}", "log_probs": 1, "adapter": True,
    }.items():  # fmt: skip
        assert len(Request((1,), **{name: value}).features) == 1, name  # type: ignore[arg-type]


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="no such speculation: 'guess'"):
        Setup(speculation="guess")
    with pytest.raises(ValueError, match="no such finish: 'eos'"):
        Completion((), "eos")
