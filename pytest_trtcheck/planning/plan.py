"""The search: every known set that serves the purpose of a stack is laid over it, judged, and ranked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.finding import Severity, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.versions import Capability, DottedVersion, PackageVersion
from pytest_trtcheck.planning.proposal import DRIVER_KEYS, GPU_KEYS, IMAGE_KEYS, Draft, draft
from pytest_trtcheck.planning.sets import IMAGE, known_sets, release_order
from pytest_trtcheck.verdict import evaluate, overall

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.planning.proposal import Change
    from pytest_trtcheck.planning.sets import KnownSet
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix

KEPT = ("driver", "gpu")
"""What cannot be changed from inside a container."""

_ROLES: Mapping[str, tuple[str, ...]] = {
    "tensorrt_llm": ("tensorrt_llm", "engine_built_with_tensorrt_llm"),
    "triton": ("triton_container", "triton_server", "tritonbackend_api_server", "backend"),
    "tensorrt": (
        "tensorrt", "tensorrt_cu12", "tensorrt_cu12_bindings", "dpkg_tensorrt", "trt_container",
        "engine_built_with_tensorrt", "torch_tensorrt",
    ),
    "torch": ("torch", "torch_cuda", "torch_tensorrt"),
    "vllm": ("vllm",),
}  # fmt: skip
_UNSERVED = ("onnxruntime", "torch_tensorrt", "jetpack")
_MAX_REASONS = 5


@dataclass(frozen=True)
class Proposal:
    """A known set that fits, with the way there."""

    title: str
    changes: tuple[Change, ...]
    commands: tuple[str, ...]
    rows: tuple[str, ...]
    verdict: Verdict
    open_questions: tuple[Finding, ...]
    """Findings on the proposed stack that are unknown or compatible with a condition."""


@dataclass(frozen=True)
class Plan:
    """The nearest known-good sets for one stack, or why there is none."""

    stack: Stack
    verdict: Verdict
    """Of the stack as it is."""
    proposals: tuple[Proposal, ...]
    considered: int
    reasons: tuple[str, ...]
    """Why sets were refused, the most frequent first; and what would have to give."""


@dataclass(frozen=True)
class Wish:
    """What a proposed set has to have."""

    key: str
    specifier: str

    def admits(self, known: KnownSet) -> bool:
        """Tell whether a set has it."""
        from packaging.specifiers import SpecifierSet

        value = known.values.get(self.key)
        if value is None:
            return False
        version = DottedVersion.leading(value)
        exact = self.specifier.removeprefix("==")
        if not self.specifier or value == exact:
            return True
        return version is not None and SpecifierSet(self.specifier).contains(_pep440(value, version), prereleases=True)


def _pep440(value: str, version: DottedVersion) -> str:
    parsed = PackageVersion.try_parse(value)
    return str(parsed.pep440) if parsed else str(version)


def parse_wish(text: str) -> Wish:
    """Return the wish that ``tensorrt_llm==1.2.1`` says; OptionError for what is none."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise OptionError(f"--want: expected something like tensorrt_llm==1.2.1, found {text!r}") from None
    key = requirement.name.lower().replace("-", "_")
    wanted = ("tensorrt_llm", "triton_container", "triton_server", "tensorrt", "torch", "cuda_runtime", "python")
    if key not in wanted:
        raise OptionError(f"--want: expected one of {', '.join(wanted)}, found {requirement.name!r}")
    return Wish(key, str(requirement.specifier))


