"""Does each library import, survive its first use, and leave cleanly?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import BY_KEY, STACK_DISTRIBUTIONS, title_of
from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.probe.imports import plan_imports
from pytest_trtcheck.verdict.families.libraries import what_is_there

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.components import Component
    from pytest_trtcheck.model.facts import ImportOutcome
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

_WORDS = {
    ImportStatus.MISSING_LIBRARY: "a library is missing",
    ImportStatus.UNDEFINED_SYMBOL: "a symbol is undefined",
    ImportStatus.VERSION_NODE_MISSING: "a library is too old",
    ImportStatus.DRIVER_TOO_OLD: "the driver is too old",
    ImportStatus.NO_DEVICE: "no GPU answers",
    ImportStatus.MISSING_MODULE: "a Python module is missing",
    ImportStatus.PYTHON_ERROR: "it raises",
    ImportStatus.CRASH: "the process dies",
    ImportStatus.HANG: "it hangs",
    ImportStatus.NOT_RUN: "it was not run",
}


_TOUCH_WORDS = {
    "tensorrt": "Runtime(logger) returns",
    "torch": "torch.zeros(1) + 1 on the CPU gives 1",
    "onnxruntime": "get_available_providers() returns",
}


def imports(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the import of every installed library that has a module."""
    if context.stack.kind != "host":
        return
    outcomes = {STACK_DISTRIBUTIONS.get(outcome.distribution): outcome for outcome in context.stack.imports}
    for task in plan_imports(context.stack.distributions):
        component, outcome = BY_KEY[task.component], outcomes.get(task.component)
        if outcome is None:
            yield from _not_imported(context, component)
            continue
        yield _imports(context, component, outcome)
        if component.touch:
            yield _survives(context, component, outcome)
            yield _leaves(context, component, outcome)


def _not_imported(context: Context, component: Component) -> Iterator[Unasked]:
    for check in ("TRC-IMP-001", "TRC-IMP-002", "TRC-IMP-003") if component.touch else ("TRC-IMP-001",):
        if context.level is Level.STATIC:
            words = "level static imports nothing; use --trtcheck-level quick"
            yield context.unasked(check, component.key, Reason.LEVEL, words)
        else:
            yield context.unasked(check, component.key, Reason.STOPPED, "not imported in this run", component.key)


def _imports(context: Context, component: Component, outcome: ImportOutcome) -> Finding:
    check, words = "TRC-IMP-001", _common(component, f"import {outcome.module} succeeds")
    if outcome.status is ImportStatus.NOT_RUN:
        return context.unknown(check, component.key, words, found="not imported", detail=outcome.message)
    if outcome.status is ImportStatus.OK and (outcome.library or outcome.symbol):
        # It caught its own failure and said so in a log, as packages with an optional native part do.
        return context.compatible(check, component.key, words, severity=Severity.WARNING, found=outcome.message)
    if outcome.status is ImportStatus.OK or outcome.phase in {"touch", "exit"}:
        return context.compatible(check, component.key, words, found=f"imported in {outcome.seconds or 0:.1f} s")
    return _broken(context, check, component, outcome, words)


def _survives(context: Context, component: Component, outcome: ImportOutcome) -> Finding | Unasked:
    check, words = "TRC-IMP-002", _common(component, _TOUCH_WORDS[component.touch])
    if outcome.status is ImportStatus.OK or outcome.phase == "exit":
        return context.compatible(check, component.key, words, found="it returned")
    if outcome.phase != "touch":
        return context.unasked(check, component.key, Reason.NOT_APPLICABLE, f"{outcome.module} did not import")
    return _broken(context, check, component, outcome, words)


def _leaves(context: Context, component: Component, outcome: ImportOutcome) -> Finding | Unasked:
    check, words = "TRC-IMP-003", _common(component, "exit status 0")
    if outcome.status is ImportStatus.OK:
        return context.compatible(check, component.key, words, found="exit status 0")
    if outcome.phase != "exit":
        return context.unasked(check, component.key, Reason.NOT_APPLICABLE, "the process ended before its exit")
    end = outcome.signal or _WORDS[outcome.status]
    return context.compatible(
        check, component.key, words, severity=Severity.WARNING, found=f"{end} at interpreter exit"
    )


def _common(component: Component, expected: str) -> Words:
    return {"expected": expected, "facts": (component.key,)}


def _broken(context: Context, check: str, component: Component, outcome: ImportOutcome, words: Words) -> Finding:
    """State a failure, or that it cannot be told while there is no driver to work with."""
    found = outcome.signal or outcome.library or outcome.symbol
    message = f"{_WORDS[outcome.status]}{f' ({found})' if found else ''}: {outcome.message}".rstrip(": ")
    if _needs_driver(component, outcome) and not context.has("driver"):
        return context.unknown(
            check, component.key, words, found=message,
            detail="no NVIDIA driver is loaded here, and this step needs one",
            remedy="Run it again on a host with a GPU and driver.",
        )  # fmt: skip
    at_fault = tuple(dict.fromkeys(key for key in (outcome.provider, component.key) if key))
    return context.incompatible(
        check, component.key, words, components=at_fault, found=message,
        detail=_who_and_what(context, outcome), remedy=_remedy(context, component, outcome),
    )  # fmt: skip


def _needs_driver(component: Component, outcome: ImportOutcome) -> bool:
    """Say whether this end is what a missing driver does, rather than a broken installation.

    Only TensorRT's first use needs one: those of torch and ONNX Runtime are calls on the CPU.
    """
    if outcome.status in {ImportStatus.NO_DEVICE, ImportStatus.DRIVER_TOO_OLD} or outcome.provider == "driver":
        return True
    uses_driver = component.touch == "tensorrt"
    return (
        uses_driver and outcome.phase == "touch" and outcome.status in {ImportStatus.CRASH, ImportStatus.PYTHON_ERROR}
    )


def _who_and_what(context: Context, outcome: ImportOutcome) -> str:
    parts = [f"needed by {outcome.needed_by}"] if outcome.needed_by else []
    if outcome.library and outcome.provider in BY_KEY:
        parts.append(f"installed is {what_is_there(context, outcome.provider)}")
    return "; ".join(parts)


def _remedy(context: Context, component: Component, outcome: ImportOutcome) -> str:
    """Return the command that most likely mends it; empty texts fall back to the check's own words."""
    from pytest_trtcheck.verdict.remedies import for_missing_library, for_package

    if outcome.status is ImportStatus.MISSING_LIBRARY:
        return for_missing_library(context, outcome.library, outcome.provider)
    if outcome.status is ImportStatus.VERSION_NODE_MISSING:
        return (
            f"Use a newer {title_of(outcome.provider or 'libstdcxx')}, or a build of {component.title} for this system."
        )
    if outcome.status is ImportStatus.MISSING_MODULE:
        return f"Install the missing module: pip install {outcome.library or outcome.symbol}".rstrip()
    return for_package(component, outcome)
