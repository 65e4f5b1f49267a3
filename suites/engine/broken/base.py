"""What broken engine providers share: the stand-in with one mistake, and where it can show at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from pytest_trtcheck._suites.engine.evaluate import Arithmetic, Plain
from pytest_trtcheck._suites.engine.standin import Session, Standin
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import EngineCase, Graph, Node, flat


class Broken(Standin):
    """A stand-in with one mistake."""

    aspect: ClassVar[str] = "numbers"
    """The check that must see it."""
    ops: ClassVar[frozenset[str]] = frozenset()
    """The mistake shows only in graphs with one of these operations; empty for all."""
    feature: ClassVar[str] = ""
    """The mistake shows only in cases with this feature; empty for all."""
    arithmetic_class: ClassVar[type[Arithmetic]] = Plain
    session_class: ClassVar[type[Session]] = Session

    def why_not(self, case: EngineCase, where: Where) -> str:  # noqa: ARG002
        """Return why the mistake changes nothing in a case; empty where it may."""
        if self.aspect == "outside" and not case.is_dynamic:
            return "the mistake shows only with a profile"
        if self.feature and self.feature not in case.features:
            return f"the mistake shows only with {self.feature}"
        there = {node.op for node in flat(case.graph.nodes)}
        return "" if not self.ops or self.ops & there else f"the mistake shows only with {', '.join(sorted(self.ops))}"

    def arithmetic(self, graph: Graph) -> Arithmetic:
        """Compute with the mistake."""
        return self.arithmetic_class(graph)

    def session(self, graph: Graph, dims: Mapping[str, Any], weights: dict[str, np.ndarray]) -> Session:
        """Run with the mistake."""
        return self.session_class(graph, dims, weights, self.arithmetic(graph))


class OneOperation(Plain):
    """Sound but for one kind of operation."""

    op: ClassVar[str]

    def result(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Compute with the mistake where it belongs."""
        return self.wrong(node, given) if node.op == self.op else super().result(node, given)

    def right(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Return what a sound operation gives."""
        return super().result(node, given)

    def wrong(self, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
        """Return what this one gives."""
        raise NotImplementedError