class Planner:
    """Proposes sets of one matrix."""

    def __init__(self, matrix: Matrix, catalogue: Mapping[str, Check]) -> None:
        self.matrix = matrix
        self.catalogue = catalogue
        self.sets = tuple(known_sets(matrix))

    def plan(self, stack: Stack, *, keep: Sequence[str] = KEPT, want: Sequence[Wish] = (), limit: int = 5) -> Plan:
        """Return the nearest sets that fit, at most ``limit``; with none, the reasons."""
        candidates = self._candidates(stack, keep, want)
        refused: Counter[str] = Counter()
        fitting = self._fitting(stack, candidates, keep, refused)
        fitting.sort(key=lambda item: self._rank(stack, *item))
        reasons = self._reasons(stack, candidates, keep, want, refused) if not fitting else []
        return Plan(
            stack=stack,
            verdict=overall(self._findings(stack)),
            proposals=tuple(_proposal(plan, findings) for plan, findings in fitting[:limit]),
            considered=len(candidates),
            reasons=tuple(reasons),
        )

    def _findings(self, stack: Stack) -> tuple[Finding, ...]:
        return evaluate(stack, self.matrix, self.catalogue, level=Level.STATIC).findings

    def _candidates(self, stack: Stack, keep: Sequence[str], want: Sequence[Wish]) -> list[KnownSet]:
        """Return the sets that bring all that the stack is for, and what is wanted, and leave what is kept."""
        roles = purpose_of(stack)
        wishes = {wish.key for wish in want}
        pinned = [key for key in keep if key not in KEPT]
        return [
            known
            for known in self.sets
            if roles <= known.serves
            and _is_to_the_point(known, roles | wishes)
            and all(wish.admits(known) for wish in want)
            and all(known.values.get(key) in {None, stack.value(key)} for key in pinned)
            and (not known.is_prerelease or "tensorrt_llm" in wishes or _on_prerelease(stack))
        ]

    def _fitting(
        self, stack: Stack, candidates: Iterable[KnownSet], keep: Sequence[str], refused: Counter[str]
    ) -> list[tuple[Draft, tuple[Finding, ...]]]:
        fitting = []
        for known in candidates:
            first_faults: list[Finding] = []
            for plan in self._drafts(draft(stack, known), keep):
                findings = self._findings(plan.stack)
                faults = _faults(findings)
                if not faults:
                    fitting.append((plan, findings))
                    break
                first_faults = first_faults or faults
            else:
                refused.update(
                    {f"{fault.id}: expected {fault.expected}, found {fault.found}" for fault in first_faults}
                )
        return fitting

    def _drafts(self, plan: Draft, keep: Sequence[str]) -> Iterator[Draft]:
        """Yield the draft, then the same with newer drivers and with other GPUs, as far as they are not kept."""
        gpus = [plan, *(self._gpu_drafts(plan) if "gpu" not in keep else ())]
        drivers = self._drivers(plan) if "driver" not in keep else []
        for with_gpu in gpus:
            yield with_gpu
            for driver in drivers:
                command = f"update the driver on the host to {driver} or newer"
                yield with_gpu.with_value("driver", driver, DRIVER_KEYS, command)

    def _gpu_drafts(self, plan: Draft) -> Iterator[Draft]:
        """Yield the draft for each newer compute capability that the set supports, the nearest first."""
        current = [row.version for row in self.matrix.rows("sm") if row.value("cuda_ongoing")]
        listed = sorted(filter(None, map(Capability.try_parse, plan.known.sms or current)))
        have = Capability.try_parse(plan.stack.value("sm"))
        if have is None:
            gpu = self.matrix.match("gpu", plan.stack.value("gpu") or "")
            have = Capability.try_parse(gpu.value("sm")) if gpu else None
        for capability in listed:
            if have is None or capability > have:
                command = f"use a GPU of compute capability {capability.dotted}"
                yield plan.with_value("sm", capability.dotted, GPU_KEYS, command)

    def _drivers(self, plan: Draft) -> list[str]:
        """Return drivers that may do for the CUDA of a set: the lowest of its family, then the one made for it."""
        cuda = DottedVersion.leading(plan.stack.value("cuda_runtime") or plan.stack.value("torch_cuda"))
        if cuda is None:
            return []
        family = self.matrix.match("cuda_driver_family", f"{cuda.major}.x")
        toolkit = self.matrix.match("cuda_toolkit", cuda.major_minor)
        texts = [
            str(row.value(cell) or "").lstrip(">=")
            for row, cell in ((family, "min_driver"), (toolkit, "driver_bundled"))
            if row
        ]
        have = DottedVersion.leading(plan.stack.value("driver"))
        drivers = sorted(filter(None, map(DottedVersion.try_parse, texts)))
        return [driver.text for driver in drivers if have is None or driver > have]

    def _rank(self, stack: Stack, plan: Draft, findings: Sequence[Finding]) -> tuple[object, ...]:
        """Fewest changes, then what is known to work, then the nearest releases, then the newer ones.

        A move between wheels and images, and what the set brings beyond the purpose, weigh as a change each.
        """
        known = plan.known
        is_image = any(stack.get(key).is_found for key in IMAGE_KEYS)
        moves = (known.route == IMAGE) != is_image
        excess = known.serves - purpose_of(stack) - {"torch", "tensorrt"}
        unknown = overall(findings) is Verdict.UNKNOWN
        weight = len(plan.changes) + moves + len(excess)
        return weight, unknown, self._distance(stack, known), -sum(known.positions.values()), known.title

    def _distance(self, stack: Stack, known: KnownSet) -> int:
        """Return how many releases lie between a stack and a set, over the products that both have."""
        distance = 0
        for product, position in known.positions.items():
            text = stack.value("container" if product == "ngc_pytorch" else product)
            row = self.matrix.match(product, text) if text else None
            if row is not None:
                distance += abs(position - release_order(self.matrix, product).index(row.id))
        return distance

    def _reasons(
        self, stack: Stack, candidates: list[KnownSet], keep: Sequence[str], want: Sequence[Wish], refused: Counter[str]
    ) -> list[str]:
        if not candidates:
            return [_nothing_to_consider(stack, want, self.matrix.identity.date)]
        ranked = sorted(refused.items(), key=lambda item: (-item[1], item[0]))
        reasons = [f"{count} of {len(candidates)} sets: {words}" for words, count in ranked[:_MAX_REASONS]]
        for gives in (("driver",), ("gpu",), ("driver", "gpu")):
            free = [key for key in keep if key not in gives]
            if len(free) == len(keep) - len(gives):
                fitting = self._fitting(stack, candidates, free, Counter())
                if fitting:
                    best = min(fitting, key=lambda item: self._rank(stack, *item))[0]
                    outside = [command for command in best.commands if command.startswith(("update", "use a"))]
                    reasons.insert(
                        0, f"with --keep {','.join(free) or 'none'} {best.known.title} fits: {'; '.join(outside)}"
                    )
                    break
        return reasons


