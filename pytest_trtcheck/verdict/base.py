"""What every rule family works with: the facts in typed form, and the way to state an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.boards import board

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pytest_trtcheck.model.facts import Fact, Stack
    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.model.report import Reason
    from pytest_trtcheck.model.versions import DottedVersion, PackageVersion
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row


IMPLIED = "implied"
"""How a fact is known that follows from another fact and a row of the matrix; its ``where`` names the row."""
_ALIKE = ("cuda_majors", "cudnn_soname_major", "min_compute_capability", "python_wheels")
"""Cells by which the rows of one TensorRT minor are held to be alike."""
NO_ROW_REMEDY = "Update pytest-trtcheck, or add a row of your own with --trtcheck-matrix."


@dataclass(frozen=True)
class Unasked:
    """A question that could not be put to this stack, and why."""

    id: str
    subject: str
    title: str
    reason: Reason
    message: str
    needs_import: str = ""
    """Component whose import would answer it; empty when that is not what is missing."""

    @property
    def key(self) -> str:
        """Unique name in a run, like a finding's."""
        return f"{self.id}-{self.subject}"


class Words(TypedDict, total=False):
    """What a finding says beyond its check; see Finding for the meaning of each."""

    severity: Severity
    components: tuple[str, ...]
    expected: str
    found: str
    facts: tuple[str, ...]
    source: Source
    remedy: str
    detail: str


