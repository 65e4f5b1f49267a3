"""Specification of engine cases, independent of who builds them, and what a provider of engines is.

A case is a graph of a dozen kinds of operation, with the types of every tensor fixed. A provider builds it into a plan
(bytes), loads the plan, and runs it on NumPy arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

    from pytest_trtcheck.providers.base import Where

DIMS = ("batch", "length", "past")
"""Dimensions that a profile may leave open."""
UNARY = ("relu", "tanh", "sigmoid", "exp", "sqrt", "reciprocal", "identity")
BINARY = ("add", "sub", "mul", "div", "max")
REDUCTIONS = ("mean", "sum")
"""Over the last axis, which stays with length 1."""
OPS = (
    *UNARY, *BINARY, *REDUCTIONS, "matmul", "conv", "softmax", "gather", "reshape", "transpose", "concat", "cast",
    "quantize", "dequantize", "repeat",
)  # fmt: skip
ABILITIES = (
    "inspect", "timing_cache", "refit", "contexts", "version_compatible", "hardware_compatible", "weight_streaming",
    "onnx", "lean_runtime", "calibration",
)  # fmt: skip
"""What a provider may be able to do beside building and running."""


@dataclass(frozen=True)
class Input:
    """What is fed to the graph."""

    name: str
    dtype: str
    """``fp32``, ``fp16``, ``int32``."""
    shape: tuple[int | str, ...]
    """A name of DIMS where the profile leaves the dimension open."""
    fill: str = "normal"
    """``normal``; ``wide``: magnitudes of some hundreds; ``even``, ``even_wide``: spread evenly up to 1 or 32, which
    leaves a calibrator no tail to cut off; ``ids``: below 64; ``causal``: 0 where a token may look, -1e4 elsewhere;
    ``int8``, ``fp8_e4m3``: numbers that the type holds exactly after division by 2 ** -4."""


@dataclass(frozen=True)
class Weight:
    """A constant of the graph."""

    name: str
    dtype: str
    """``fp32``, ``fp16``, ``bf16``, ``int8``, ``int4``, ``fp8_e4m3``."""
    shape: tuple[int, ...]
    spread: float = 1.0
    """Standard deviation for ``normal``."""
    value: float | None = None
    """The same number everywhere; None for random ones."""


@dataclass(frozen=True)
class Node:
    """One operation. Its output has the type of its first input, unless the operation is about types."""

    op: str
    inputs: tuple[str, ...]
    output: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """``matmul``: ``transpose`` (of the second); ``conv``: ``padding``, ``stride`` (inputs: data NCHW, kernel, bias);
    ``reshape``: ``shape``, with 0 for "as it is" and at most one -1; ``transpose``: ``order``; ``concat``: ``axis``;
    ``cast``: ``to``; ``quantize``, ``dequantize``: ``to``, ``axis`` (second input: the scale, one number, one per
    channel of ``axis``, or one per block along ``axis``); ``repeat``: ``count`` and ``body``, nodes that lead from
    the first input's name to ``output``, run again and again."""