def purpose_of(stack: Stack) -> frozenset[str]:
    """Return what a stack is for, by what is described of it."""
    roles = {role for role, keys in _ROLES.items() if any(stack.get(key).is_found for key in keys)}
    texts = f"{stack.value('backend') or ''} {stack.value('triton_container') or ''} {stack.value('container') or ''}"
    if "tensorrtllm" in texts or "trtllm" in texts or "tensorrt-llm" in texts:
        roles.add("tensorrt_llm")
    if "tensorrt_llm" in roles:
        # TensorRT and torch come with it, or have gone from its newer releases.
        roles -= {"tensorrt", "torch"}
    if not roles:
        # Only a machine is described: what this tool is for.
        roles.add("tensorrt_llm")
    return frozenset(roles)


def _is_to_the_point(known: KnownSet, roles: Set[str]) -> bool:
    """Tell whether a set brings no server or engine that nobody asked for; Triton is a way to get TensorRT-LLM."""
    excess = (known.serves & {"tensorrt_llm", "triton", "vllm"}) - roles
    return not excess or (excess == {"triton"} and "tensorrt_llm" in roles)


def _faults(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _on_prerelease(stack: Stack) -> bool:
    version = PackageVersion.try_parse(stack.value("tensorrt_llm"))
    return version is not None and version.pep440.is_prerelease


def _proposal(plan: Draft, findings: Sequence[Finding]) -> Proposal:
    open_questions = [finding for finding in findings if finding.severity is not Severity.INFO]
    return Proposal(
        title=plan.known.title,
        changes=plan.changes,
        commands=plan.commands,
        rows=plan.known.rows,
        verdict=overall(findings),
        open_questions=tuple(open_questions),
    )


def _nothing_to_consider(stack: Stack, want: Sequence[Wish], date: str) -> str:
    wishes = " and ".join(f"{wish.key}{wish.specifier}" for wish in want)
    roles = ", ".join(sorted(purpose_of(stack)))
    unserved = [key for key in _UNSERVED if stack.get(key).is_found]
    purpose = f" that brings {roles}" if roles else ""
    wanted = f" with {wishes}" if wishes else ""
    extra = f"; {', '.join(unserved)} has no rows" if unserved else ""
    return f"the matrix of {date} has no set{purpose}{wanted}{extra}"
