"""How far a run is: a line that renews itself in a terminal, a plain line from time to time elsewhere."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_trtcheck.session.outcome import OWN_TESTS
from pytest_trtcheck.session.screen import Screen

if TYPE_CHECKING:
    from pytest_trtcheck.session.controller import Controller
    from pytest_trtcheck.session.isolate import Arrangement
    from pytest_trtcheck.session.run import Run

LIVE_SECONDS = 0.5
LIVE_AFTER_SECONDS = 1.0
"""A run that is over by then shows none."""
PLAIN_SECONDS = 30.0
_LEAST_FINISHED = 3
_PHASES = frozenset({"setup", "call", "teardown"})


class Estimate:
    """How long what is left will take, by how long checks of the same suite took, or by the baseline."""

    def __init__(self, suites: Mapping[str, str], known: Mapping[str, float], lanes: int) -> None:
        """Take the suite of each check to come, the seconds of those that an earlier run timed, and the workers."""
        self._suites = dict(suites)
        self._known = known
        self._lanes = max(lanes, 1)
        self._took: dict[str, list[float]] = {}
        self.finished = 0

    @property
    def total(self) -> int:
        """Checks that were planned."""
        return self.finished + len(self._suites)

    def finish(self, nodeid: str, seconds: float) -> None:
        """Note that a check is over."""
        suite = self._suites.pop(nodeid, None)
        if suite is not None:
            self.finished += 1
            self._took.setdefault(suite, []).append(seconds)

    def left(self, running: Mapping[str, float]) -> float | None:
        """Return seconds; None while too little is known. ``running`` has the seconds that a check has been running."""
        everything = [seconds for times in self._took.values() for seconds in times]
        if self._suites and len(everything) < _LEAST_FINISHED and not self._known:
            return None
        overall = sum(everything) / len(everything) if everything else 0.0
        means = {suite: sum(times) / len(times) for suite, times in self._took.items()}
        expected = {
            nodeid: self._known.get(nodeid, means.get(suite, overall)) for nodeid, suite in self._suites.items()
        }
        rest = sum(max(seconds - running.get(nodeid, 0.0), 0.0) for nodeid, seconds in expected.items())
        # What is left cannot be shared out finer than by check.
        longest = max((max(expected[key] - running.get(key, 0.0), 0.0) for key in expected), default=0.0)
        return max(rest / min(self._lanes, len(expected) or 1), longest)


class Progress:
    """Active where the terminal is: in the controller, or in the only process of a run without workers."""

    def __init__(self, run: Run, arrangement: Arrangement, controller: Controller | None) -> None:
        self.run = run
        self.arrangement = arrangement
        self.controller = controller
        self._ids: Sequence[str] = ()
        self._estimate: Estimate | None = None
        self._running: dict[str, tuple[float, str]] = {}
        """When each check began, and where it runs."""
        self._lock = threading.Lock()
        self._screen: Screen | None = None
        self._is_live = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is to come, in a run without workers."""
        self._ids = [item.nodeid for item in session.items]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note what is to come, with workers."""
        self._ids = ids

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Note the beginning of a check; at the first, begin to tell."""
        if self._estimate is None:
            self._begin()
        with self._lock:
            self._running[nodeid] = time.monotonic(), self._place(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a check whose worker died: nothing else tells of it."""
        if report.when not in _PHASES:
            self._finish(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note the end of a check."""
        self._finish(nodeid)

    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        self.stop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Leave the terminal to the summary."""
        self.stop()

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind, however the run ended."""
        self.stop()

    def stop(self) -> None:
        """Take the line away and tell no more."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._screen is not None:
            self._screen.close()
            self._screen = None

    def _begin(self) -> None:
        self._estimate = Estimate(
            {nodeid: self._suite(nodeid) for nodeid in self._ids}, self._known(), len(self.arrangement.places)
        )
        config = self.run.config
        reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        if reporter is None:
            return
        _end_status_line(config, reporter)
        if config.get_verbosity() < 0 or self._over.is_set():
            return
        try:
            self._screen = Screen(reporter)
        except (AttributeError, OSError, ValueError):
            # Not a file with a descriptor: a reporter of another plugin, or output that a test of a plugin catches.
            return
        self._is_live = self._can_renew(reporter)
        self._thread = threading.Thread(target=self._tell, daemon=True, name="trtcheck-progress")
        self._thread.start()

    def _can_renew(self, reporter: Any) -> bool:
        """Say whether a line can be taken back here: not in a log, and not where tests write between."""
        is_terminal = reporter._tw._file.isatty() and os.environ.get("TERM", "dumb") != "dumb"  # noqa: SLF001
        return bool(is_terminal and not os.environ.get("CI") and self.run.config.option.capture != "no")

    def _suite(self, nodeid: str) -> str:
        planned = self.run.planned.get(nodeid)
        return planned.suite if planned else OWN_TESTS

    def _known(self) -> dict[str, float]:
        """Return the seconds of checks that the baseline timed, by node id."""
        baseline = self.run.settings.baseline
        if baseline is None:
            return {}
        seconds = {result.name: result.seconds for result in baseline.results if result.reason is None}
        return {
            nodeid: seconds[planned.name] for nodeid, planned in self.run.planned.items() if planned.name in seconds
        }

    def _place(self, nodeid: str) -> str:
        """Return the GPU that a check runs on, or its worker; empty where there are no workers."""
        scheduling = self.controller.scheduling if self.controller is not None else None
        node = scheduling.worker_of(nodeid) if scheduling is not None else None
        if node is None:
            return ""
        devices = getattr(node.gateway.spec, "env", {}).get("CUDA_VISIBLE_DEVICES", "")
        names = (place.name for place in self.arrangement.places if ",".join(place.devices or ()) == devices)
        return next(names, str(node.gateway.id))

    def _finish(self, nodeid: str) -> None:
        with self._lock:
            begun = self._running.pop(nodeid, None)
            if begun is not None and self._estimate is not None:
                self._estimate.finish(nodeid, time.monotonic() - begun[0])

    def _tell(self) -> None:
        wait = LIVE_AFTER_SECONDS if self._is_live else PLAIN_SECONDS
        while not self._over.wait(wait):
            wait = LIVE_SECONDS if self._is_live else PLAIN_SECONDS
            screen, line = self._screen, self.line()
            if screen is not None and line:
                (screen.show if self._is_live else screen.say)(line)

    def line(self) -> str:
        """Return how far the run is, on one line; empty between checks."""
        now = time.monotonic()
        with self._lock:
            running = {nodeid: (now - begun, place) for nodeid, (begun, place) in self._running.items()}
            estimate = self._estimate
            left = estimate.left({nodeid: seconds for nodeid, (seconds, _) in running.items()}) if estimate else None
        if estimate is None or not running:
            return ""
        budget = self.run.settings.level.budget_seconds
        parts = [
            f"trtcheck {clock(now - self.run.clock)} of {clock(budget)}",
            f"{estimate.finished} of {estimate.total} checks{'' if left is None else f', about {clock(left)} left'}",
        ]
        longest = sorted(running.items(), key=lambda item: -item[1][0])
        parts += [
            f"{f'{place}: ' if place else ''}{self._name(nodeid)} {clock(seconds)}"
            for nodeid, (seconds, place) in longest
        ]
        return " | ".join(parts)

    def _name(self, nodeid: str) -> str:
        planned = self.run.planned.get(nodeid)
        return planned.name if planned else nodeid


def _end_status_line(config: pytest.Config, reporter: Any) -> None:
    """Let marks of checks begin on a line of their own, which xdist's status no longer overwrites.

    In a terminal xdist rewrites the line it is on whenever a worker comes up, as after a crash. Marks stood there.
    """
    status: Any = config.pluginmanager.getplugin("terminaldistreporter")
    if status is not None and getattr(status, "_isatty", False):
        status._isatty = False  # noqa: SLF001 - it has no switch
        reporter._tw.line()  # noqa: SLF001


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, hours before them where there are any."""
    whole = int(max(seconds, 0))
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
