"""What every rule family works with: the facts in typed form, and the way to state an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from pytest_trtcheck.model.finding import Finding, Severity, Source, Verdict
from pytest_trtcheck.model.versions import Capability, DottedVersion, PackageVersion

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from pytest_trtcheck.model.facts import Fact, Stack
    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.model.report import Reason
    from pytest_trtcheck.rules.catalogue import Check
    from pytest_trtcheck.rules.load import Matrix


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

    def fact(self, key: str) -> Fact:
        """Return a fact of the stack."""
        return self.stack.get(key)

    def dotted(self, key: str) -> DottedVersion | None:
        """Return the dotted numbers that a fact's value starts with."""
        return DottedVersion.leading(self.stack.value(key))

    def package(self, key: str) -> PackageVersion | None:
        """Return a fact's value as a Python package version."""
        return PackageVersion.try_parse(self.stack.value(key))

    def capabilities(self) -> tuple[str, ...]:
        """Return the distinct compute capabilities of the GPUs, as ``9.0``."""
        fact = self.fact("sm")
        texts = fact.details.get("all") or ([fact.value] if fact.value else [])
        parsed = (Capability.try_parse(str(text)) for text in texts)
        return tuple(dict.fromkeys(capability.dotted for capability in parsed if capability))

    def compatible(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that the answer is yes; with ``severity`` warning, that it is yes with a condition."""
        return self._finding(check, subject, Verdict.COMPATIBLE, Severity.INFO, words, more)

    def incompatible(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that the answer is no; ``components`` names what is at fault."""
        return self._finding(check, subject, Verdict.INCOMPATIBLE, Severity.ERROR, words, more)

    def unknown(self, check: str, subject: str, words: Words | None = None, **more: Unpack[Words]) -> Finding:
        """State that it cannot be told; ``detail`` says what is missing to decide."""
        return self._finding(check, subject, Verdict.UNKNOWN, Severity.WARNING, words, more)

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


def measured(document: str) -> Source:
    """Return a source for what was read from the stack itself."""
    return Source(document, confidence="measured")


def join(words: Iterable[str]) -> str:
    """Return ``a, b and c``."""
    parts = list(words)
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def describe(answer: Finding | Unasked) -> str:
    """Return an answer as one line: what, expected, found, why, next step."""
    if isinstance(answer, Unasked):
        return f"{answer.title}: {answer.message}"
    parts = [f"{answer.title}: {answer.verdict.value}"]
    if answer.components:
        parts.append(f"at fault: {join(answer.components)}")
    parts += [f"{name} {text}" for name, text in (("expected", answer.expected), ("found", answer.found)) if text]
    parts += [text for text in (answer.detail,) if text]
    if answer.remedy:
        parts.append(f"next: {answer.remedy}")
    return "; ".join(part.rstrip(".;") for part in parts)
