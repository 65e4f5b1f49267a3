"""The checks of one case on one provider: each builds what it needs, runs it, and says what became of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_trtcheck._suites.engine.calibration import calibration
from pytest_trtcheck._suites.engine.elsewhere import load_elsewhere
from pytest_trtcheck._suites.engine.found import LEAST_WORDS, MOST_WORDS, Found, WrongError
from pytest_trtcheck._suites.engine.int8 import believable_ranges, largest_of
from pytest_trtcheck._suites.engine.numerics import Drawn
from pytest_trtcheck._suites.engine.reference import Reference, make_reference
from pytest_trtcheck._suites.engine.refusals import bad_input, bad_onnx
from pytest_trtcheck._suites.support.judgement import FAILED, PASSED, REFUSED, Judgement
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.model.report import Measurement
from pytest_trtcheck.providers.base import Refused
from pytest_trtcheck.providers.engine import BuildRequest, Built, EngineCase, EngineProvider, EngineSession

if TYPE_CHECKING:
    from pytest_trtcheck.model.report import Comparison

Arrays = Mapping[str, np.ndarray]
SECONDS_ELSEWHERE = 40.0
"""Time for a fresh process to load a plan and run it; a library may take long to import."""
_MEMORY_MARGIN_BYTES = 4 << 20
_MEMORY_CYCLES = 3
_NARROW_TYPES = ("half", "fp16", "bfloat16", "bf16", "int8", "fp8", "int4", "fp4")
"""What an inspector calls types that have no place in an engine of a graph in fp32 alone."""


@dataclass
class Bench:
    """One case on one provider; what was built stays for the next check."""

    case: EngineCase
    provider: EngineProvider
    seed: int
    measurements: list[Measurement] = field(default_factory=list)
    """Of the check at hand."""
    _built: dict[frozenset[str], Built] = field(default_factory=dict)
    _drawn: Drawn | None = None
    _references: dict[tuple[Any, ...], tuple[dict[str, np.ndarray], Reference]] = field(default_factory=dict)
    """By sizes, number of the draw and calibrated ranges."""
    _ranges: Mapping[str, float] | None = None
    """Of a calibrated case, as its last build found them."""
    _largest: dict[str, float] = field(default_factory=dict)
    """Of the tensors of a calibrated case on the batches to calibrate with."""

    def judge(self, aspect: str) -> Judgement:
        """Run one check by its name, a key of ASPECTS."""
        self.measurements = []
        try:
            words, comparison = ASPECTS[aspect](self)
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except WrongError as wrong:
            return Judgement(FAILED, str(wrong), comparison=wrong.comparison)
        except (Refused, NotImplementedError) as refusal:
            return Judgement(REFUSED, first_line(refusal, MOST_WORDS))
        except BaseException as error:  # noqa: BLE001 - whatever a library raises is its result
            message = f"{type(error).__name__}: {first_line(error, MOST_WORDS)}"
            return Judgement(FAILED, message, text=traceback.format_exc())
        return Judgement(PASSED, words, comparison=comparison)

    def of(self, provider: EngineProvider) -> Bench:
        """Return a bench for another provider that shares what was drawn and computed here."""
        return replace(self, provider=provider, _drawn=self.drawn, _built={}, _ranges=None, measurements=[])

    @property
    def drawn(self) -> Drawn:
        """The constants of this seed."""
        if self._drawn is None:
            self._drawn = Drawn.of(self.case, self.seed)
        return self._drawn

    def built(self, *options: str) -> Built:
        """Return the plan for some options, built on first use."""
        key = frozenset(options)
        if key not in self._built:
            self._built[key] = self.build(BuildRequest(key))
        return self._built[key]

    def build(self, request: BuildRequest, name: str = "build") -> Built:
        """Build, and note how long it took; a calibrated case with batches, and its calibration is looked at."""
        if self.case.calibrated:
            request = replace(request, batches=self.drawn.batches(self.case))
        weights = {one: array.copy() for one, array in self.drawn.weights.items()}
        begun = time.perf_counter()
        built = self.provider.build(self.case, weights, request)
        self.measurements.append(Measurement(name, round(time.perf_counter() - begun, 4), "s"))
        if not isinstance(built, Built) or not isinstance(built.plan, bytes) or not built.plan:
            raise WrongError(f"expected a plan of some bytes from build, found {type(built).__name__}")
        changed = [one for one, array in self.drawn.weights.items() if not np.array_equal(array, weights[one])]
        if changed:
            raise WrongError(f"building changed the constants {', '.join(changed)}")
        if self.case.calibrated:
            if not self._largest:
                self._largest.update(largest_of(self.case, self.drawn.weights, request.batches))
            self._ranges = believable_ranges(built.calibration, self.case, request, self._largest)
        return built

    def prepared(self, sizes: Mapping[str, int], draw: int = 0) -> tuple[dict[str, np.ndarray], Reference]:
        """Return inputs for some sizes and their reference; ``draw`` tells one set of inputs from another."""
        key = (*sizes.values(), draw, tuple(sorted((self._ranges or {}).items())))
        if key not in self._references:
            inputs = self.drawn.inputs(self.case, sizes, draw)
            self._references[key] = inputs, make_reference(self.case, self.drawn.weights, inputs, self._ranges)
        return self._references[key]

    @contextmanager
    def session(self, built: Built, *options: str) -> Iterator[EngineSession]:
        """Load a plan, and close it in any case."""
        session = self.provider.load(built.plan, frozenset(options))
        try:
            yield session
        finally:
            session.close()

    def run(
        self, session: EngineSession, sizes: Mapping[str, int], context: int = 0, draw: int = 0
    ) -> dict[str, np.ndarray]:
        """Run once and return what came out."""
        inputs, reference = self.prepared(sizes, draw)
        given = {name: array.copy() for name, array in inputs.items()}
        outputs = reference.poisoned()
        session.run(given, outputs, context)
        changed = [name for name, array in inputs.items() if not np.array_equal(array, given[name])]
        if changed:
            raise WrongError(f"running changed the inputs {', '.join(changed)}")
        return outputs

    def compared(self, found: Arrays, sizes: Mapping[str, int], reference: Reference | None = None) -> Comparison:
        """Hold outputs against the reference; raise where they are off."""
        reference = reference or self.prepared(sizes)[1]
        name, comparison = reference.judge(found)
        if not comparison.is_within:
            where = ", ".join(f"{dim} {size}" for dim, size in sizes.items()) or "fixed shapes"
            raise WrongError(f"output {name} at {where}: {comparison.describe()}", comparison)
        return comparison

    def all_sizes(self) -> list[dict[str, int]]:
        """Return the largest, the smallest and the usual sizes; what is left over of a larger run would be seen."""
        return [self.case.sizes(which) for which in (2, 0, 1)] if self.case.is_dynamic else [{}]


def _numbers(bench: Bench, *options: str) -> Found:
    """Check that outputs at the largest, smallest and usual sizes are right."""
    worst: Comparison | None = None
    with bench.session(bench.built(*options), *options) as session:
        for sizes in bench.all_sizes():
            comparison = bench.compared(bench.run(session, sizes), sizes)
            assert comparison.error is not None
            if (
                worst is None
                or worst.error is None
                or comparison.error / comparison.allowed > worst.error / worst.allowed
            ):
                worst = comparison
    return (worst.describe() if worst else ""), worst


def _outside(bench: Bench) -> Found:
    """Check that a size beyond the profile is refused in words, and that the engine still works afterwards."""
    usual = bench.case.sizes(1)
    with bench.session(bench.built()) as session:
        sizes = bench.case.outside()
        try:
            bench.run(session, sizes)
        except WrongError:
            raise
        except Exception as refusal:  # noqa: BLE001 - any exception is a refusal, if it says why
            words = first_line(refusal, MOST_WORDS)
            if len(str(refusal).strip()) < LEAST_WORDS:
                raise WrongError(
                    f"sizes {sizes} are beyond the profile; the refusal does not say so: {words}"
                ) from None
        else:
            raise WrongError(f"sizes {sizes} are beyond the profile, built for {dict(bench.case.dims)}, and were run")
        comparison = bench.compared(bench.run(session, usual), usual)
    return words, comparison


def _repeat(bench: Bench) -> Found:
    """Check that two runs give the same bits, with another run between them."""
    sizes = bench.all_sizes()
    with bench.session(bench.built()) as session:
        once = bench.run(session, sizes[0])
        bench.run(session, sizes[-1])
        again = bench.run(session, sizes[0])
    for name, array in once.items():
        different = int((array.view(np.uint32) != again[name].view(np.uint32)).sum())
        if different:
            raise WrongError(f"output {name}: {different} of {array.size} elements have other bits in a second run")
    return "same bits", None


def _elsewhere(bench: Bench, option: str = "", loaded_by: str = "") -> Found:
    """Check that a fresh process loads the plan, built with an option, and gets right numbers."""
    sizes = bench.all_sizes()[-1]
    inputs, reference = bench.prepared(sizes)
    plan = bench.built(*filter(None, [option])).plan
    options = frozenset(filter(None, [loaded_by]))
    found = load_elsewhere(bench.provider, plan, inputs, reference.poisoned(), SECONDS_ELSEWHERE, options)
    if found.problem:
        raise WrongError(found.problem)
    bench.measurements.append(Measurement("load in a fresh process", found.seconds, "s"))
    return "", bench.compared(found.outputs, sizes)


def _lean_runtime(bench: Bench) -> Found:
    """Check that the lean runtime, in a fresh process, runs a version-compatible plan."""
    return _elsewhere(bench, "version_compatible", "lean_runtime")


def _timing_cache(bench: Bench) -> Found:
    """Check that a build fills a timing cache, and that a second build takes it and is right."""
    first = bench.build(BuildRequest(timing_cache=b""), "build with an empty timing cache")
    if not first.timing_cache:
        raise WrongError("the first build gave no timing cache back")
    second = bench.build(BuildRequest(timing_cache=first.timing_cache), "build with that timing cache")
    sizes = bench.all_sizes()[-1]
    with bench.session(second) as session:
        return "", bench.compared(bench.run(session, sizes), sizes)


def _refit(bench: Bench) -> Found:
    """Check that outputs follow from the new values after constants were replaced."""
    sizes = bench.all_sizes()[-1]
    inputs, _ = bench.prepared(sizes)
    new = Drawn.of(bench.case, bench.seed + 1).weights
    with bench.session(bench.built("refit"), "refit") as session:
        bench.compared(bench.run(session, sizes), sizes)
        session.refit(bench.case, new)
        found = bench.run(session, sizes)
    return "", bench.compared(found, sizes, make_reference(bench.case, new, inputs))


def _contexts(bench: Bench) -> Found:
    """Check that two execution contexts of one engine, used in turn, do not disturb each other."""
    usual = bench.all_sizes()[-1]
    with bench.session(bench.built()) as session:
        second = session.add_context()
        results = [bench.run(session, usual, context, draw) for draw, context in enumerate((0, second, 0))]
    compared = [bench.compared(found, usual, bench.prepared(usual, draw)[1]) for draw, found in enumerate(results)]
    return "", compared[-1]


def _inspect(bench: Bench) -> Found:
    """Check that the engine tells its layers, and that one of a graph in fp32 alone has no narrower type in it."""
    built = bench.built("inspect")
    if not built.layers:
        raise WrongError("expected layers from the engine's inspector, found none")
    types = {word for layer in built.layers for word in layer.types.lower().replace("/", " ").split()}
    narrow = sorted(word for word in types if any(word.startswith(kind) for kind in _NARROW_TYPES))
    if narrow and not bench.case.calibrated and set(bench.case.graph.dtypes.values()) <= {"fp32", "int32"}:
        raise WrongError(f"the graph is fp32 alone, and the engine has layers in {', '.join(narrow)}")
    bench.measurements.append(Measurement("layers", len(built.layers), "layers"))
    return ", ".join(sorted({layer.types for layer in built.layers}))[:MOST_WORDS], None


def _memory(bench: Bench) -> Found:
    """Check that loading and running again and again does not use up memory."""
    used_bytes: Callable[[], int] = bench.provider.used_bytes  # type: ignore[attr-defined]
    sizes = bench.all_sizes()[0]
    used = []
    for _ in range(_MEMORY_CYCLES):
        with bench.session(bench.built()) as session:
            bench.run(session, sizes)
        used.append(used_bytes())
    left = used[-1] - used[0]
    bench.measurements.append(Measurement("memory left per engine", left / (_MEMORY_CYCLES - 1), "bytes"))
    if left > _MEMORY_MARGIN_BYTES:
        raise WrongError(f"{left} bytes of GPU memory are left after {_MEMORY_CYCLES - 1} engines were freed")
    return f"{left} bytes left", None


def _with_option(option: str) -> Callable[[Bench], Found]:
    return lambda bench: _numbers(bench, option)


ASPECTS: dict[str, Callable[[Bench], Found]] = {
    "numbers": _numbers,
    "outside": _outside,
    "repeat": _repeat,
    "elsewhere": _elsewhere,
    "inspect": _inspect,
    "timing_cache": _timing_cache,
    "calibration": calibration,
    "refit": _refit,
    "contexts": _contexts,
    "memory": _memory,
    "lean_runtime": _lean_runtime,
    "bad_input": bad_input,
    "bad_onnx": bad_onnx,
    **{name: _with_option(name) for name in ("onnx", "version_compatible", "hardware_compatible", "weight_streaming")},
}
"""What is checked, by name."""
