"""Which cases run on which providers here, and what that leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.attention.cases import cases, left_out
from pytest_trtcheck._suites.support.hooks import planned_once
from pytest_trtcheck._suites.support.planning import refusals_of, unsupported_of
from pytest_trtcheck._suites.support.registry import BrokenHook, UnusableError, ask, find_providers
from pytest_trtcheck.providers import component_of
from pytest_trtcheck.providers.attention import compilation_of
from pytest_trtcheck.rules.attention import Expectation, expected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.model.report import Unsupported
    from pytest_trtcheck.providers import AttentionCase, AttentionProvider, Where
    from pytest_trtcheck.session.run import Run

HOOK = "pytest_trtcheck_attention_providers"
SUITE = "attention"

CHECK_OF_PHASE = {"context": "TRC-ATT-001", "generation": "TRC-ATT-002", "chunked": "TRC-ATT-003"}
BROKEN_HOOK_CHECK = "TRC-ATT-005"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    pairs: tuple[tuple[AttentionCase, AttentionProvider], ...]
    """Case by case, so that providers share a reference."""
    beyond: Mapping[tuple[str, str], str]
    """Pairs of provider and case, by name, that would have to be compiled first and for which the level has no time;
    and why, in words."""
    broken: tuple[BrokenHook, ...]
    unsupported: tuple[Unsupported, ...]
    left_out: tuple[str, ...]


def features_of(case: AttentionCase) -> tuple[str, ...]:
    """Return what a case asks of a provider, sorted: the columns of the report's table."""
    return tuple(sorted({*case.features, case.dtype, f"d{case.head_size}"}))


def expectation_of(run: Run, case: AttentionCase, provider: AttentionProvider) -> Expectation:
    """Ask the matrix what a case should do here on a provider."""
    where = run.where
    return expected(
        run.matrix,
        provider=provider.name,
        versions=where.versions,
        device="cuda" if where.device == "cuda" else "cpu",
        compute_capability=where.compute_capability or None,
        features=case.features,
        dtype=case.dtype,
        kv_dtype=case.kv_dtype or case.dtype,
        head_size=case.head_size,
        heads=case.heads,
        kv_heads=case.kv_heads,
    )


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process."""
    return planned_once(config, run, PLAN, _make_plan)


def _make_plan(config: pytest.Config, run: Run) -> Plan:
    """Ask every provider about every case of the level."""
    chosen = cases(run.settings.level)
    where = run.where
    found = find_providers(config, HOOK)
    broken = list(found.broken)
    able: dict[str, frozenset[AttentionCase]] = {}
    unsupported: list[Unsupported] = []
    beyond: dict[tuple[str, str], str] = {}
    for provider in found.usable:
        try:
            component = ask(partial(component_of, provider))
            if component and component not in where.versions:
                continue
            refusals = ask(partial(refusals_of, provider, chosen, where))
            within = [case for case, words in refusals.items() if not words]
            beyond |= ask(partial(beyond_compile_time, provider, within, where, run.settings.level))
        except UnusableError as error:
            broken.append(BrokenHook(provider.name, f"asked what it can do: {error}"))
            continue
        able[provider.name] = frozenset(within)
        for case in refusals.keys() - set(within):
            expectation = expectation_of(run, case, provider)
            if expectation.verdict == "works":
                refusals[case] += f"; by the matrix the library can (row {expectation.row})"
        unsupported += unsupported_of(SUITE, provider.name, refusals, features_of)
    pairs = tuple(
        (case, provider) for case in chosen for provider in found.usable if case in able.get(provider.name, ())
    )
    return Plan(pairs, beyond, tuple(broken), tuple(unsupported), (left_out(run.settings.level),))


def beyond_compile_time(
    provider: AttentionProvider, within: Sequence[AttentionCase], where: Where, level: Level
) -> dict[tuple[str, str], str]:
    """Return the cases whose kernels there is no time to compile: what serves most cases is compiled first."""
    compilations = {case: compilation_of(provider, case, where) for case in within}
    served = Counter(found for found in compilations.values() if found)
    left = float(level.compile_seconds)
    chosen: set[tuple[str, float]] = set()
    for found, _ in served.most_common():
        if found[1] <= left:
            chosen.add(found)
            left -= found[1]
    has = f"level {level.value} has {level.compile_seconds} s"
    return {
        (provider.name, case.name): f"making {found[0]} takes about {found[1]:g} s, and {has}"
        for case, found in compilations.items()
        if found and found not in chosen
    }
