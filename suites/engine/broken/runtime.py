"""Plans, profiles, memory and streams gone wrong."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from pytest_trtcheck._suites.engine.broken.base import Broken
from pytest_trtcheck._suites.engine.evaluate import Plain, Values
from pytest_trtcheck._suites.engine.standin import PlanError, Session
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import BuildRequest, Built, EngineCase, Graph, Layer, Node

Arrays = Mapping[str, np.ndarray]


class _Dynamic(Broken):
    """Shown by cases with a profile."""

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Ask for a profile."""
        return "" if case.is_dynamic else "the mistake shows only with a profile"


class ProfileReversed(_Dynamic):
    """The profile's largest and smallest sizes change places."""

    name = "broken_profile_reversed"

    def profile(self, case: EngineCase) -> dict[str, list[int]]:
        """Return sizes the wrong way round."""
        return {dim: list(reversed(sizes)) for dim, sizes in case.dims.items()}


class ProfileOfUsual(_Dynamic):
    """The profile holds the usual sizes only."""

    name = "broken_profile_of_usual"

    def profile(self, case: EngineCase) -> dict[str, list[int]]:
        """Return one size three times."""
        return {dim: [sizes[1]] * 3 for dim, sizes in case.dims.items()}


class ProfileRotated(_Dynamic):
    """The profile is handed over as usual, largest, smallest."""

    name = "broken_profile_rotated"

    def profile(self, case: EngineCase) -> dict[str, list[int]]:
        """Return sizes in another order."""
        return {dim: [*sizes[1:], sizes[0]] for dim, sizes in case.dims.items()}


class _Unchecked(Session):
    def check(self, inputs: Arrays) -> None:
        """Take anything."""


class TakesAnySize(Broken):
    """Sizes beyond the profile are run."""

    name = "broken_takes_any_size"
    aspect = "outside"
    session_class = _Unchecked


class _Speechless(Session):
    def check(self, inputs: Arrays) -> None:
        """Refuse without a word."""
        try:
            super().check(inputs)
        except PlanError:
            raise PlanError from None


class RefusesWithoutWords(Broken):
    """Sizes beyond the profile are refused without a word."""

    name = "broken_refuses_without_words"
    aspect = "outside"
    session_class = _Speechless


class _Poisoned(Session):
    refused = False

    def run(self, inputs: Arrays, outputs: Arrays, context: int = 0) -> None:
        """After a refusal nothing comes out any more."""
        if self.refused:
            return
        try:
            super().run(inputs, outputs, context)
        except PlanError:
            self.refused = True
            raise


class DeadAfterRefusal(Broken):
    """After sizes were refused the context writes nothing any more."""

    name = "broken_dead_after_refusal"
    aspect = "outside"
    session_class = _Poisoned


class _Swapped(Session):
    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Give each output the results of another one of its shape."""
        names = list(outputs)
        for name, array in outputs.items():
            alike = [one for one in names if found[one].shape == array.shape]
            array[...] = found[alike[(alike.index(name) + 1) % len(alike)]]


class OutputsSwapped(Broken):
    """An output is bound to another tensor of its shape."""

    name = "broken_outputs_swapped"
    session_class = _Swapped

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Shown where there are several outputs."""
        return "" if len(case.graph.outputs) > 1 else "one output only"


class _Unsynchronized(Session):
    before: Arrays | None = None

    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Copy before the run has ended: what stands in the memory is the previous run's, or zeros."""
        stale = {name: np.zeros_like(values) for name, values in found.items()}
        if self.before is not None:
            stale = {name: np.resize(self.before[name], values.shape) for name, values in found.items()}
        self.before = dict(found)
        super().write(stale, outputs)


class NotSynchronized(Broken):
    """Outputs are copied from the device before the run has ended."""

    name = "broken_not_synchronized"
    session_class = _Unsynchronized


class _InputsLate(Session):
    before: Arrays | None = None

    def run(self, inputs: Arrays, outputs: Arrays, context: int = 0) -> None:
        """Compute on what the previous run was given, where shapes agree."""
        previous = self.before
        self.before = {name: array.copy() for name, array in inputs.items()}
        fits = previous and all(previous[name].shape == array.shape for name, array in inputs.items())
        super().run(previous if previous and fits else inputs, outputs, context)


class InputsCopiedLate(Broken):
    """Inputs are copied on another stream and arrive after the run, which sees the previous ones."""

    name = "broken_inputs_copied_late"
    aspect = "contexts"
    session_class = _InputsLate


