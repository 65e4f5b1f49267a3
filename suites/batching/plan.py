"""Which scenarios run on which backends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.batching.cases import scenarios_on
from pytest_trtcheck._suites.batching.scenarios import Scenario
from pytest_trtcheck._suites.probe_llm.planning import LlmPlan, Planned, dtypes_on, make_plan
from pytest_trtcheck._suites.support.hooks import planned_once
from pytest_trtcheck.model.level import Level

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
    """Return the plan of this process."""
    return planned_once(config, run, PLAN, _make_plan)


def _make_plan(config: pytest.Config, run: Run) -> Plan:
    level, where, seed = run.settings.level, run.where, run.draw_seed()
    found = {
        entry.case.name: entry
        for dtype in dtypes_on(where.device)
        for entry in scenarios_on(where.device, dtype, level, seed)
    }
    most_dtypes = 1 if level.rank <= Level.QUICK.rank else len(dtypes_on(where.device))
    plan = make_plan(config, SUITE, [one.case for one in found.values()], where, level, most_dtypes=most_dtypes)
    pairs = tuple((found[entry.case.name].taken_as(entry.case), entry) for entry in plan.planned)
    return Plan(plan, pairs)
