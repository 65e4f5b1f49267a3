"""Which requests go to which backend: with log-probabilities where it tells them, as often as there is time."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_trtcheck._suites.batching.cases import LONGEST, scenarios_in, scenarios_on
from pytest_trtcheck._suites.probe_llm.planning import (
    Planned,
    _taken,
    features_of,
    in_its_dtypes,
    marks_of,
    with_log_probs,
    within_time,
)
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import LlmCase, Request, Setup, Where
from pytest_trtcheck.providers.llm import lacking, open_seconds_of

CASES = [
    LlmCase("a", Setup(), (Request((1, 65)),)),
    LlmCase("b", Setup(), (Request((1, 65), streaming=True),)),
    LlmCase("c", Setup(chunk=8), (Request((1, 65)),)),
]


class Backend:
    name = "ours"
    component = "vllm"

    def __init__(self, abilities: set[str], **more: Any) -> None:
        self.abilities = frozenset(abilities)
        self.__dict__.update(more)

    def why_not(self, case: LlmCase, where: Where) -> str:
        return lacking(case, self.abilities)

    def open(self, setup: Setup, model: Any, where: Where) -> Any:
        raise NotImplementedError


def test_log_probabilities_are_asked_of_those_that_tell_them() -> None:
    backend = Backend({"fp32", "streaming", "log_probs"})
    taken, told = _taken("batching", backend, CASES, Where("cpu"))
    assert taken == [with_log_probs(CASES[0]), with_log_probs(CASES[1])]
    assert all(request.log_probs == 2 for case in taken for request in case.requests)
    assert [(entry.reason, entry.features, entry.cases) for entry in told] == [
        ("no chunked_context", ("chunked_context",), 1)
    ]


def test_one_that_tells_none_gets_the_same_requests_without_and_the_table_says_so() -> None:
    taken, told = _taken("batching", Backend({"fp32", "streaming"}), CASES, Where("cpu"))
    assert taken == CASES[:2]
    assert [(entry.reason, entry.features, entry.cases) for entry in told] == [
        ("no chunked_context", ("chunked_context",), 1),
        ("no log_probs", ("log_probs",), 2),
    ]


@pytest.mark.parametrize(
    ("level", "seconds", "late"),
    [
        (Level.QUICK, 0, []),
        (Level.QUICK, 10, []),
        (Level.QUICK, 20, ["c"]),
        (Level.QUICK, 500, ["c"]),
        (Level.FULL, 60, []),
    ],
)  # fmt: skip
def test_a_backend_comes_up_as_often_as_there_is_time_for(level: Level, seconds: float, late: list[str]) -> None:
    planned = within_time(Backend(set(), open_seconds=seconds), CASES, level)
    assert [entry.case.name for entry in planned] == ["a", "b", "c"]
    assert [entry.case.name for entry in planned if entry.too_slow] == late
    if late:
        assert planned[-1].too_slow == (
            f"bringing it up takes about {seconds} s, and level quick has time for 1 setups"
        )


def test_a_backend_is_asked_from_its_first_level_on() -> None:
    late = Backend(set(), first_level=Level.STANDARD)
    assert {entry.too_slow for entry in within_time(late, CASES, Level.QUICK)} == {"asked from level standard on"}
    assert {entry.too_slow for entry in within_time(late, CASES, Level.STANDARD)} == {""}


def test_checks_of_one_setup_form_a_group_and_have_time_to_bring_the_backend_up() -> None:
    first, second, third = within_time(Backend(set(), open_seconds=5), CASES, Level.QUICK)
    marks = [
        {mark.name: mark.args for mark in marks_of(entry, "TRC-BAT-001", ("torch",), 60)} for entry in (first, third)
    ]
    assert marks[0]["trtcheck_group"] == ("ours-fp32",)
    assert marks[1]["trtcheck_group"] == ("ours-fp32-chunk8",)
    assert marks[0]["trtcheck_needs"] == ("torch", "vllm")
    assert marks[0]["trtcheck_deadline"] == (75,)
    assert marks[1]["trtcheck_provider"] == ("ours", *features_of(CASES[2]))
    assert second.case.setup == first.case.setup


@pytest.mark.parametrize("seconds", ["soon", -1, float("inf"), float("nan"), None])
def test_a_time_that_is_none_is_told(seconds: Any) -> None:
    with pytest.raises(TypeError, match="expected open_seconds to be a number of seconds"):
        open_seconds_of(Backend(set(), open_seconds=seconds))


@pytest.mark.parametrize("level", [Level.QUICK, Level.STANDARD, Level.FULL])
def test_scenarios_have_the_same_names_for_every_seed_and_other_prompts(level: Level) -> None:
    one, other = scenarios_in("fp32", level, 1), scenarios_in("fp32", level, 2)
    names = [entry.case.name for entry in one]
    assert names == [entry.case.name for entry in other]
    assert len(set(names)) == len(names)
    assert one == scenarios_in("fp32", level, 1)
    assert all(first.case.requests != second.case.requests for first, second in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_requests_fit_their_limits_unless_they_are_there_to_be_refused(seed: int) -> None:
    for entry in scenarios_in("fp32", Level.FULL, seed):
        limit = entry.case.setup.length_limit or 2048
        assert {number for group in entry.rounds for number in group} <= set(range(len(entry.case.requests)))
        for number, request in enumerate(entry.case.requests):
            room = limit - len(request.prompt)
            if number in entry.refused:
                assert room < 0 or not request.prompt, entry.case.name
            elif number not in entry.may_refuse:
                assert request.max_tokens <= room, (entry.case.name, number)
            if request.after is not None:
                assert all(len(group) > request.after for group in entry.rounds)


def test_prompts_reach_from_one_token_to_the_level_s_longest() -> None:
    for level, longest in LONGEST.items():
        lengths = {
            len(request.prompt)
            for entry in scenarios_in("fp32", level, 3)
            for number, request in enumerate(entry.case.requests)
            if number not in entry.refused
        }
        assert (min(lengths), max(lengths)) == (1, longest)


def test_layers_shared_by_two_gpus_are_asked_for_on_gpus_only_and_need_both() -> None:
    on_gpus = {entry.case.name: entry for entry in scenarios_on("cuda", "bf16", Level.QUICK, 1)}
    assert "two_gpus-bf16-tensor_parallel2" in on_gpus
    assert not [entry for entry in scenarios_on("cpu", "fp32", Level.FULL, 1) if entry.case.setup.tensor_parallel > 1]
    planned = Planned(on_gpus["two_gpus-bf16-tensor_parallel2"].case, Backend(set()))
    marks = {mark.name: mark.args for mark in marks_of(planned, "TRC-BAT-012", ("torch",), 60)}
    assert marks["trtcheck_gpus"] == (2,)
    alone = Planned(on_gpus["alone-bf16"].case, Backend(set()))
    assert "trtcheck_gpus" not in {mark.name for mark in marks_of(alone, "TRC-BAT-001", ("torch",), 60)}


@pytest.mark.parametrize(
    ("abilities", "device", "most", "expected"),
    [
        ({"fp32", "bf16"}, "cpu", 1, ["fp32"]),
        ({"fp32", "bf16"}, "cpu", 2, ["fp32", "bf16"]),
        ({"bf16"}, "cpu", 1, ["bf16"]),
        ({"fp32", "fp16"}, "cuda", 1, ["fp16"]),
        (set(), "cpu", 2, ["fp32"]),
    ],
)
def test_a_backend_is_asked_in_the_dtypes_that_it_has(
    abilities: set[str], device: str, most: int, expected: list[str]
) -> None:
    cases = [LlmCase(dtype, Setup(dtype), (Request((1, 65)),)) for dtype in ("fp32", "bf16", "fp16")]
    found = in_its_dtypes(Backend(abilities), cases, Where(device), most)
    assert sorted(case.name for case in found) == sorted(expected)
