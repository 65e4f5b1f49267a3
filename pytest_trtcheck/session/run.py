"""The state of one run in one process: settings, facts, the questions asked, import health."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.facts import ImportOutcome, Stack
from pytest_trtcheck.verdict import Evaluation, evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.probe.imports import ImportRunner
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.session.outcome import Planned
    from pytest_trtcheck.session.settings import Settings
    from pytest_trtcheck.verdict.base import Unasked

RUN: pytest.StashKey[Run] = pytest.StashKey()


def run_of(config: pytest.Config) -> Run:
    """Return the run of this process; made on first use where ``--trtcheck`` was not given."""
    run = config.stash.get(RUN, None)
    if run is None:
        from pytest_trtcheck.session.settings import read_settings

        run = config.stash[RUN] = Run(config, read_settings(config))
    return run


class Run:
    """Facts are read once per run: by the controller, which hands them to its xdist workers."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.imports: dict[str, ImportOutcome] = {}
        """Import outcomes seen in this process, by module."""
        self.planned: dict[str, Planned] = {}
        """The bundled checks of this run, by node id."""
        self._runners: dict[str, ImportRunner] = {}

    @cached_property
    def matrix(self) -> Matrix:
        """The version matrix with the site's overlays."""
        from pytest_trtcheck.rules.load import load_matrix

        return load_matrix(self.settings.overlays)

    @cached_property
    def catalogue(self) -> Mapping[str, Check]:
        """All checks that have an id."""
        from pytest_trtcheck.rules.catalogue import load_catalogue

        return load_catalogue()

    @cached_property
    def stack(self) -> Stack:
        """The facts, without import outcomes."""
        handed_over = getattr(self.config, "workerinput", {}).get("trtcheck_stack")
        if handed_over is not None:
            from pytest_trtcheck.session.xdist import unpack_stack

            return unpack_stack(handed_over)
        given: Stack | None = self.config.hook.pytest_trtcheck_probe_stack(config=self.config)
        if given is not None:
            return given
        from pytest_trtcheck.probe.host import probe_host

        return probe_host(self.settings.level)

    @cached_property
    def stack_suite(self) -> dict[str, Finding | Unasked]:
        """What the stack suite asks, by key, as far as it can be answered before any import."""
        return self.evaluate().by_key()

    def plan(self, session: pytest.Session) -> list[pytest.Item]:
        """Collect the bundled suites and note every check in the plan."""
        from pytest_trtcheck.session.collect import Suites
        from pytest_trtcheck.session.outcome import planned_of

        items = list(session.genitems(Suites.from_parent(session, name="trtcheck", nodeid="trtcheck")))
        self.planned = {item.nodeid: planned_of(item) for item in items}
        return items

    def question_of(self, item: pytest.Item) -> str:
        """Return the key of the question that an item of the stack suite asks; empty for other items."""
        planned = self.planned.get(item.nodeid)
        return planned.name if planned and planned.suite == "stack" else ""

    def evaluate(self) -> Evaluation:
        """Hold the facts, with the import outcomes known by now, against the matrix."""
        stack = replace(self.stack, imports=tuple(self.imports[module] for module in sorted(self.imports)))
        return evaluate(stack, self.matrix, self.catalogue, level=self.settings.level)

    def answer(self, key: str) -> Finding | Unasked:
        """Return the answer to one question of the stack suite, importing libraries where it needs that."""
        known = self.stack_suite[key]
        component = getattr(known, "needs_import", "")
        if not component:
            return known
        self.import_outcome(component)
        return self.evaluate().by_key()[key]

    def start_imports(self, components: list[str]) -> None:
        """Start the imports of these components side by side, in child processes."""
        from pytest_trtcheck.probe.imports import ImportRunner, plan_imports

        tasks = [task for task in plan_imports(self.stack.distributions) if task.component in components]
        runner = ImportRunner(tasks, deadline_seconds=self.settings.level.import_deadline_seconds)
        runner.start()
        self._runners.update(dict.fromkeys(components, runner))

    def import_outcome(self, component: str) -> ImportOutcome:
        """Return how the import of one component went; waits for its child process."""
        if component not in self.imports:
            # Under xdist nobody knows which worker asks next, so each imports what its own items need.
            if component not in self._runners:
                self.start_imports([component])
            self.imports[component] = self._runners[component].outcome(component)
        return self.imports[component]

    def close(self) -> None:
        """End child processes that still run."""
        for runner in set(self._runners.values()):
            runner.close()
        self._runners.clear()
