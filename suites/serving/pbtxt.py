"""Model configurations in the text form that the server reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CPU_INSTANCE = "instance_group [ { kind: KIND_CPU count: 1 } ]"


@dataclass(frozen=True)
class Port:
    """An input or output of a model."""

    name: str
    datatype: str
    """As in requests: INT32, BYTES …"""
    dims: tuple[int, ...]
    """Without the batch dimension; -1 for any size."""
    optional: bool = False

    def text(self) -> str:
        """Return it as an entry of the configuration."""
        dims = ", ".join(map(str, self.dims))
        kind = "STRING" if self.datatype == "BYTES" else self.datatype
        optional = " optional: true" if self.optional else ""
        return f'{{ name: "{self.name}" data_type: TYPE_{kind} dims: [ {dims} ]{optional} }}'


def quoted(text: str) -> str:
    """Return a string literal of the text form."""
    escaped = "".join(f"\\{ord(c):03o}" if c in '"\\' or not " " <= c <= "~" else c for c in text)
    return f'"{escaped}"'


def model_config(
    name: str,
    *,
    backend: str = "python",
    max_batch_size: int = 0,
    inputs: Sequence[Port] = (),
    outputs: Sequence[Port] = (),
    parameters: Mapping[str, str] | None = None,
    decoupled: bool = False,
    more: Sequence[str] = (CPU_INSTANCE,),
) -> str:
    """Return a ``config.pbtxt``; ``more`` holds further entries as they are."""
    lines = [f"name: {quoted(name)}"]
    lines.append(f"{'platform' if backend == 'ensemble' else 'backend'}: {quoted(backend)}")
    lines.append(f"max_batch_size: {max_batch_size}")
    for title, ports in (("input", inputs), ("output", outputs)):
        if ports:
            lines += [f"{title} [", *(f"  {port.text()}," for port in ports[:-1]), f"  {ports[-1].text()}", "]"]
    if decoupled:
        lines.append("model_transaction_policy { decoupled: true }")
    lines += [
        f"parameters {{ key: {quoted(key)} value: {{ string_value: {quoted(value)} }} }}"
        for key, value in (parameters or {}).items()
    ]
    return "\n".join([*lines, *more, ""])
