"""Which cases run on which backends here, for every suite that puts requests to language models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.support.planning import refusals_of, unsupported_of
from pytest_trtcheck._suites.support.registry import BrokenHook, Providers, UnusableError, ask, find_providers
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Unsupported
from pytest_trtcheck.providers import component_of
from pytest_trtcheck.providers.llm import LlmCase, Request, Setup, cold_seconds_of, open_seconds_of

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmBackend, Where

HOOK = "pytest_trtcheck_llm_backends"

TOLD_LOG_PROBS = 2
"""Asked of every backend that tells them: they show what a token alone hides."""


@dataclass(frozen=True)
class Planned:
    """A case on a backend."""

    case: LlmCase
    """As the backend takes it: with log-probabilities where it tells them."""
    backend: LlmBackend
    too_slow: str = ""
    """Why there is no time for it at this level, in words; empty when there is."""


@dataclass(frozen=True)
class LlmPlan:
    """What to run."""

    planned: tuple[Planned, ...]
    """Backend by backend, setup by setup, so that a backend is brought up once for each setup."""
    broken: tuple[BrokenHook, ...]
    unsupported: tuple[Unsupported, ...]


FOUND: pytest.StashKey[Providers] = pytest.StashKey()


def backends_of(config: pytest.Config) -> Providers:
    """Return the backends of this process; every hook is called once, whatever the number of suites."""
    if FOUND not in config.stash:
        config.stash[FOUND] = find_providers(config, HOOK, "open")
    return config.stash[FOUND]


def dtypes_on(device: str) -> tuple[str, ...]:
    """Return the dtypes in which backends are brought up, the one that says most first."""
    return ("bf16", "fp16", "fp32") if device == "cuda" else ("fp32", "bf16")


def in_its_dtypes(backend: LlmBackend, cases: Sequence[LlmCase], where: Where, most: int) -> list[LlmCase]:
    """Return the cases in the first ``most`` dtypes that a backend has; of one that has none, those in the first dtype.

    A server that serves bf16 whatever the machine is judged in bf16.
    """
    trials = {dtype: LlmCase(dtype, Setup(dtype), (Request((1,), max_tokens=1),)) for dtype in dtypes_on(where.device)}
    refusals = refusals_of(backend, list(trials.values()), where)
    chosen = [dtype for dtype, trial in trials.items() if not refusals[trial]][:most] or [next(iter(trials))]
    return [case for case in cases if case.setup.dtype in chosen]


def make_plan(
    config: pytest.Config,
    suite: str,
    cases: Sequence[LlmCase],
    where: Where,
    level: Level,
    *,
    most_dtypes: int,
    with_told: bool = True,
) -> LlmPlan:
    """Ask every backend about every case in the dtypes that it has, ``most_dtypes`` at most.

    ``with_told``: for log-probabilities too, wherever a backend tells them.
    """
    found = backends_of(config)
    broken, unsupported, planned = list(found.broken), list[Unsupported](), list[Planned]()
    for backend in found.usable:
        try:
            component = ask(partial(component_of, backend))
            if component and component not in where.versions:
                continue
            asked = ask(partial(in_its_dtypes, backend, cases, where, most_dtypes))
            taken, told = ask(partial(_taken, suite, backend, asked, where, with_told=with_told))
            planned += ask(partial(within_time, backend, taken, level))
        except UnusableError as error:
            broken.append(BrokenHook(backend.name, f"asked what it can do: {error}"))
            continue
        unsupported += told
    return LlmPlan(tuple(planned), tuple(broken), tuple(unsupported))


def features_of(case: LlmCase) -> tuple[str, ...]:
    """Return what a case asks of a backend, sorted: the columns of the report's table."""
    return tuple(sorted(case.features))


def with_log_probs(case: LlmCase) -> LlmCase:
    """Return the case with log-probabilities asked for."""
    return replace(case, requests=tuple(replace(request, log_probs=TOLD_LOG_PROBS) for request in case.requests))


def _taken(
    suite: str, backend: LlmBackend, cases: Sequence[LlmCase], where: Where, *, with_told: bool = True
) -> tuple[list[LlmCase], list[Unsupported]]:
    """Return the cases that a backend takes, with log-probabilities where it tells them, and what it declines."""
    if not with_told:
        refusals = refusals_of(backend, cases, where)
        told = unsupported_of(suite, backend.name, refusals, features_of)
        return [case for case in cases if not refusals[case]], told
    sharp = refusals_of(backend, [with_log_probs(case) for case in cases], where)
    plain = refusals_of(backend, [case for case in cases if sharp[with_log_probs(case)]], where)
    taken = [sharper if not sharp[sharper] else case for case in cases for sharper in [with_log_probs(case)]]
    told = unsupported_of(suite, backend.name, {**dict.fromkeys(taken, ""), **plain}, features_of)
    blunt = [sharp[with_log_probs(case)] for case, words in plain.items() if not words]
    if blunt:
        told.append(Unsupported(suite, backend.name, blunt[0], ("log_probs",), len(blunt)))
    return [case for case in taken if not plain.get(case)], told


def setups_in_time(backend: LlmBackend, level: Level) -> tuple[int, str]:
    """Return how many setups a level brings a backend up for, and why no more.

    Half of the level's time may go by while backends come up; one setup always runs, from the backend's first level on.
    """
    first, seconds = Level(getattr(backend, "first_level", Level.QUICK)), open_seconds_of(backend)
    if level.rank < first.rank:
        return 0, f"asked from level {first.value} on"
    if not seconds:
        return sys.maxsize, ""
    most = max(1, int(level.budget_seconds / 2 / seconds))
    return most, f"bringing it up takes about {seconds:g} s, and level {level.value} has time for {most} setups"


def within_time(backend: LlmBackend, cases: Sequence[LlmCase], level: Level) -> list[Planned]:
    """Return the cases by setup, those that there is no time to bring the backend up for with the reason."""
    by_setup: dict[Setup, list[LlmCase]] = {}
    for case in cases:
        by_setup.setdefault(case.setup, []).append(case)
    most, words = setups_in_time(backend, level)
    return [
        Planned(case, backend, words if number >= most else "")
        for number, members in enumerate(by_setup.values())
        for case in members
    ]


def marks_of(
    planned: Planned, check_id: str, needs: Sequence[str], deadline_seconds: float
) -> list[pytest.MarkDecorator]:
    """Return the marks of a check: those of one setup share a worker, which brings the backend up once."""
    case, backend = planned.case, planned.backend
    component = component_of(backend)
    marks = [
        pytest.mark.trtcheck_check(check_id),
        pytest.mark.trtcheck_provider(backend.name, *features_of(case)),
        pytest.mark.trtcheck_needs(*dict.fromkeys((*needs, *([component] if component else [])))),
        pytest.mark.trtcheck_group(f"{backend.name}-{case.setup.name}"),
    ]
    if case.setup.tensor_parallel > 1:
        marks.append(pytest.mark.trtcheck_gpus(case.setup.tensor_parallel))
    seconds = cold_seconds_of(backend)
    if seconds:
        marks.append(pytest.mark.trtcheck_deadline(deadline_seconds + seconds))
    return marks
