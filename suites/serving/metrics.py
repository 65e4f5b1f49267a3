"""The metrics endpoint: Prometheus text to numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping

Labels = frozenset[tuple[str, str]]

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """The samples of one look."""

    def __init__(self, samples: Mapping[tuple[str, Labels], float]) -> None:
        self.samples = samples

    @property
    def names(self) -> frozenset[str]:
        """Names of all that is there."""
        return frozenset(name for name, _ in self.samples)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all samples of a name that have these labels; 0.0 where there is none."""
        wanted = frozenset(labels.items())
        return sum(value for (found, given), value in self.samples.items() if found == name and wanted <= given)


def parse_metrics(text: str) -> Metrics:
    """Return the samples of a text in the Prometheus format; ValueError for a line that is none."""
    samples = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = _SAMPLE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"no sample: {line[:80]!r}")
        name, labels, value = match.groups()
        samples[name, frozenset(_LABEL.findall(labels or ""))] = float(value)
    return Metrics(samples)
