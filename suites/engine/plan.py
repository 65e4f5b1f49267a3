"""Which checks of which cases run on which providers here, and what that leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.support.hooks import planned_once
from pytest_trtcheck._suites.support.registry import BrokenHook, UnusableError, ask, find_providers
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Unsupported
from pytest_trtcheck.providers.base import component_of
from pytest_trtcheck.providers.engine import ABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_trtcheck.providers import EngineCase, EngineProvider, Where
    from pytest_trtcheck.session.run import Run

HOOK = "pytest_trtcheck_engine_providers"
SUITE = "engine"
BROKEN_HOOK_CHECK = "TRC-BLD-009"
CHECK_OF_ASPECT = {
    "numbers": "TRC-BLD-001",
    "onnx": "TRC-BLD-001",
    "outside": "TRC-BLD-002",
    "repeat": "TRC-BLD-003",
    "elsewhere": "TRC-BLD-004",
    "inspect": "TRC-BLD-005",
    "timing_cache": "TRC-BLD-006",
    "calibration": "TRC-BLD-001",
    "refit": "TRC-BLD-007",
    "contexts": "TRC-BLD-003",
    "memory": "TRC-BLD-008",
    "version_compatible": "TRC-BLD-004",
    "hardware_compatible": "TRC-BLD-004",
    "weight_streaming": "TRC-BLD-007",
    "lean_runtime": "TRC-BLD-004",
    "bad_input": "TRC-BLD-010",
    "bad_onnx": "TRC-BLD-010",
}
EVERY_CASE = ("numbers", "outside", "elsewhere")
"""What is checked of each case; all else costs a build of its own and is checked of a few."""
CASES_OF_ASPECT = {
    "repeat": ("attention_block-fp16", "decoder-fp16", "conv_residual-fp16"),
    "inspect": ("gemm_bias-fp32", "norms-fp16", "gemm_bias-fp16"),
    "onnx": ("conv_residual-fp16", "attention_block-fp16"),
    "timing_cache": ("attention_block-fp16",),
    "calibration": ("int8_calibrated-fp32",),
    "refit": ("gemm_bias-fp16",),
    "contexts": ("loop-fp16", "attention_block_static-fp16"),
    "memory": ("gemm_bias-fp16",),
    "version_compatible": ("gemm_bias-fp16",),
    "hardware_compatible": ("gemm_bias-fp16",),
    "weight_streaming": ("decoder-fp16",),
    "lean_runtime": ("gemm_bias-fp16",),
    "bad_input": ("gemm_bias-fp16",),
    "bad_onnx": ("gemm_bias-fp16",),
}
_NO_CALIBRATION = "INT8 by calibration is beyond this provider here"
_ELSEWHERE_AT_QUICK = ("gemm_bias-fp16", "decoder-fp16")
"""A fresh process imports the library again, which takes seconds."""


@dataclass(frozen=True)
class Planned:
    """One check."""

    case: EngineCase
    provider: EngineProvider
    aspect: str

    @property
    def name(self) -> str:
        """Stable: ``tensorrt-gemm_bias-fp16-numbers``."""
        return f"{self.provider.name}-{self.case.name}-{self.aspect}"


@dataclass(frozen=True)
class Idle:
    """A check of a provider that can do nothing without a GPU, where there is none."""

    provider: EngineProvider
    check_id: str


@dataclass(frozen=True)
class Plan:
    """What to run."""

    checks: tuple[Planned, ...]
    """Provider by provider and case by case, so that checks share what was built."""
    broken: tuple[BrokenHook, ...]
    unsupported: tuple[Unsupported, ...]
    left_out: tuple[str, ...]
    idle: tuple[Idle, ...] = ()


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process."""
    return planned_once(config, run, PLAN, _make_plan)