class _LastRowMissing(Session):
    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Leave the last row as it was."""
        for name, array in outputs.items():
            array.reshape(-1, array.shape[-1])[:-1] = found[name].reshape(-1, array.shape[-1])[:-1]


class Uninitialized(Broken):
    """The last row of every output is never written."""

    name = "broken_uninitialized_output"
    session_class = _LastRowMissing


class _NothingWritten(Session):
    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Write nothing."""


class NothingWritten(Broken):
    """Running returns at once and writes nothing."""

    name = "broken_nothing_written"
    session_class = _NothingWritten


class _UsualBatchOnly(Session):
    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Give entries of the batch beyond the third the first one's results."""
        for name, array in outputs.items():
            array[...] = found[name]
            array[2:] = found[name][:1]


class BatchTailRepeated(_Dynamic):
    """Entries of the batch beyond the usual two get the first one's results."""

    name = "broken_batch_tail"
    session_class = _UsualBatchOnly


class _ChangesInputs(Session):
    def run(self, inputs: Arrays, outputs: Arrays, context: int = 0) -> None:
        """Compute in place."""
        super().run(inputs, outputs, context)
        for array in inputs.values():
            array.reshape(-1)[:1] += 1


class ChangesInputs(Broken):
    """Inputs serve as scratch memory."""

    name = "broken_changes_inputs"
    session_class = _ChangesInputs


class ChangesConstants(Broken):
    """Building rounds the caller's constants in place."""

    name = "broken_changes_constants"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Build, and leave a trace."""
        built = super().build(case, weights, request)
        next(iter(weights.values()))[...] *= 0.5
        return built


class _Flickering(Session):
    runs = 0

    def write(self, found: Arrays, outputs: Arrays) -> None:
        """Change a last bit every other run."""
        super().write(found, outputs)
        self.runs += 1
        if self.runs % 2 == 0 or self.runs > 2:
            for array in outputs.values():
                array.reshape(-1)[0] = np.nextafter(array.reshape(-1)[0], np.float32(np.inf))


class OtherBits(Broken):
    """A run after another one gives other last bits."""

    name = "broken_other_bits"
    aspect = "repeat"
    session_class = _Flickering


class _StaleRefit(Session):
    def refit(self, case: EngineCase, weights: Arrays) -> None:
        """Say yes and keep the old values."""


class StaleRefit(Broken):
    """Refit returns and the old constants stay."""

    name = "broken_stale_refit"
    aspect = "refit"
    session_class = _StaleRefit


class _PartialRefit(Session):
    def refit(self, case: EngineCase, weights: Arrays) -> None:
        """Take all but the last."""
        kept = [name for name in weights if not np.array_equal(weights[name], self.weights[name])][-1]
        super().refit(case, {name: array for name, array in weights.items() if name != kept})


class PartialRefit(Broken):
    """Refit misses one constant."""

    name = "broken_partial_refit"
    aspect = "refit"
    session_class = _PartialRefit


class _SharedContexts(Session):
    last: Values | None = None

    def run(self, inputs: Arrays, outputs: Arrays, context: int = 0) -> None:
        """Let the second context read the first one's results."""
        if context and self.last is not None:
            self.write(self.last, outputs)
            return
        super().run(inputs, outputs, context)
        self.last = {name: array.copy() for name, array in outputs.items()}


class SharedContexts(Broken):
    """Two execution contexts share their scratch memory."""

    name = "broken_shared_contexts"
    aspect = "contexts"
    session_class = _SharedContexts


class NoTimingCache(Broken):
    """A build gives no timing cache back."""

    name = "broken_no_timing_cache"
    aspect = "timing_cache"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Keep it."""
        return Built(super().build(case, weights, request).plan)


class CacheOfOtherModel(Broken):
    """With a timing cache the build takes over what was built before, whatever the constants are."""

    name = "broken_cache_of_other_model"
    aspect = "timing_cache"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Build with other constants."""
        wrong = {name: np.roll(array, 1, axis=-1) if array.ndim else array for name, array in weights.items()}
        return super().build(case, wrong if request.timing_cache else weights, request)


class NotSelfContained(Broken):
    """The plan leaves its constants in the process that built it."""

    name = "broken_not_self_contained"
    aspect = "elsewhere"
    kept: ClassVar[dict[str, np.ndarray]] = {}

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Keep the constants here."""
        self.kept.update(weights)
        return super().build(case, {name: 0 * array for name, array in weights.items()}, request)

    def session(self, graph: Any, dims: Mapping[str, Any], weights: dict[str, np.ndarray]) -> Session:
        """Run with what is kept here."""
        return super().session(graph, dims, weights | self.kept)


class CrashesElsewhere(Broken):
    """A plan crashes every process but the one that built it."""

    name = "broken_crashes_elsewhere"
    aspect = "elsewhere"
    builder: ClassVar[bool] = False

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Note that this process builds."""
        type(self).builder = True
        return super().build(case, weights, request)

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Session:
        """Crash elsewhere."""
        if not type(self).builder:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().load(plan, options)


