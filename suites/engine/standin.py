"""A stand-in for an engine library, plainly named: plans are documents, engines are run by NumPy.

It proves what the suite sees, and nothing about TensorRT. Broken and sound variants derive from it.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pytest_trtcheck._suites.engine.evaluate import Arithmetic, Plain
from pytest_trtcheck._suites.engine.int8 import largest_of, read_cache, write_cache
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import (
    ABILITIES,
    BuildRequest,
    Built,
    Calibration,
    EngineCase,
    Graph,
    Input,
    Layer,
    Node,
    Weight,
)

MAGIC = b"numpy stand-in 1\n"
Batches = Sequence[Mapping[str, np.ndarray]]
_CACHE = b"stand-in timing cache"
_CALIBRATION_HEAD = "TRT-0-StandinCalibration"


class PlanError(ValueError):
    """A plan that cannot be loaded, or shapes that it was not built for."""


class Standin:
    """Sound: every tensor rounded to its type, sums in fp64."""

    name = "standin"

    @property
    def factory(self) -> str:
        """How a fresh process makes this provider."""
        return f"{type(self).__module__}:{type(self).__name__}"

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002 - part of what a provider is
        """Return nothing: it can all."""
        return ""

    def abilities(self, where: Where) -> frozenset[str]:  # noqa: ARG002
        """Return all but what NumPy has no use for."""
        return frozenset(ABILITIES) - {"onnx"}

    def profile(self, case: EngineCase) -> dict[str, list[int]]:
        """Return the sizes that the plan is for."""
        return {name: list(sizes) for name, sizes in case.dims.items()}

    def build(self, case: EngineCase, weights: Mapping[str, np.ndarray], request: BuildRequest) -> Built:
        """Return the graph as a document."""
        for dim, (low, usual, high) in case.dims.items():
            if not 0 < low <= usual <= high:
                raise PlanError(f"profile of {dim}: expected sizes above 0 in order, found {low}, {usual}, {high}")
        calibration = self.calibrated(case, weights, request) if case.calibrated else None
        document = {
            "graph": asdict(case.graph),
            "dims": self.profile(case),
            "weights": _packed(weights),
            "options": sorted(request.options),
            "ranges": self.used(calibration.ranges) if calibration else None,
        }
        plan = MAGIC + zlib.compress(json.dumps(document).encode(), 1)
        layers = tuple(Layer(node.output, case.graph.dtypes[node.output]) for node in case.graph.nodes)
        return Built(plan, _CACHE if request.timing_cache is not None else b"", layers, calibration)

    def calibrated(self, case: EngineCase, weights: Mapping[str, np.ndarray], request: BuildRequest) -> Calibration:
        """Return the ranges in the cache that was given, else those of the batches."""
        if request.calibration_cache:
            return Calibration(0, request.calibration_cache, read_cache(request.calibration_cache))
        ranges = self.ranges_of(case, weights, request.batches)
        return Calibration(len(request.batches), write_cache(ranges, _CALIBRATION_HEAD), ranges)

    def ranges_of(self, case: EngineCase, weights: Mapping[str, np.ndarray], batches: Batches) -> dict[str, float]:
        """Return the largest magnitude of every tensor."""
        return largest_of(case, weights, batches)

    def used(self, ranges: Mapping[str, float]) -> dict[str, float]:
        """Return the ranges that the engine works with."""
        return dict(ranges)

    def load(self, plan: bytes, options: frozenset[str] = frozenset()) -> Session:  # noqa: ARG002
        """Read the document."""
        if not plan.startswith(MAGIC):
            found = f"it begins with {plan[:4].hex()}" if plan else "it is empty"
            raise PlanError(f"no plan of the stand-in: {found}")
        try:
            document = json.loads(zlib.decompress(plan[len(MAGIC) :]))
        except (zlib.error, ValueError) as error:
            raise PlanError(f"a damaged plan: {error}") from error
        session = self.session(_graph(document["graph"]), document["dims"], _unpacked(document["weights"]))
        session.arithmetic.ranges = document["ranges"]
        return session

    def of_other_release(self, plan: bytes) -> bytes:
        """Return a plan of the stand-in 2."""
        return plan.replace(b" 1\n", b" 2\n", 1)

    def session(self, graph: Graph, dims: Mapping[str, Any], weights: dict[str, np.ndarray]) -> Session:
        """Return what runs a plan."""
        return Session(graph, dims, weights, self.arithmetic(graph))

    def arithmetic(self, graph: Graph) -> Arithmetic:
        """Return how numbers are computed."""
        return Plain(graph)


class Session:
    """A loaded document."""

    def __init__(
        self, graph: Graph, dims: Mapping[str, Any], weights: dict[str, np.ndarray], arithmetic: Arithmetic
    ) -> None:
        self.graph, self.dims, self.weights, self.arithmetic = graph, dims, weights, arithmetic
        self.contexts = 1

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], context: int = 0) -> None:
        """Compute and write."""
        if not 0 <= context < self.contexts:
            raise PlanError(f"no execution context {context}")
        self.check(inputs)
        self.write(self.arithmetic.run(self.weights, inputs), outputs)

    def write(self, found: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
        """Put results where they belong."""
        for name, array in outputs.items():
            array[...] = found[name]

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Raise for sizes that the plan is not for."""
        for one in self.graph.inputs:
            for size, part in zip(inputs[one.name].shape, one.shape, strict=True):
                low, _, high = self.dims[part] if isinstance(part, str) else (part, part, part)
                if not low <= size <= high:
                    raise PlanError(f"input {one.name}: {part} is {size}, built for {low} to {high}")

    def add_context(self) -> int:
        """Return one more number."""
        self.contexts += 1
        return self.contexts - 1

    def refit(self, case: EngineCase, weights: Mapping[str, np.ndarray]) -> None:  # noqa: ARG002
        """Take other values."""
        self.weights.update({name: array.astype(np.float64) for name, array in weights.items()})

    def close(self) -> None:
        """Forget."""
        self.weights = {}


def _packed(weights: Mapping[str, np.ndarray]) -> str:
    file = io.BytesIO()
    np.savez(file, **{name: array.astype(np.float64) for name, array in weights.items()})
    return base64.b64encode(file.getvalue()).decode()


def _unpacked(text: str) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _graph(document: Mapping[str, Any]) -> Graph:
    return Graph(
        tuple(Input(one["name"], one["dtype"], tuple(one["shape"]), one["fill"]) for one in document["inputs"]),
        tuple(
            Weight(one["name"], one["dtype"], tuple(one["shape"]), one["spread"], one["value"])
            for one in document["weights"]
        ),
        _nodes(document["nodes"]),
        tuple(document["outputs"]),
    )


def _nodes(documents: Any) -> tuple[Node, ...]:
    found = []
    for one in documents:
        settings = dict(one["settings"])
        if "body" in settings:
            settings["body"] = _nodes(settings["body"])
        found.append(Node(one["op"], tuple(one["inputs"]), one["output"], settings))
    return tuple(found)