def _make_plan(config: pytest.Config, run: Run) -> Plan:
    from pytest_trtcheck._suites.engine.cases import cases

    chosen, where = cases(run.settings.level), where_of(run)
    found = find_providers(config, HOOK, "build")
    broken = list(found.broken)
    checks: list[Planned] = []
    unsupported: list[Unsupported] = []
    left_out: list[str] = []
    idle: list[Idle] = []
    for provider in found.usable:
        try:
            if not components_of(provider) <= where.versions.keys():
                continue
            if where.device != "cuda" and getattr(provider, "needs_gpu", False):
                idle += [Idle(provider, check) for check in sorted({*CHECK_OF_ASPECT.values()})]
                continue
            refusals = ask(partial(_refusals, provider, chosen, where))
            abilities = ask(partial(_abilities, provider, where))
            if "calibration" not in abilities:
                refusals |= {one.name: refusals[one.name] or _NO_CALIBRATION for one in chosen if one.calibrated}
        except UnusableError as error:
            broken.append(BrokenHook(provider.name, f"asked what it can do: {error}"))
            continue
        able = [case for case in chosen if not refusals[case.name]]
        checks += _checks(provider, able, abilities, run.settings.level)
        unsupported += _unsupported(provider.name, chosen, refusals)
        lacking = [ability for ability in ABILITIES if ability not in abilities]
        if able and lacking:
            left_out.append(f"engine: {provider.name} has no {', '.join(lacking)} here")
    return Plan(tuple(checks), tuple(broken), tuple(unsupported), tuple(left_out), tuple(idle))


def components_of(provider: EngineProvider) -> frozenset[str]:
    """Return the components without which a provider is left out."""
    beside: tuple[str, ...] = ask(lambda: tuple(map(str, getattr(provider, "beside", ()))))
    return frozenset(filter(None, (ask(partial(component_of, provider)), *beside)))


def where_of(run: Run) -> Where:
    """Return where engines would run: unlike kernels they need a GPU, and no torch that was built for one."""
    gpus = run.stack.gpus if run.gpu_count else ()
    where = replace(run.where, device="cpu", compute_capability="")
    return replace(where, device="cuda", compute_capability=gpus[0].compute_capability) if gpus else where


def _refusals(provider: EngineProvider, chosen: Sequence[EngineCase], where: Where) -> dict[str, str]:
    refusals: dict[str, str] = {}
    for case in chosen:
        words: object = provider.why_not(case, where)
        if not isinstance(words, str):
            raise TypeError(f"expected a text from why_not, found {type(words).__name__}")
        refusals[case.name] = words
    return refusals


def _abilities(provider: EngineProvider, where: Where) -> frozenset[str]:
    given: object = provider.abilities(where)
    if not isinstance(given, (set, frozenset)) or not given <= set(ABILITIES):
        raise TypeError(f"expected a set of some of {', '.join(ABILITIES)} from abilities, found {given!r:.80}")
    return frozenset(given)


def _checks(
    provider: EngineProvider, able: Sequence[EngineCase], abilities: frozenset[str], level: Level
) -> Iterator[Planned]:
    for case in able:
        for aspect in CHECK_OF_ASPECT:
            if _applies(aspect, case, provider, abilities, level):
                yield Planned(case, provider, aspect)


def _applies(aspect: str, case: EngineCase, provider: EngineProvider, abilities: frozenset[str], level: Level) -> bool:
    """Say whether a check is made of a case."""
    needed = "onnx" if aspect == "bad_onnx" else aspect
    if needed in ABILITIES and needed not in abilities:
        return False
    if aspect == "lean_runtime" and not getattr(provider, "factory", ""):
        return False
    if aspect == "outside":
        return case.is_dynamic
    if aspect == "memory" and not hasattr(provider, "used_bytes"):
        return False
    if aspect == "elsewhere":
        wanted = level is not Level.QUICK or case.name in _ELSEWHERE_AT_QUICK
        return wanted and bool(getattr(provider, "factory", ""))
    return aspect in EVERY_CASE or case.name in CASES_OF_ASPECT[aspect]


def _unsupported(provider: str, chosen: Sequence[EngineCase], refusals: dict[str, str]) -> Iterator[Unsupported]:
    """Yield an entry for each reason, with the features that no case within reach has."""
    within = {feature for case in chosen if not refusals[case.name] for feature in case.features}
    reasons = Counter(words for words in refusals.values() if words)
    for words, count in reasons.items():
        declined = [case for case in chosen if refusals[case.name] == words]
        features = {feature for case in declined for feature in case.features} - within
        yield Unsupported(SUITE, provider, words, tuple(sorted(features)), count)
