"""Plans in files: what their headers tell, what the matrix makes of it here, and what the runtime says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.engine.loading import Loaded, load_files
from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.model.finding import Finding, Severity, Verdict
from pytest_trtcheck.probe.plan_files import EngineFolder, PlanFile, read_engine_folder, read_plan
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.verdict import evaluate

if TYPE_CHECKING:
    from pytest_trtcheck.session.run import Run

SECONDS = 120.0
"""Time to import TensorRT and load a plan, which may be many gigabytes."""
_ABOUT_ENGINES = "TRC-ENG-"
LOADER = "pytest_trtcheck._suites.engine.providers.tensorrt:TensorRTEngines"


@dataclass(frozen=True)
class Prediction:
    """What header, ``config.json`` and matrix make of a file before anything loads it."""

    verdict: Verdict
    """Whether it will load here."""
    words: str
    """One line."""


@dataclass(frozen=True)
class Answer:
    """What is told of a file."""

    state: str
    """``passed``, ``failed`` or ``not_run``."""
    words: str
    seconds: float = 0.0


def read(path: Path) -> tuple[PlanFile, EngineFolder | None]:
    """Return what the file's header tells, and what TensorRT-LLM's builder wrote beside it."""
    root = Root("/")
    absolute = path.absolute().as_posix()
    return read_plan(root, absolute), read_engine_folder(root, absolute.rpartition("/")[0] or "/")


def predict(plan: PlanFile, folder: EngineFolder | None, run: Run) -> Prediction:
    """Return whether the matrix lets expect that this machine loads the file."""
    if not plan.tensorrt and not plan.note.startswith("a plan of header format"):
        return Prediction(Verdict.INCOMPATIBLE, f"{plan.path}: {plan.note}")
    built = {"engine_built_with_tensorrt": plan.tensorrt}
    if folder is not None:
        built["engine_built_with_tensorrt_llm"] = folder.tensorrt_llm
    facts = {
        key: Fact(key, State.FOUND, value, plan.path, "header of the plan, config.json")
        for key, value in built.items()
        if value
    }
    stack = replace(run.stack, facts={**run.stack.facts, **facts})
    found = evaluate(stack, run.matrix, run.catalogue, level=run.settings.level).findings
    return _conclude(plan, [one for one in found if one.id.startswith(_ABOUT_ENGINES)])


def _conclude(plan: PlanFile, findings: Sequence[Finding]) -> Prediction:
    """Return the worst of what was found; nothing found is unknown."""
    order = [Verdict.INCOMPATIBLE, Verdict.UNKNOWN, Verdict.COMPATIBLE]
    if not findings:
        why = plan.note or "no TensorRT was found here to hold it against"
        return Prediction(Verdict.UNKNOWN, f"{plan.path}: {why}")
    worst = min(findings, key=lambda one: (order.index(one.verdict), one.severity is not Severity.ERROR))
    words = f"{plan.path}: expected {worst.expected}, found {worst.found}"
    return Prediction(worst.verdict, f"{words}; {worst.detail}" if worst.detail else words)


def answer(path: Path, prediction: Prediction, why_not: str, loader: str = LOADER) -> Answer:
    """Return what becomes of a file: by the runtime where there is one that can be asked, else by the prediction."""
    if why_not:
        state = "failed" if prediction.verdict is Verdict.INCOMPATIBLE else "not_run"
        return Answer(state, f"{prediction.words}; not loaded: {why_not}")
    return compare(prediction, load_files(loader, [path], SECONDS)[0])


def compare(prediction: Prediction, loaded: Loaded) -> Answer:
    """Hold what was predicted against what happened; what happened decides."""
    predicted = {
        Verdict.COMPATIBLE: "should load", Verdict.INCOMPATIBLE: "should not load", Verdict.UNKNOWN: "may load",
    }[prediction.verdict]  # fmt: skip
    if loaded.problem:
        agreed = (
            "as predicted" if prediction.verdict is Verdict.INCOMPATIBLE else f"though by the matrix it {predicted}"
        )
        return Answer("failed", f"it does not load, {agreed}: {loaded.problem}; {prediction.words}")
    agreed = f", though by the matrix it {predicted}" if prediction.verdict is Verdict.INCOMPATIBLE else ""
    return Answer("passed", f"it loads{agreed}; {prediction.words}", loaded.seconds)
