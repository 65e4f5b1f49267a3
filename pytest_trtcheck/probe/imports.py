"""Import health: every installed library of the stack is imported in a child process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.components import COMPONENTS, Component
from pytest_trtcheck.model.facts import ImportOutcome, ImportStatus
from pytest_trtcheck.probe.import_errors import ImportFailure, classify, classify_chain, one_line
from pytest_trtcheck.probe.providers import provider_of_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_trtcheck.model.facts import Distribution
    from pytest_trtcheck.probe.child import ChildEnd

# Slow imports start first, so that the quick ones fill the gaps beside them.
_SLOW = ("tensorrt_llm", "vllm", "torch_tensorrt", "deepspeed", "torch", "xformers", "flashinfer", "tensorrt")
_NATIVE = (ImportStatus.MISSING_LIBRARY, ImportStatus.UNDEFINED_SYMBOL, ImportStatus.VERSION_NODE_MISSING)
_DEVICE = (ImportStatus.DRIVER_TOO_OLD, ImportStatus.NO_DEVICE)
_NO_STACK_LIBRARY = ("", "glibc", "python")
_SYMBOL_LOOKUP_STATUS = 127


@dataclass(frozen=True)
class ImportTask:
    """One module to import."""

    component: str
    module: str
    distribution: str
    """Normalised name of the installed distribution that brings it."""
    touch: str = ""
    """Name of the light use of its native part; empty when none is known."""


def plan_imports(distributions: Iterable[Distribution]) -> tuple[ImportTask, ...]:
    """Return one task per component with a module and an installed distribution, in the order of the table.

    A component that is there as a library without Python module (``tensorrt-cu13-libs`` alone) has none.
    """
    installed = {distribution.name for distribution in distributions}
    tasks = (_task(component, installed) for component in COMPONENTS if component.module)
    return tuple(task for task in tasks if task is not None)


def _task(component: Component, installed: set[str]) -> ImportTask | None:
    names = [name for name in component.distributions if name in installed and not name.endswith("-libs")]
    if not names:
        return None
    module = component.module
    if all(name.endswith("-bindings") for name in names) and component.key.startswith("tensorrt"):
        # Without the wrapper distribution the bindings are importable under their own name only.
        module += "_bindings"
    elif component.key == "cuda_python" and "cuda-bindings" not in installed:
        # Before the split into cuda-bindings and cuda-core the driver API was cuda.cuda.
        module = "cuda.cuda"
    return ImportTask(component.key, module, names[0], component.touch)


class ImportRunner:
    """Imports that run in the background, a few at a time."""

    def __init__(self, tasks: Sequence[ImportTask], *, deadline_seconds: float, jobs: int | None = None) -> None:
        from pytest_trtcheck.probe.child_pool import ChildPool

        self._tasks = {task.component: task for task in tasks}
        self._deadline_seconds = deadline_seconds
        self._pool = ChildPool(jobs)
        self._outcomes: dict[str, ImportOutcome] = {}

    def start(self) -> None:
        """Start all imports; returns at once."""
        for key in sorted(self._tasks, key=lambda key: _SLOW.index(key) if key in _SLOW else len(_SLOW)):
            task = self._tasks[key]
            self._pool.start(
                key,
                "pytest_trtcheck.probe.child_import",
                (task.module, task.touch),
                deadline_seconds=self._deadline_seconds,
            )

    def outcome(self, component: str) -> ImportOutcome:
        """Wait for the import of a component and return how it ended; KeyError for one that was not planned."""
        if component not in self._outcomes:
            self._outcomes[component] = read_end(self._tasks[component], self._pool.wait(component))
        return self._outcomes[component]

    def close(self) -> None:
        """Kill what is still running; its outcome is NOT_RUN."""
        self._pool.close()


def read_end(task: ImportTask, end: ChildEnd) -> ImportOutcome:
    """Turn what a child reported, and how it ended, into an outcome."""
    records = {record["phase"]: record for record in end.records if isinstance(record.get("phase"), str)}
    last: Mapping[str, Any] = end.records[-1] if end.records else {}
    phase = _phase(task, records)
    failure = _failure(end, records, phase)
    symbol = failure.symbol
    demangled = last.get("demangled")
    if isinstance(demangled, dict):
        symbol = str(demangled.get(symbol, symbol))
    seconds = records.get("import", {}).get("seconds", end.seconds)
    return ImportOutcome(
        module=task.module,
        distribution=task.distribution,
        status=failure.status,
        seconds=float(seconds) if isinstance(seconds, (int, float)) else None,
        message=failure.message,
        phase="" if failure.status is ImportStatus.OK else phase,
        library=failure.library,
        needed_by=failure.needed_by or _needed_by(failure, last),
        symbol=symbol,
        provider=failure.provider,
        signal=end.signal,
        mapped=_stack_libraries(last.get("mapped")),
        stderr_tail=end.stderr_tail,
    )


def _phase(task: ImportTask, records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the phase that failed, or the first that nobody reported the end of."""
    for phase in ("import", "touch") if task.touch else ("import",):
        if not records.get(phase, {}).get("ok"):
            return phase
    return "exit"


