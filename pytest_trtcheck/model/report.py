"""What was run, and the one report that every renderer writes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from pytest_trtcheck.model.difference import Difference
from pytest_trtcheck.model.facts import Stack
from pytest_trtcheck.model.finding import Finding

SCHEMA_VERSION = 3
"""Of ``report.json``; older versions are read. 2 added measurements, checks, locations and redacted; 3 added waivers,
difference and merged."""


class Outcome(str, Enum):
    """Outcome of a planned check; exactly one."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not_run"
    ERROR = "error"
    """Crash, hang or a bug of the check itself."""


class Reason(str, Enum):
    """Why a planned check did not run."""

    MISSING_COMPONENT = "missing_component"
    NO_GPU = "no_gpu"
    TOO_LITTLE_MEMORY = "too_little_memory"
    FILTERED = "filtered"
    """Deselected by -k, -m, --lf, --deselect or another plugin."""
    STOPPED = "stopped"
    """The run ended before its turn: -x, --maxfail, an interrupt."""
    WAIVED = "waived"
    TIME_BUDGET = "time_budget"
    LEVEL = "level"
    """The level leaves it out."""
    NOT_APPLICABLE = "not_applicable"
    REFUSED = "refused"
    """The library declined, in the words of ``message``; the matrix does not say that it should have worked."""
    UNDECIDED = "undecided"
    """It ran, and the facts or the matrix cannot tell."""
    SKIPPED = "skipped"
    """Skipped by pytest.skip or a mark, in the words of ``message``."""


class RunVerdict(str, Enum):
    """Verdict of a whole run."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Comparison:
    """An answer held against its reference: the statistic that came nearest to its bound, or went furthest beyond."""

    error: float | None
    """In units of the row's scale; None where the answer holds what is no number, or none where the reference does."""
    allowed: float
    statistic: str
    """``root mean square`` of a group of rows, or ``largest element``."""
    axes: tuple[str, ...]
    """Names of the parts of ``index``."""
    index: tuple[int, ...]
    """Where the worst element stands."""
    expected: float | None
    """The worst element in the reference; None for NaN."""
    found: float | None
    """The worst element in the answer; None for NaN and infinity."""

    @property
    def is_within(self) -> bool:
        """True when the answer is as good as it has to be."""
        return self.error is not None and self.error <= self.allowed

    def describe(self) -> str:
        """Return the measured and the allowed error and the worst element on one line."""
        where = ", ".join(f"{axis} {part}" for axis, part in zip(self.axes, self.index, strict=True))
        found = "NaN or infinity" if self.found is None else f"{self.found:.6g}"
        expected = "NaN" if self.expected is None else f"{self.expected:.6g}"
        if self.error is None:
            return f"NaN or infinity in the wrong place, first at {where}: found {found}, expected {expected}"
        return (
            f"{self.statistic} {self.error:.3g}, allowed {self.allowed:.3g}; worst at {where}: "
            f"found {found}, expected {expected}"
        )


@dataclass(frozen=True)
class Measurement:
    """A figure that a check measured: a rate, a time, a count. It decides nothing by itself."""

    name: str
    """``throughput``, ``near_ties`` …; figures of one check with one name and several ``at`` are a curve."""
    value: float
    unit: str
    """``tokens/s``, ``s``, ``tokens`` …"""
    axis: str = ""
    """What ``at`` counts, such as ``batch size``; empty for a figure on its own."""
    at: float | None = None


@dataclass(frozen=True)
class Waiver:
    """A failure that somebody answers for, for a time: it is still run and shown, and does not reject."""

    check: str
    """Name or id of a check, or a glob of them: ``TRC-ATT-002-*``."""
    reason: str
    owner: str
    """Who answers for it."""
    expires: str
    """The last day on which it holds, ISO."""
    link: str = ""
    gpu: str = ""
    """Glob of the GPU's name; empty for any, and for none."""
    provider: str = ""
    """Glob of the implementation under test; empty for any, and for checks that test none."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Range of each component's version, ``>=2.9,<2.10``, by its key."""

    @property
    def scope(self) -> str:
        """Where it holds, in words; empty for everywhere."""
        parts = [self.gpu and f"GPU {self.gpu}", self.provider and f"provider {self.provider}"]
        parts += [f"{key} {wanted}" for key, wanted in self.versions.items()]
        return ", ".join(filter(None, parts))

    def describe(self) -> str:
        """Return why, by whom and until when, on one line."""
        return f"{self.reason} ({self.owner}, until {self.expires}{f', {self.link}' if self.link else ''})"