class HalfLayers(Broken):
    """The engine of a graph in fp32 has a layer in fp16."""

    name = "broken_half_layers"
    aspect = "inspect"

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Shown by graphs in fp32 alone."""
        return "" if set(case.graph.dtypes.values()) <= {"fp32", "int32"} else "the graph is not fp32 alone"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Tell of one more layer."""
        built = super().build(case, weights, request)
        return Built(built.plan, built.timing_cache, (*(built.layers or ()), Layer("fused", "Row major linear FP16")))


class NoLayers(Broken):
    """The engine tells no layers."""

    name = "broken_no_layers"
    aspect = "inspect"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Tell nothing."""
        return Built(super().build(case, weights, request).plan, layers=())


class Leaks(Broken):
    """Each engine leaves 3 MiB behind."""

    name = "broken_leaks"
    aspect = "memory"
    left: ClassVar[int] = 0

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Session:
        """Leave something."""
        type(self).left += 3 << 20
        return super().load(plan, options)

    def used_bytes(self) -> int:
        """Return what is in use."""
        return type(self).left


class _OneRoundLess(Plain):
    def _repeat(self, node: Node, values: Values) -> None:
        shorter = Node(node.op, node.inputs, node.output, {**node.settings, "count": node.settings["count"] - 1})
        super()._repeat(shorter, values)


class LoopOneTooFew(Broken):
    """A loop ends one round early."""

    name = "broken_loop_one_too_few"
    ops = frozenset({"repeat"})
    arithmetic_class = _OneRoundLess


class _StateLost(Plain):
    def _repeat(self, node: Node, values: Values) -> None:
        super()._repeat(Node(node.op, node.inputs, node.output, {**node.settings, "count": 1}), values)


class LoopStateLost(Broken):
    """Every round of a loop begins with the first state."""

    name = "broken_loop_state_lost"
    ops = frozenset({"repeat"})
    arithmetic_class = _StateLost


class _Padded(Broken):
    """Shares how plans are damaged with the others."""

    aspect = "bad_input"

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Session:
        """Load what is whole; do as the mistake has it with the rest."""
        try:
            return super().load(plan, options)
        except PlanError:
            return self.damaged()

    def damaged(self) -> Session:
        """Do something with a plan that cannot be loaded."""
        raise NotImplementedError


class TakesDamagedPlans(_Padded):
    """A plan that cannot be read is loaded as one without constants."""

    name = "broken_takes_damaged_plans"

    def damaged(self) -> Session:
        """Load nothing, without a word."""
        return self.session(Graph((), (), (), ()), {}, {})


class DiesOfDamagedPlans(_Padded):
    """A plan that cannot be read ends the process."""

    name = "broken_dies_of_damaged_plans"

    def damaged(self) -> Session:
        """Crash."""
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class SilentOnDamagedPlans(_Padded):
    """A plan that cannot be read is refused without words."""

    name = "broken_silent_on_damaged_plans"

    def damaged(self) -> Session:
        """Refuse."""
        raise PlanError


class TakesAnyProfile(Broken):
    """A profile whose smallest size is above its largest is sorted in silence."""

    name = "broken_takes_any_profile"
    aspect = "bad_input"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:
        """Build for sizes in order."""
        dims = {name: (min(sizes), sorted(sizes)[1], max(sizes)) for name, sizes in case.dims.items()}
        return super().build(replace(case, dims=dims), weights, request)


class LeanRuntimeIsOther(Broken):
    """The lean runtime loads the plan and computes with other constants."""

    name = "broken_lean_runtime"
    aspect = "lean_runtime"

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Session:
        """Shift the constants by one."""
        session = super().load(plan, options)
        if "lean_runtime" in options:
            session.weights = {name: np.roll(array, 1) for name, array in session.weights.items()}
        return session


class PlanEmpty(Broken):
    """Building gives an empty plan."""

    name = "broken_empty_plan"

    def build(self, case: EngineCase, weights: Arrays, request: BuildRequest) -> Built:  # noqa: ARG002
        """Give nothing."""
        return Built(b"")


_KINDS = [kind for kind in globals().values() if isinstance(kind, type) and issubclass(kind, Broken)]
RUNTIME: tuple[type[Broken], ...] = tuple(kind for kind in _KINDS if "name" in vars(kind))