def _failure(end: ChildEnd, records: Mapping[str, Mapping[str, Any]], phase: str) -> ImportFailure:
    if end.start_error or end.stopped:
        return ImportFailure(ImportStatus.NOT_RUN, end.describe())
    if phase in records:
        return _reported(records[phase], end.stderr_tail)
    if end.timed_out:
        return ImportFailure(ImportStatus.HANG, f"{end.describe()}, in phase {phase}")
    if end.ended_well and phase == "exit":
        return _fine(records, end.stderr_tail)
    if end.returncode is None:
        return ImportFailure(ImportStatus.NOT_RUN, end.describe())
    if end.returncode == _SYMBOL_LOOKUP_STATUS and "undefined symbol" in end.stderr_tail:
        # Bound lazily, so the loader ended the process when the function was first called.
        return classify(end.stderr_tail)
    words = _last_words(end.stderr_tail)
    message = f"{end.describe()}, in phase {phase}" + (f"; before that it said: {words}" if words else "")
    # A library that crashes after it complained of the driver still crashes; what it complained of is kept.
    said = classify(end.stderr_tail)
    provider = said.provider if said.status in _DEVICE else ""
    return ImportFailure(ImportStatus.CRASH, one_line(message), provider=provider)


def _reported(record: Mapping[str, Any], tail: str) -> ImportFailure:
    errors = record.get("errors")
    pairs = [(str(pair[0]), str(pair[1])) for pair in errors or () if isinstance(pair, list) and len(pair) == 2]
    failure = classify_chain(pairs)
    if failure.status is ImportStatus.PYTHON_ERROR and not failure.library:
        # TensorRT raises "factory function returned nullptr" and tells the cause only on its log.
        said = classify(tail)
        return said if said.status in _DEVICE else failure
    return failure


def _fine(records: Mapping[str, Mapping[str, Any]], tail: str) -> ImportFailure:
    """Return OK; some libraries import well and only log that their native part did not load."""
    said = classify(tail)
    if said.status in _NATIVE:
        message = one_line(f"imported, but said: {said.message}")
        return ImportFailure(ImportStatus.OK, message, said.library, said.symbol, said.needed_by, said.provider)
    notes = (str(record.get("note") or "") for record in records.values())
    return ImportFailure(ImportStatus.OK, one_line("; ".join(note for note in notes if note)))


def _last_words(tail: str) -> str:
    """Return the last line before Python's own crash dump."""
    lines = [line for line in tail.partition("Fatal Python error")[0].splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _stack_libraries(paths: object) -> tuple[str, ...]:
    # Libraries of CUDA that are no component of their own belong to it too: libcusparse, libnvJitLink.
    return tuple(
        path
        for path in _texts(paths)
        if provider_of_library(path) not in _NO_STACK_LIBRARY or path.rpartition("/")[2].startswith(("libcu", "libnv"))
    )


def _needed_by(failure: ImportFailure, record: Mapping[str, Any]) -> str:
    """Return the file that asks for the missing library, or the extension module that could not be loaded."""
    if failure.status is not ImportStatus.MISSING_LIBRARY:
        return ""
    from pytest_trtcheck.probe.needers import find_needer
    from pytest_trtcheck.probe.root import Root

    paths, folders = (_texts(record.get(name)) for name in ("paths", "folders"))
    return find_needer(Root(), failure.library.rpartition("/")[2], paths, folders)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
