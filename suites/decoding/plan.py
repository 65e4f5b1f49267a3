"""Which decoding cases run on which backends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.decoding.cases import DecodingCase, cases
from pytest_trtcheck._suites.probe_llm.planning import LlmPlan, Planned, make_plan

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run

SUITE = "decoding"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    llm: LlmPlan
    pairs: tuple[tuple[DecodingCase, Planned], ...]


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def dtype_on(device: str) -> str:
    """Return the dtype in which backends are brought up."""
    return "bf16" if device == "cuda" else "fp32"


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process; made once."""
    if PLAN not in config.stash:
        level, where = run.settings.level, run.where
        found = {entry.name: entry for entry in cases(level, dtype_on(where.device), run.draw_seed())}
        plan = make_plan(config, SUITE, [entry.case for entry in found.values()], where, level, with_told=False)
        pairs = tuple((found[entry.case.name], entry) for entry in plan.planned)
        config.stash[PLAN] = Plan(plan, pairs)
    return config.stash[PLAN]
