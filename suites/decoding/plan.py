"""Which decoding cases run on which backends here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.decoding.cases import DecodingCase, cases
from pytest_trtcheck._suites.probe_llm.planning import LlmPlan, Planned, dtypes_on, make_plan
from pytest_trtcheck._suites.support.hooks import planned_once

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run

SUITE = "decoding"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    llm: LlmPlan
    pairs: tuple[tuple[DecodingCase, Planned], ...]


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process."""
    return planned_once(config, run, PLAN, _make_plan)


def _make_plan(config: pytest.Config, run: Run) -> Plan:
    level, where = run.settings.level, run.where
    made = [one for dtype in dtypes_on(where.device) for one in cases(level, dtype, run.draw_seed())]
    found = {(one.case.setup, one.name): one for one in made}
    plan = make_plan(config, SUITE, [one.case for one in made], where, level, most_dtypes=1, with_told=False)
    pairs = tuple((found[entry.case.setup, entry.case.name], entry) for entry in plan.planned)
    return Plan(plan, pairs)
