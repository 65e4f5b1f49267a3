"""The state of one run in one process: settings, facts, the questions asked, import health."""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import replace
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_trtcheck.model.codec import decode
from pytest_trtcheck.model.facts import ImportOutcome, Stack
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.verdict import Evaluation, evaluate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_trtcheck.image.pins import Contents
    from pytest_trtcheck.isolation.exchange import Exchange
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.model.report import Unsupported
    from pytest_trtcheck.probe.imports import ImportRunner
    from pytest_trtcheck.providers import Where
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.session.outcome import Planned
    from pytest_trtcheck.session.settings import Settings
    from pytest_trtcheck.verdict.base import Unasked

RUN: pytest.StashKey[Run] = pytest.StashKey()


def now() -> str:
    """Return the time of day as reports give it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def run_of(config: pytest.Config) -> Run:
    """Return the run of this process; made on first use where ``--trtcheck`` was not given."""
    run = config.stash.get(RUN, None)
    if run is None:
        from pytest_trtcheck.session.settings import read_settings

        run = config.stash[RUN] = Run(config, read_settings(config))
    return run


class Question(NamedTuple):
    """A question of the stack suite, as far as planning it goes."""

    check_id: str
    needs_import: str
    """Component whose import answers it; empty for one that is answered already."""


class Run:
    """Facts are read once per run: by the controller, which hands them to its xdist workers."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config = config
        self.settings = settings
        self.started = now()
        self.clock = time.monotonic()
        self.imports: dict[str, ImportOutcome] = {}
        """Import outcomes seen in this process, by module."""
        self.gpu_count: int = getattr(config, "workerinput", {}).get("trtcheck_gpu_count", 0)
        """GPUs that checks may use."""
        self.planned: dict[str, Planned] = {}
        """The bundled checks of this run, by node id."""
        self.unsupported: list[Unsupported] = []
        """What providers said they cannot do here; noted while planning."""
        self.left_out: list[str] = []
        """What planning left out, in words, for every report."""
        self.seed: int | None = None
        """What inputs are drawn from; None until a suite asks for it."""
        self.contents: Contents | None = None
        """What the image under test contains; None where there is none, and in workers."""
        self._runners: dict[str, ImportRunner] = {}

    @cached_property
    def exchange(self) -> Exchange | None:
        """The way to the controller, in a worker; None elsewhere."""
        from pytest_trtcheck.isolation.exchange import Exchange

        folder = getattr(self.config, "workerinput", {}).get("trtcheck_exchange")
        return Exchange(Path(folder)) if folder else None

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
            from pytest_trtcheck.report.json_report import stack_from_dict

            return stack_from_dict(json.loads(handed_over))
        if self.settings.described is not None:
            return self.settings.described
        if self.settings.image is not None:
            from pytest_trtcheck.session.image import judged_image

            stack, self.contents = judged_image(self.settings.image, self.matrix)
            return stack
        given: Stack | None = self.config.hook.pytest_trtcheck_probe_stack(config=self.config)
        if given is not None:
            return given
        from pytest_trtcheck.probe.host import probe_host

        stack = probe_host(self.settings.level)
        if self.settings.level is Level.STATIC:
            return stack
        from pytest_trtcheck.binaries.host import gpu_code_of_host

        return replace(stack, facts={**stack.facts, "gpu_code": gpu_code_of_host(stack, sys.path)})

    @cached_property
    def stack_suite(self) -> dict[str, Finding | Unasked]:
        """What the stack suite asks, by key, as far as it can be answered before any import."""
        return self.evaluate().by_key()

    @cached_property
    def questions(self) -> dict[str, Question]:
        """What the stack suite asks, by key; a worker takes it from its controller, which judged the stack already."""
        handed_over = getattr(self.config, "workerinput", {}).get("trtcheck_questions")
        if handed_over is not None:
            return {key: Question(*fields) for key, fields in json.loads(handed_over).items()}
        return {key: Question(asked.id, getattr(asked, "needs_import", "")) for key, asked in self.stack_suite.items()}

    @cached_property
    def where(self) -> Where:
        """Where kernels would run: on a GPU when there is one that checks may use and torch was built for CUDA."""
        from pytest_trtcheck.providers import Where

        stack = self.stack
        cuda = stack.get("torch_cuda")
        gpus = stack.gpus if self.gpu_count and cuda.is_found and cuda.value != "none" else ()
        return Where(
            device="cuda" if gpus else "cpu",
            compute_capability=gpus[0].compute_capability if gpus else "",
            versions=stack.versions,
            distributions={entry.name: entry.version for entry in stack.distributions},
        )

    @cached_property
    def next_seed(self) -> int:
        """What will be drawn from if anything is; a worker takes it from its controller."""
        handed_over = getattr(self.config, "workerinput", {}).get("trtcheck_seed")
        asked = handed_over if handed_over is not None else self.settings.seed
        return secrets.randbelow(2**31) if asked is None else int(asked)

    def draw_seed(self) -> int:
        """Return the seed of this run: the one that was asked for, else a fresh one, the same in all processes."""
        self.seed = self.next_seed
        return self.seed

    @cached_property
    def suites(self) -> frozenset[str]:
        """Names of the suites that may have something to run.

        On a described stack, and at level static, that is the stack suite; elsewhere all that have what they need.
        """
        from pytest_trtcheck.session.collect import present_suites

        if self.settings.described is not None or self.settings.level is Level.STATIC:
            return frozenset({"stack"})
        return frozenset(present_suites(self.stack, self.settings))

    def plan(self, session: pytest.Session) -> list[pytest.Item]:
        """Collect the bundled suites and note every check in the plan."""
        from pytest_trtcheck.session.collect import ROOT, Suites, without_foreign_fixtures
        from pytest_trtcheck.session.outcome import planned_of

        items = list(session.genitems(Suites.from_parent(session, name=ROOT, nodeid=ROOT)))
        # pytest makes one item for an empty list of parameters.
        items = [item for item in items if getattr(getattr(item, "callspec", None), "id", "") != "NOTSET"]
        for item in items:
            without_foreign_fixtures(item)
            # A site's "filterwarnings = error" is about its own code, not about what libraries say when imported.
            item.add_marker(pytest.mark.filterwarnings("ignore"))
        self.planned = {item.nodeid: planned_of(item) for item in items}
        return items

    def components_of(self, nodeids: Iterable[str]) -> list[str]:
        """Return the components whose import these items of the stack suite ask for, sorted."""
        planned = [self.planned[nodeid] for nodeid in nodeids if nodeid in self.planned]
        asked = {self.questions[entry.name].needs_import for entry in planned if entry.name in self.questions}
        return sorted(asked.union(*(entry.needs for entry in planned)) - {""})

    def evaluate(self) -> Evaluation:
        """Hold the facts, with the import outcomes known by now, against the matrix."""
        stack = replace(self.stack, imports=tuple(self.imports[module] for module in sorted(self.imports)))
        return evaluate(stack, self.matrix, self.catalogue, level=self.settings.level)

    def answer(self, key: str) -> Finding | Unasked:
        """Return the answer to one question of the stack suite, importing libraries where it needs that."""
        component = self.questions[key].needs_import
        if not component:
            return self.stack_suite[key]
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
            self.imports[component] = self._passed_on(component) or self._runners[component].outcome(component)
        return self.imports[component]

    def _passed_on(self, component: str) -> ImportOutcome | None:
        """Return what the controller saw, when this is a worker: imports run once, side by side, in its charge."""
        if self.exchange is None:
            return None
        return decode(ImportOutcome, self.exchange.wait(f"import-{component}"))

    def close(self) -> None:
        """End child processes that still run."""
        for runner in set(self._runners.values()):
            runner.close()
        self._runners.clear()
