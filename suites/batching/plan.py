"""Which scenarios run on which backends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.batching.cases import scenarios
from pytest_trtcheck._suites.batching.scenarios import Scenario
from pytest_trtcheck._suites.probe_llm.planning import LlmPlan, Planned, make_plan

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run

SUITE = "batching"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    llm: LlmPlan
    pairs: tuple[tuple[Scenario, Planned], ...]


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process; made once."""
    if PLAN not in config.stash:
        level, where = run.settings.level, run.where
        found = {entry.case.name: entry for entry in scenarios(level, where.device, run.draw_seed())}
        plan = make_plan(config, SUITE, [entry.case for entry in found.values()], where, level)
        pairs = tuple((found[entry.case.name].taken_as(entry.case), entry) for entry in plan.planned)
        config.stash[PLAN] = Plan(plan, pairs)
    return config.stash[PLAN]