@dataclass(frozen=True)
class Context:
    """One stack held against one matrix."""

    stack: Stack
    matrix: Matrix
    catalogue: Mapping[str, Check]
    level: Level
    _values: Mapping[str, str | None] = field(init=False, repr=False)
    """Text of every fact that was found; asked for a hundred times in judging one stack."""
    _capabilities: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Collect what every family asks for."""
        found = State.FOUND
        values = {key: fact.value for key, fact in self.stack.facts.items() if fact.state is found}
        object.__setattr__(self, "_values", values)
        sm = self.stack.facts.get("sm")
        texts = (sm.details.get("all") or ([sm.value] if sm.value else [])) if sm else ()
        parsed = (spans.capability(str(text)) for text in texts)
        object.__setattr__(self, "_capabilities", tuple(dict.fromkeys(one.dotted for one in parsed if one)))

    def fact(self, key: str) -> Fact:
        """Return a fact of the stack."""
        return self.stack.get(key)

    def dotted(self, key: str) -> DottedVersion | None:
        """Return the dotted numbers that a fact's value starts with."""
        return spans.dotted(self.value(key))

    def package(self, key: str) -> PackageVersion | None:
        """Return a fact's value as a Python package version."""
        return spans.package(self.value(key))

    def value(self, key: str) -> str | None:
        """Return the text of a fact that was found, a version or a bound; None when its version is not known."""
        return self._values.get(key)

    def has(self, key: str) -> bool:
        """Say whether a fact was found, with or without a version."""
        return key in self._values

    def has_any(self, keys: frozenset[str]) -> bool:
        """Say whether one of these facts was found."""
        return not keys.isdisjoint(self._values)

    def given(self, key: str) -> bool:
        """Say whether a fact was found and not merely follows from another."""
        return key in self._values and self.stack.facts[key].how != IMPLIED

    def values(self, key: str) -> tuple[str, ...]:
        """Return all values of a fact that may have several."""
        if key not in self._values:
            return ()
        fact = self.stack.facts[key]
        several = fact.details.get("all")
        return tuple(map(str, several)) if several else (fact.value,) if fact.value else ()

    def row(self, product: str, text: str) -> Row | None:
        """Return the row of exactly that version."""
        return _row(self.matrix, product, text)

    def match(self, product: str, text: str) -> Row | None:
        """Return the row of the same release, the text being longer or shorter than the row's."""
        return _match(self.matrix, product, text)

    @property
    def is_described(self) -> bool:
        """True when the stack is only written down: nothing of it was looked for, so nothing is known to be absent."""
        return self.stack.kind == "described"

    def capabilities(self) -> tuple[str, ...]:
        """Return the distinct compute capabilities of the GPUs, as ``9.0``."""
        return self._capabilities

    def compatible(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that the answer is yes; with ``severity`` warning, that it is yes with a condition."""
        return self._finding(check, subject, Verdict.COMPATIBLE, Severity.INFO, words, more)

    def incompatible(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that the answer is no; ``components`` names what is at fault."""
        return self._finding(check, subject, Verdict.INCOMPATIBLE, Severity.ERROR, words, more)

    def unknown(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that it cannot be told; ``detail`` says what is missing to decide."""
        return self._finding(check, subject, Verdict.UNKNOWN, Severity.WARNING, words, more)

    def silent(self, check: str, subject: str, what: str, facts: tuple[str, ...]) -> Finding:
        """State that the matrix has no row for this; alone that decides nothing."""
        return self.unknown(
            check, subject, severity=Severity.INFO, facts=facts, found=what, expected="a row of the matrix",
            detail=f"the matrix of {self.matrix.identity.date} has no row for this version",
            remedy=NO_ROW_REMEDY,
        )  # fmt: skip

    def unasked(self, check: str, subject: str, reason: Reason, message: str, needs_import: str = "") -> Unasked:
        """State that the question could not be put."""
        return Unasked(check, subject, self.catalogue[check].title, reason, message, needs_import)

    def _finding(
        self, check_id: str, subject: str, verdict: Verdict, usual: Severity, words: Words | None, more: Words
    ) -> Finding:
        words = {**(words or {}), **more}
        severity = words.get("severity", usual)
        check = self.catalogue[check_id]
        needs_remedy = verdict is not Verdict.COMPATIBLE or severity is not Severity.INFO
        return Finding(
            id=check_id,
            subject=subject,
            verdict=verdict,
            severity=severity,
            title=check.title,
            components=words.get("components", ()),
            expected=words.get("expected", ""),
            found=words.get("found", ""),
            facts=words.get("facts", ()),
            source=words.get("source") or measured(check.source),
            remedy=words.get("remedy", check.remedy if needs_remedy else ""),
            detail=words.get("detail", ""),
        )


@lru_cache(maxsize=20_000)
def _row(matrix: Matrix, product: str, text: str) -> Row | None:
    return matrix.row(product, text)


@lru_cache(maxsize=20_000)
def _match(matrix: Matrix, product: str, text: str) -> Row | None:
    number = spans.dotted(text) if product == "tensorrt" else None
    if number is not None and len(number.parts) == 2:
        return _of_minor(matrix, text)  # 10.13 stands for all patches of it, which differ
    row = matrix.match(product, board(text) if product == "gpu" else text)
    return _of_minor(matrix, text) if row is None and number is not None else row


def _of_minor(matrix: Matrix, text: str) -> Row | None:
    """Return a row of the same TensorRT minor, not after this patch, where all rows of it are alike."""
    have = spans.dotted(text)
    if have is None or len(have.parts) < 2:
        return None
    known = [(version, row) for row in matrix.rows("tensorrt") if row.value("cuda_majors")
             and (version := spans.dotted(row.version)) and version.parts[:2] == have.parts[:2]]  # fmt: skip
    if len({tuple(str(row.value(cell)) for cell in _ALIKE) for _, row in known}) != 1:
        return None
    before = [pair for pair in known if len(have.parts) == 2 or pair[0] <= have]
    return max(before, key=lambda pair: pair[0])[1] if before else None


@lru_cache(maxsize=1000)
def measured(document: str) -> Source:
    """Return a source for what was read from the stack itself."""
    return Source(document, confidence="measured")


def join(words: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    parts = list(words)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def describe(answer: Finding | Unasked, separator: str = "; ") -> str:
    """Return an answer as one line, or with another separator as several: what, expected, found, why, next step."""
    if isinstance(answer, Unasked):
        return f"{answer.title}: {answer.message}"
    parts = [f"{answer.title}: {answer.verdict.value}"]
    if answer.components:
        parts.append(f"at fault: {join(answer.components)}")
    parts += [f"{name} {text}" for name, text in (("expected", answer.expected), ("found", answer.found)) if text]
    parts += [text for text in (answer.detail,) if text]
    if answer.remedy:
        parts.append(f"next: {answer.remedy}")
    return separator.join(part.rstrip(".;") for part in parts)
