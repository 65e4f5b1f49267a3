"""A short way to write graphs down."""

from __future__ import annotations

from typing import Any

from pytest_trtcheck.providers.engine import Graph, Input, Node, Weight


class Sketch:
    """Collects inputs, constants and operations; each call returns a tensor's name."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self._inputs: list[Input] = []
        self._weights: list[Weight] = []
        self._nodes: list[Node] = []

    def input(self, name: str, *shape: int | str, dtype: str = "fp32", fill: str = "normal") -> str:
        """Add an input; what comes in fp32 is cast to the sketch's type."""
        self._inputs.append(Input(name, dtype, shape, fill))
        return self.op("cast", name, to=self.dtype) if dtype == "fp32" != self.dtype else name

    def weight(self, name: str, *shape: int, spread: float = 1.0, dtype: str = "", value: float | None = None) -> str:
        """Add a constant of the sketch's type, unless told otherwise."""
        self._weights.append(Weight(name, dtype or self.dtype, shape, spread, value))
        return name

    def op(self, op: str, *inputs: str, name: str = "", **settings: Any) -> str:
        """Add an operation."""
        output = name or f"{op}_{len(self._nodes)}"
        self._nodes.append(Node(op, inputs, output, settings))
        return output

    def linear(self, x: str, name: str, rows: int, columns: int, bias: bool = True, rank: int = 3) -> str:
        """Add a product with a constant ``[rows, columns]`` and a bias."""
        product = self.op("matmul", x, self.weight(name, *(1,) * (rank - 2), rows, columns, spread=rows**-0.5))
        return self.op("add", product, self.weight(f"{name}_bias", *(1,) * (rank - 1), columns)) if bias else product

    def graph(self, *outputs: tuple[str, str]) -> Graph:
        """Return the graph; each output, by tensor and name, leaves in fp32."""
        names = [self.op("cast", tensor, name=name, to="fp32") for tensor, name in outputs]
        return Graph(tuple(self._inputs), tuple(self._weights), tuple(self._nodes), tuple(names))