@dataclass(frozen=True)
class Graph:
    """Operations in an order in which they can run."""

    inputs: tuple[Input, ...]
    weights: tuple[Weight, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    @cached_property
    def dtypes(self) -> Mapping[str, str]:
        """The type of every tensor, those inside of ``repeat`` included."""
        found = {one.name: one.dtype for one in self.inputs} | {one.name: one.dtype for one in self.weights}
        for node in flat(self.nodes):
            found[node.output] = node.settings.get("to") or found[node.inputs[0]]
        return found

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """The number of dimensions of every tensor, those inside of ``repeat`` included."""
        found = {one.name: len(one.shape) for one in self.inputs} | {one.name: len(one.shape) for one in self.weights}
        for node in flat(self.nodes):
            rank = found[node.inputs[0]]
            if node.op == "gather":
                rank += found[node.inputs[1]] - 1
            elif node.op == "reshape":
                rank = len(node.settings["shape"])
            elif node.op == "matmul" or node.op in BINARY:
                rank = max(rank, found[node.inputs[1]])
            found[node.output] = rank
        return found


def flat(nodes: Sequence[Node]) -> Iterator[Node]:
    """Yield all nodes; those in the body of a ``repeat`` before it."""
    for node in nodes:
        yield from flat(node.settings.get("body", ()))
        yield node


@dataclass(frozen=True)
class EngineCase:
    """One graph, the shapes that it is built for and the precision that it computes in."""

    name: str
    """Stable: ``gemm_bias-fp16``."""
    graph: Graph
    dtype: str
    """``fp32``, ``fp16``, ``bf16``: what the result's precision follows from."""
    dims: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Smallest, usual and largest size of each open dimension; empty for a static graph."""
    features: frozenset[str] = frozenset()
    """What a provider must be able to do, in the words of the report's table."""
    calibrated: bool = False
    """The graph is fp32, and convolutions may run in INT8 with ranges that a calibrator finds on batches of inputs."""

    @property
    def is_dynamic(self) -> bool:
        """True when a profile is needed."""
        return bool(self.dims)

    def sizes(self, which: int) -> dict[str, int]:
        """Return the smallest (0), usual (1) or largest (2) size of each open dimension."""
        return {name: triple[which] for name, triple in self.dims.items()}

    def outside(self) -> dict[str, int]:
        """Return sizes of which the first is beyond the largest."""
        first = next(iter(self.dims))
        return self.sizes(2) | {first: self.dims[first][2] + 1}

    def shapes(self, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return the shape of every input for some sizes."""
        return {
            one.name: tuple(sizes[part] if isinstance(part, str) else part for part in one.shape)
            for one in self.graph.inputs
        }


@dataclass(frozen=True)
class BuildRequest:
    """How to build."""

    options: frozenset[str] = frozenset()
    """Of ABILITIES: ``refit``, ``version_compatible``, ``hardware_compatible``, ``weight_streaming``; and ``onnx`` to
    go through an ONNX model in place of the network API."""
    timing_cache: bytes | None = None
    """What an earlier build gave back; empty for a new cache, None for none."""
    workspace_bytes: int = 1 << 30
    model: bytes = b""
    """An ONNX model to build in place of the case's graph; only for providers with the ability ``onnx``."""
    batches: tuple[Mapping[str, np.ndarray], ...] = ()
    """For a calibrated case: inputs by name to calibrate with, of the usual sizes."""
    calibration_cache: bytes = b""
    """What an earlier calibration of the same network wrote; batches are then not needed."""


@dataclass(frozen=True)
class Layer:
    """A layer of an engine, as its inspector tells it."""

    name: str
    types: str
    """Formats and data types of its outputs, in the library's words."""


@dataclass(frozen=True)
class Calibration:
    """What a calibrator was asked for, and found."""

    taken: int
    """Batches that the library asked for."""
    cache: bytes
    """What it wrote, for later builds; what it was given where it wrote nothing."""
    ranges: Mapping[str, float]
    """By tensor's name the largest magnitude that its 127 stands for; 0 where the library has no use for one."""


@dataclass(frozen=True)
class Built:
    """What a build gave."""

    plan: bytes
    timing_cache: bytes = b""
    layers: tuple[Layer, ...] | None = None
    """None where nothing was asked."""
    calibration: Calibration | None = None
    """Of a calibrated case."""


class EngineSession(Protocol):
    """A loaded plan."""

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], context: int = 0) -> None:
        """Run on ``inputs`` and write to ``outputs``, which are full of NaN; return when all is there.

        An exception for shapes that the engine was not built for, with words.
        """

    def add_context(self) -> int:
        """Return the number of one more execution context. Needed for the ability ``contexts``."""

    def refit(self, case: EngineCase, weights: Mapping[str, np.ndarray]) -> None:
        """Put other values into the constants of the case that was built. Needed for the ability ``refit``."""

    def close(self) -> None:
        """Free everything."""


@runtime_checkable
class EngineProvider(Protocol):
    """One way to build and run engines.

    A site returns its own from the hook ``pytest_trtcheck_engine_providers``. The class must be importable without its
    library: ``why_not`` and ``abilities`` are asked while planning, in a process that loads nothing native.

    More attributes may be there. ``component``: the library's key in the stack vocabulary; the provider is left out
    where that is not found. ``beside``: keys of more components that must be there. ``factory``: ``module:callable``
    that makes the provider in a fresh process; without it plans are not loaded in another process than the one that
    built them. ``needs_gpu``: True where nothing can be built without one; its checks are then told as not run.
    ``used_bytes()``: memory of the GPU in use. ``of_other_release(plan)``: the plan as another release would have
    marked it, empty where that cannot be told.
    """

    name: str
    """Stable; names the provider in every report."""

    def why_not(self, case: EngineCase, where: Where) -> str:
        """Return in a few words why this case is out of reach here; empty when it should run."""

    def abilities(self, where: Where) -> frozenset[str]:
        """Return which of ABILITIES are here."""

    def build(self, case: EngineCase, weights: Mapping[str, np.ndarray], request: BuildRequest) -> Built:
        """Build a plan. Constants come as NumPy arrays of exact values: fp32 for bf16, fp8 and int4 as well."""

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> EngineSession:
        """Load a plan that was built with these options."""