@dataclass(frozen=True)
class Result:
    """One planned check and how it ended."""

    name: str
    """Stable and unique in a run: check id and parameters, ``TRC-DRV-001-torch``."""
    check_id: str
    suite: str
    """``stack``, ``attention`` …"""
    nodeid: str
    outcome: Outcome
    reason: Reason | None = None
    """Set exactly when the outcome is NOT_RUN."""
    message: str = ""
    """One line; of a check that passed, what a reader should know of it all the same."""
    text: str = ""
    """Long text: traceback, captured output."""
    seconds: float = 0.0
    started: str = ""
    """ISO time with zone; empty when it never started."""
    worker: str = ""
    memory_left_bytes: int | None = None
    """GPU memory in use after the check beyond that before it, by the driver; None where no GPU was used."""
    allocator_left_bytes: int | None = None
    """The same by torch's allocator; None where torch did not use a GPU."""
    provider: str = ""
    """Implementation under test; empty for a check that tests none."""
    features: tuple[str, ...] = ()
    """What the case asked of the provider, sorted."""
    comparison: Comparison | None = None
    """How near the answer came to the reference, where there is one."""
    measurements: tuple[Measurement, ...] = ()
    """Figures that the check measured, in its order."""
    waiver: Waiver | None = None
    """What keeps this failure from rejecting the run."""

    @property
    def state(self) -> str:
        """The outcome as people are told it: ``waived`` for a failure that somebody answers for."""
        return "waived" if self.waiver is not None else self.outcome.value

    @property
    def is_broken(self) -> bool:
        """True when it failed or broke off, and nobody answers for that."""
        return self.outcome in (Outcome.FAILED, Outcome.ERROR) and self.waiver is None

    def __post_init__(self) -> None:
        """Give a reason to a check that did not run, and to no other."""
        if (self.outcome is Outcome.NOT_RUN) != (self.reason is not None):
            raise ValueError(f"{self.name}: outcome {self.outcome.value} with reason {self.reason}")
        if self.waiver is not None and self.outcome not in (Outcome.FAILED, Outcome.ERROR):
            raise ValueError(f"{self.name}: outcome {self.outcome.value} with a waiver")


@dataclass(frozen=True)
class Isolation:
    """Where checks ran, and what that cost."""

    mode: str = "not_needed"
    """``workers``; ``in_process``, where a crash would have ended the run; ``not_needed``: nothing native ran."""
    workers: tuple[str, ...] = ()
    """Each first worker by what it saw: ``gpu0``, ``cpu``."""
    restarts: int = 0
    max_restarts: int | None = None
    notes: tuple[str, ...] = ()
    """What happened to workers, in words, oldest first."""


@dataclass(frozen=True)
class Unsupported:
    """Cases that a provider said it cannot run here; they were not planned."""

    suite: str
    provider: str
    reason: str
    """In the provider's words."""
    features: tuple[str, ...]
    """Features that only such cases have, sorted: out of this provider's reach here."""
    cases: int


@dataclass(frozen=True)
class SupportCell:
    """What became of one feature with one provider."""

    suite: str
    provider: str
    feature: str
    state: str
    """``works``: all cases with it that ran passed; ``fails``: at least one did not; ``refused``: the library declined
    all; ``not supported here``: no case was planned; ``not run``: planned, and none ran."""
    passed: int = 0
    failed: int = 0
    refused: int = 0
    words: str = ""
    """Why it is not supported, or how the first failure reads."""


@dataclass(frozen=True)
class StackRow:
    """One line of the stack table."""

    component: str
    """Key of the stack vocabulary."""
    version: str
    """Version, or ``absent``, ``unreadable``, ``present, version unknown``."""
    where: str
    expected: str
    """What the matrix expects, by the findings that used this fact; empty when it says nothing."""
    state: str
    """Worst finding about it: ``incompatible``, ``unknown``, ``warning``, ``compatible``; empty without one."""


@dataclass(frozen=True)
class MatrixIdentity:
    """Which matrix judged the run."""

    date: str
    """The newest day on which a row's source was read, ISO."""
    digest: str
    """SHA-256 over all rows after overlays, first 12 hex digits."""
    rows: int
    overlays: tuple[str, ...] = ()
    """Each overlay folder with what it added and overrode, in words."""


@dataclass(frozen=True)
class CheckText:
    """What the catalogue says of a check, kept with the run: a later release may word it otherwise."""

    id: str
    title: str
    question: str
    remedy: str
    source: str


@dataclass(frozen=True)
class Location:
    """Where a component is chosen: a line of a Dockerfile or of a requirements file."""

    component: str
    """Key of the stack vocabulary; empty for the file as a whole."""
    file: str
    """Relative to the root of the repository, with forward slashes."""
    line: int
    """From 1."""


@dataclass(frozen=True)
class RunReport:
    """One run of ``pytest --trtcheck``; renderers compute nothing beyond this."""

    tool_version: str
    started: str
    """ISO time with zone."""
    seconds: float
    profile: str
    level: str
    fail_on: str
    matrix: MatrixIdentity
    stack: Stack
    table: tuple[StackRow, ...]
    findings: tuple[Finding, ...]
    results: tuple[Result, ...]
    verdict: RunVerdict
    verdict_reasons: tuple[str, ...]
    """Why the verdict is what it is, most weighty first."""
    not_looked_at: tuple[str, ...]
    """What this run did not look at, in words."""
    exit_status: int
    isolation: Isolation = Isolation()
    support: tuple[SupportCell, ...] = ()
    """Provider by feature, for suites that run on providers."""
    seed: int | None = None
    """What inputs were drawn from; ``--trtcheck-seed`` draws the same again. None where nothing was drawn."""
    checks: tuple[CheckText, ...] = ()
    """The checks of the catalogue that this run asked, by id."""
    locations: tuple[Location, ...] = ()
    """Lines of the file of ``--trtcheck-source``, the file as a whole first; empty without one."""
    waivers: tuple[Waiver, ...] = ()
    """All that were given, in the order of their file, whether they applied or not."""
    difference: Difference | None = None
    """What changed since the run of ``--trtcheck-baseline``; None without one."""
    merged: tuple[str, ...] = ()
    """Names of the reports that this one was merged from, in order; empty for a report of one run."""
    redacted: bool = False
    """True when host, user, GPU and secrets are masked."""
    schema_version: int = SCHEMA_VERSION
