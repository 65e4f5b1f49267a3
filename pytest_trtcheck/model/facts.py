"""What was read of a stack: facts with every copy found, where and how. Probes write these and judge nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class State(str, Enum):
    """What reading a fact gave."""

    FOUND = "found"
    ABSENT = "absent"
    """Looked for in every place that was open to us, and not there."""
    UNREADABLE = "unreadable"
    """It is there, or may be, and could not be read; ``reason`` says why."""
    NOT_PROBED = "not_probed"
    """Not looked for: the level or the kind of subject leaves it out."""


@dataclass(frozen=True)
class Copy:
    """One copy of a component on disk."""

    path: str
    """Where it lies, links resolved."""
    version: str | None
    """Full version as found; None when only the SONAME is known."""
    how: str
    """How the version was read: ``wheel metadata``, ``dpkg``, ``link target``, ``file name``, ``SONAME`` …"""
    found_by: str = ""
    """Which place of the search led here: ``LD_LIBRARY_PATH``, ``ld.so.cache``, ``site-packages/nvidia`` …"""
    soname: str | None = None
    needed: tuple[str, ...] = ()
    """NEEDED entries of the ELF file."""
    note: str = ""
    """What could not be read of this copy, in words; empty when all was."""


@dataclass(frozen=True)
class Fact:
    """One thing known of a stack, or the reason why it is not known."""

    key: str
    """Name in the stack vocabulary, such as ``cudnn`` or ``driver_cuda``."""
    state: State
    value: str | None = None
    """Text as found. None when not FOUND, or when it is there but its version is not known."""
    where: str = ""
    """The file, command or call it was read from."""
    how: str = ""
    """How it was read there."""
    reason: str = ""
    """Why it is absent, unreadable or not probed."""
    copies: tuple[Copy, ...] = ()
    """Every copy found, in the order of the search."""
    chosen: int | None = None
    """Index into ``copies`` of the one that the loader or interpreter would take."""
    why_chosen: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values that belong to the fact."""

    @property
    def is_found(self) -> bool:
        """True when the thing is there, with or without a version."""
        return self.state is State.FOUND


@dataclass(frozen=True)
class Gpu:
    """One GPU as NVML tells it."""

    index: int
    name: str
    uuid: str
    compute_capability: str
    memory_total_bytes: int | None = None
    memory_free_bytes: int | None = None
    pci_bus_id: str = ""
    mig_mode: str = ""
    """``enabled``, ``disabled`` or empty when the GPU has no MIG."""
    mig_devices: tuple[str, ...] = ()
    """UUIDs of the MIG instances."""
    ecc: str = ""
    """``enabled``, ``disabled`` or empty when unknown."""
    ecc_uncorrected_errors: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Distribution:
    """One installed Python distribution, from its metadata on disk."""

    name: str
    """Normalised name, ``nvidia-cudnn-cu12``."""
    version: str
    path: str
    """Its ``.dist-info`` or ``.egg-info`` folder."""
    origin: str = "index wheel"
    """``index wheel``, ``NGC build``, ``source``, ``editable``, ``direct URL``, ``conda``, ``unknown``."""
    installer: str = ""
    requires: tuple[str, ...] = ()
    """Requires-Dist lines, markers kept."""
    requires_python: str = ""
    tags: tuple[str, ...] = ()
    """Tags of the WHEEL file, ``cp311-cp311-manylinux_2_28_x86_64``."""
    note: str = ""
    """What is broken in its metadata; empty when nothing is."""


class ImportStatus(str, Enum):
    """How the import of one library in a child process ended."""

    OK = "ok"
    MISSING_LIBRARY = "missing_library"
    UNDEFINED_SYMBOL = "undefined_symbol"
    VERSION_NODE_MISSING = "version_node_missing"
    DRIVER_TOO_OLD = "driver_too_old"
    NO_DEVICE = "no_device"
    MISSING_MODULE = "missing_module"
    PYTHON_ERROR = "python_error"
    CRASH = "crash"
    HANG = "hang"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class ImportOutcome:
    """What a child process saw when it imported a module, then touched it, then left."""

    module: str
    distribution: str
    """Normalised name of the distribution that owns the module."""
    status: ImportStatus
    seconds: float | None = None
    message: str = ""
    """The library's or the loader's own words, one line."""
    phase: str = ""
    """Where it ended when it did not end well: ``import``, ``touch`` (first use of the native part), ``exit``."""
    library: str = ""
    """SONAME or file that is missing, or that lacks the symbol or version node."""
    needed_by: str = ""
    """The file that asks for it."""
    symbol: str = ""
    """Undefined symbol, demangled where it can be; or the version node."""
    provider: str = ""
    """The component that should define the symbol or bring the library, a key of the vocabulary; empty if unknown."""
    signal: str = ""
    """``SIGSEGV`` …; empty when no signal ended the child."""
    mapped: tuple[str, ...] = ()
    """Shared libraries of the stack that were mapped, from /proc/self/maps."""
    stderr_tail: str = ""


@dataclass(frozen=True)
class Stack:
    """Everything known of one stack."""

    kind: str
    """``host``, ``described``, ``root`` or ``image``."""
    name: str
    facts: Mapping[str, Fact]
    gpus: tuple[Gpu, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    imports: tuple[ImportOutcome, ...] = ()
    probe_seconds: Mapping[str, float] = field(default_factory=dict)

    def get(self, key: str) -> Fact:
        """Return the fact; one that nobody probed is NOT_PROBED."""
        fact = self.facts.get(key)
        return fact if fact is not None else Fact(key, State.NOT_PROBED, reason="no probe reads this here")

    def value(self, key: str) -> str | None:
        """Return the value of a fact that was found, else None."""
        return self.get(key).value if key in self.facts and self.facts[key].is_found else None

    @property
    def versions(self) -> dict[str, str]:
        """Value of every fact that was found, by its key; empty for one that is there without a version."""
        return {fact.key: fact.value or "" for fact in self.facts.values() if fact.is_found}

    def distribution(self, name: str) -> Distribution | None:
        """Return the installed distribution of that normalised name."""
        return next((dist for dist in self.distributions if dist.name == name), None)
