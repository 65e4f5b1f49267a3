"""The controller's side of isolation: deals out checks, watches deadlines, names deaths, passes on import health."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.isolation.death import POISONED_STATUS, Death, End, describe_death, memory_kill_count
from pytest_trtcheck.isolation.exchange import Exchange
from pytest_trtcheck.isolation.places import ALL_GPUS
from pytest_trtcheck.isolation.schedule import CheckScheduling
from pytest_trtcheck.isolation.watch import Watch, kill_tagged, kill_tree
from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.facts import ImportOutcome, ImportStatus
from pytest_trtcheck.model.report import Isolation
from pytest_trtcheck.report.json_report import stack_to_dict

if TYPE_CHECKING:
    from pytest_trtcheck.session.isolate import Arrangement
    from pytest_trtcheck.session.run import Run

_EXIT_WAIT_SECONDS = 5
_MOST_LOST_COLLECTING = 2


class Controller:
    """Registered where checks run on workers."""

    def __init__(self, run: Run, arrangement: Arrangement) -> None:
        self.run = run
        self.arrangement = arrangement
        self.exchange = Exchange.create()
        self.watch = Watch()
        self.restarts = 0
        self.notes: list[str] = []
        self.scheduling: CheckScheduling | None = None
        self._nodes: list[Any] = []
        self.deselected: set[str] = set()
        """Bundled checks that the user's selection left out, as the first worker tells."""
        self._plan: dict[str, dict[str, Any]] = {}
        self._collected: list[str] | None = None
        self._lost_collecting = 0
        self._errors: dict[Any, object] = {}
        self._memory_kills = memory_kill_count()

    @property
    def isolation(self) -> Isolation:
        """What to say of it in the report."""
        option = self.run.config.option
        return Isolation(
            mode="workers",
            workers=tuple(place.name for place in self.arrangement.places),
            restarts=self.restarts,
            max_restarts=int(option.maxworkerrestart),
            notes=tuple(self.notes),
        )

    @property
    def restarts_spent(self) -> bool:
        """True when workers died more often than is allowed."""
        return self.restarts > int(self.run.config.option.maxworkerrestart)

    # Starting workers.

    def pytest_xdist_setupnodes(self) -> None:
        """Begin to watch when workers are about to start."""
        self.watch.start()

    def pytest_configure_node(self, node: Any) -> None:
        """Hand over the facts, so that they are read once, and the way to tell more."""
        self._nodes.append(node)
        node.workerinput.update(self._input)

    @cached_property
    def _input(self) -> dict[str, Any]:
        """What every worker is handed, the replacement of a dead one too."""
        return {
            "trtcheck_stack": json.dumps(stack_to_dict(self.run.stack)),
            "trtcheck_questions": json.dumps(self.run.questions),
            "trtcheck_exchange": str(self.exchange.folder),
            "trtcheck_gpu_count": self.arrangement.gpu_count,
            "trtcheck_seed": self.run.next_seed,
        }

    def pytest_testnodeready(self, node: Any) -> None:
        """Start the clock of a worker's collection: importing the user's files may hang too."""
        self._begin_outside(node)

    def pytest_xdist_make_scheduler(self) -> CheckScheduling:
        """Deal out checks by the GPUs that they need."""
        everything = next((place for place in self.arrangement.places if place.name == ALL_GPUS), None)
        devices = ",".join(everything.devices or ()) if everything else None
        self.scheduling = CheckScheduling(
            len(self.arrangement.places),
            gpus_needed=lambda nodeid: int(self._plan.get(nodeid, {}).get("gpus", 1)) if everything else 1,
            group_of=lambda nodeid: str(self._plan.get(nodeid, {}).get("group", "")),
            sees_all=lambda node: devices is not None and _environment(node).get("CUDA_VISIBLE_DEVICES") == devices,
        )
        return self.scheduling

    @pytest.hookimpl(tryfirst=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Take the first worker's plan and start the imports that its items ask for."""
        self.watch.end(_outside(node))
        if self._collected is not None:
            if list(ids) != self._collected:
                self._stop(
                    f"{node.gateway.id} collected other checks than the first: their names change from run to run"
                )
            return
        self._collected = list(ids)
        plan = self.exchange.get(f"plan-{node.gateway.id}") or {"checks": {}, "deselected": []}
        self._plan, self.deselected = plan["checks"], set(plan["deselected"])
        threading.Thread(target=self._import, args=(list(ids),), daemon=True, name="trtcheck-imports").start()

    def _import(self, ids: list[str]) -> None:
        components = self.run.components_of(ids)
        self.run.start_imports(components)
        threads = [threading.Thread(target=self._pass_on, args=(key,), daemon=True) for key in components]
        for thread in threads:
            thread.start()

    def _pass_on(self, component: str) -> None:
        try:
            outcome = self.run.import_outcome(component)
        except Exception as error:  # noqa: BLE001 - a worker waits for this: it must hear of it
            outcome = ImportOutcome(component, "", ImportStatus.NOT_RUN, message=f"{type(error).__name__}: {error}")
        if self.exchange.folder.exists():
            self.exchange.put(f"import-{component}", encode(outcome))

    # Running.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Start the clock of a check."""
        assert self.scheduling
        node = self.scheduling.started(nodeid)
        if node is None:
            return
        self.watch.end(_outside(node))
        process = _process(node)
        if process is not None:
            deadline = self._plan.get(nodeid, {}).get("deadline", self.run.settings.deadline_seconds)
            self.watch.begin(nodeid, process.pid, float(deadline))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Stop it."""
        assert self.scheduling
        self.scheduling.finished(nodeid)
        self.watch.end(nodeid)
        node = self.scheduling.worker_of(nodeid)
        if node is not None:
            # Until its next check begins, or it leaves.
            self._begin_outside(node)

    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Turn xdist's report of a dead worker into one that says how it ended, with its last words."""
        self.watch.end(crashitem)
        node = report.node
        left = self._errors.get(node) == "keyboard-interrupt"
        status = None if left else _exit_status(node)
        hung = self.watch.hung.get(crashitem)
        kills = memory_kill_count()
        tail = self.exchange.tail(node.gateway.id, crashitem)
        death = describe_death(
            status, tail, hang_seconds=hung.deadline_seconds if hung else None, memory_kills=kills - self._memory_kills
        )
        self._memory_kills = kills
        if left:
            death = Death(End.EXIT, "exit: KeyboardInterrupt or pytest.exit in the middle of the check")
        text = "\n\n".join(part for part in (_stderr(tail), hung.native_stack if hung else "") if part.strip())
        report.longrepr = f"{death.message}\n\n{text}" if text else death.message
        report.trtcheck = json.dumps({"outcome": "error", "message": death.message, "text": text})
        report.worker_id = node.gateway.id
        self.notes.append(f"{node.gateway.id} ended in {crashitem}: {death.message}")

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Count restarts."""
        self.watch.end(_outside(node))
        if not error:
            if self.scheduling is not None and self.scheduling.is_running(node):
                self._stop(f"{node.gateway.id} left in the middle of a check, as pytest.exit does")
            return
        self.restarts += 1
        self._errors[node] = error
        if error == "keyboard-interrupt":
            self._kill(node)
        status = _exit_status(node)
        kill_tagged({"PYTEST_XDIST_TESTRUNUID": node.workerinput["testrunuid"], "PYTEST_XDIST_WORKER": node.gateway.id})
        if status == POISONED_STATUS:
            self.notes.append(f"{node.gateway.id} was replaced: its CUDA context was lost")
        elif self.scheduling is None or not self.scheduling.is_running(node):
            self._lost_outside(node, status)
        if self.restarts_spent:
            bound = self.run.config.option.maxworkerrestart
            self.notes.append(f"more than {bound} workers died: no more were started, and what was left did not run")

    def _lost_outside(self, node: Any, status: int | None) -> None:
        """Name a worker's end outside any check; two that end while collecting end the run."""
        hung = self.watch.hung.get(_outside(node))
        tail = self.exchange.tail(node.gateway.id, "")
        death = describe_death(status, tail, hang_seconds=hung.deadline_seconds if hung else None)
        collecting = not self.scheduling or not self.scheduling.has_collected(node)
        where = "while collecting" if collecting else "between checks or while leaving"
        words = f"{node.gateway.id} ended {where}: {death.message}"
        self.notes.append(words)
        self._lost_collecting += collecting
        if self._lost_collecting == _MOST_LOST_COLLECTING:
            conclusion: Any = self.run.config.pluginmanager.getplugin("trtcheck-conclusion")
            conclusion.lost_file("collection", words, _stderr(tail))
            self._stop("workers die while they collect")

    def _begin_outside(self, node: Any) -> None:
        process = _process(node)
        if process is not None:
            self.watch.begin(_outside(node), process.pid, self.run.settings.deadline_seconds)

    def _stop(self, words: str) -> None:
        """End the run as xdist does on --maxfail, with these words."""
        self.notes.append(words)
        session: Any = self.run.config.pluginmanager.getplugin("dsession")
        session.shouldstop = words

    def _kill(self, node: Any) -> None:
        process = _process(node)
        if process is not None and process.poll() is None:
            kill_tree(process.pid)

    # Ending.

    def status_of(self, exit_status: int) -> int:
        """Return 1 for a run that -x or --maxfail ended, as pytest itself does; xdist calls that interrupted."""
        session: Any = self.run.config.pluginmanager.getplugin("dsession")
        stopped = str(getattr(session, "shouldstop", "") or "").startswith("stopping after")
        return (
            int(pytest.ExitCode.TESTS_FAILED) if stopped and exit_status == pytest.ExitCode.INTERRUPTED else exit_status
        )

    def kill_workers(self) -> None:
        """Kill all workers at once: a run that is interrupted does not wait for a blocked one."""
        for node in self._nodes:
            self._kill(node)

    def close(self) -> None:
        """Stop watching and remove the exchange folder."""
        self.watch.close()
        self.exchange.remove()


def _outside(node: Any) -> str:
    """Return the watch's name for what a worker does outside checks."""
    return f"{node.gateway.id} outside a check"


def _stderr(tail: str) -> str:
    return f"last lines of the worker's output:\n{tail.rstrip()}" if tail.strip() else ""


def _process(node: Any) -> Any:
    """Return the subprocess.Popen of a worker; execnet has no public way to it."""
    return getattr(getattr(node.gateway, "_io", None), "popen", None)


def _exit_status(node: Any) -> int | None:
    process = _process(node)
    if process is None:
        return None
    try:
        return int(process.wait(timeout=_EXIT_WAIT_SECONDS))
    except Exception:  # noqa: BLE001 - whatever execnet holds there, the run goes on without the status
        return None


def _environment(node: Any) -> dict[str, str]:
    env: dict[str, str] = getattr(node.gateway.spec, "env", {})
    return env
