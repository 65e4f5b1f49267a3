"""What a profile names must have run: by suite, and by what the suite ran on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_trtcheck.model.report import Isolation, Reason, Result, RunVerdict
from pytest_trtcheck.rules.profiles import load_profile
from pytest_trtcheck.verdict.run import conclude
from tests.reports import result
from tests.stacks import gpu, stack

H200 = stack(torch="2.9.1+cu129", tensorrt_llm="1.2.0", driver="580.95.05", gpu="NVIDIA H200", gpus=(gpu(),))
NAMED = ("TRC-IMP-001-tensorrt_llm", "TRC-IMP-001-torch", "TRC-ARC-002-torch")


def ran(suite: str, provider: str, count: int, ended: str = "passed") -> list[Result]:
    names = [f"{suite}-{provider}-{number}" for number in range(count)]
    return [replace(result(name, ended), suite=suite, provider=provider) for name in names]


def stack_checks() -> list[Result]:
    return [replace(one, name=name) for one, name in zip(ran("stack", "", 3), NAMED, strict=True)]


def reasons(*results: Result) -> tuple[RunVerdict, list[str]]:
    found = conclude(H200, [*stack_checks(), *results], load_profile("tensorrt_llm"), Isolation())
    return found.verdict, [words for words in found.reasons if "needs" in words]


def test_torch_alone_does_not_make_an_image_of_tensorrt_llm_acceptable() -> None:
    others = [*ran("attention", "torch_math", 30), *ran("batching", "torch", 26), *ran("decoding", "torch", 21)]
    assert reasons(*others) == (
        RunVerdict.INCONCLUSIVE,
        [
            "profile tensorrt_llm needs at least 3 checks of suite batching on tensorrt_llm* to run, 0 did",
            "profile tensorrt_llm needs at least 1 check of suite decoding on tensorrt_llm* to run, 0 did",
        ],
    )
    own = [*ran("batching", "tensorrt_llm_engine", 2), *ran("batching", "tensorrt_llm", 1)]
    assert reasons(*others, *own, *ran("decoding", "tensorrt_llm", 1)) == (RunVerdict.ACCEPTED, [])


@pytest.mark.parametrize(("name", "count"), [("attention", 19), ("attention", 0)])
def test_too_few_checks_of_a_suite_leave_a_run_open(name: str, count: int) -> None:
    others = [*ran("batching", "tensorrt_llm", 3), *ran("decoding", "tensorrt_llm", 1)]
    verdict, words = reasons(*others, *ran(name, "torch_math", count))
    assert verdict is RunVerdict.INCONCLUSIVE
    assert words == [f"profile tensorrt_llm needs at least 20 checks of suite attention to run, {count} did"]


def test_checks_that_did_not_run_do_not_count() -> None:
    idle = ran("attention", "x", 20, Reason.NO_GPU.value)
    others = [*ran("batching", "tensorrt_llm", 3), *ran("decoding", "tensorrt_llm", 1)]
    assert reasons(*idle, *others)[0] is RunVerdict.INCONCLUSIVE
