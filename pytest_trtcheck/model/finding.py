"""What the facts mean when held against the matrix."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(str, Enum):
    """Answer to one question about the stack."""

    COMPATIBLE = "compatible"
    INCOMPATIBLE = "incompatible"
    UNKNOWN = "unknown"
    """The facts or the matrix cannot tell; ``detail`` says what is missing to decide."""


class Severity(str, Enum):
    """What a finding does to the run: an ``error`` rejects it, a ``warning`` and an ``info`` do not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Source:
    """Where the expectation comes from."""

    document: str
    """Document and section, file at commit, or the ELF file itself."""
    date: str = ""
    """The day it was read, ISO."""
    row: str = ""
    """Id of the matrix row."""
    confidence: str = "stated"
    """``stated``, ``derived`` or ``measured`` (read from the stack itself)."""


@dataclass(frozen=True)
class Finding:
    """One question put to the stack, and its answer."""

    id: str
    """Check id, ``TRC-DRV-001``."""
    subject: str
    """What the question was put to, ``torch``, so that id and subject are unique in a run."""
    verdict: Verdict
    severity: Severity
    title: str
    components: tuple[str, ...]
    """Components at fault; empty when compatible."""
    expected: str
    found: str
    facts: tuple[str, ...]
    """Keys of the facts used."""
    source: Source
    remedy: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        """Keep one meaning per word: what is incompatible rejects, and only what is not compatible names a fault."""
        if self.verdict is Verdict.INCOMPATIBLE and self.severity is not Severity.ERROR:
            raise ValueError(f"{self.key}: an incompatible finding has severity error, found {self.severity.value}")
        if self.verdict is Verdict.INCOMPATIBLE and not self.components:
            raise ValueError(f"{self.key}: an incompatible finding names the component at fault")

    @property
    def key(self) -> str:
        """Unique name in a run, ``TRC-DRV-001-torch``."""
        return f"{self.id}-{self.subject}"
