"""Kinds of version. Each keeps its text as found and orders only against its own kind.

One parser for all of them goes wrong in silence: ``9.24.0.43-1+cuda12.9`` (dpkg) reads as a PEP 440 post-release,
driver ``580.65.06`` loses its zero, ``25.08-py3`` is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property, total_ordering
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pytest_trtcheck.errors import VersionError

if TYPE_CHECKING:
    from packaging.version import Version as Pep440

V = TypeVar("V", bound="Version")

_MAX_LENGTH = 200


@total_ordering
@dataclass(frozen=True, eq=False)
class Version:
    """Base of all kinds. Equal and ordered by ``key``; comparing two kinds is a TypeError."""

    text: str
    """The version as it was found, never normalised."""
    key: tuple[Any, ...] = field(repr=False)
    kind: ClassVar[str] = "version"

    @classmethod
    def parse(cls: type[V], text: str) -> V:
        """Return the version; raise VersionError for a text that is not of this kind."""
        if len(text) > _MAX_LENGTH:
            raise VersionError(f"{cls.kind}: expected at most {_MAX_LENGTH} characters, found {len(text)}")
        key = cls._key(text.strip())
        if key is None:
            raise VersionError(f"{cls.kind}: expected something like {cls.example()}, found {text!r}")
        return cls(text.strip(), key)

    @classmethod
    def try_parse(cls: type[V], text: str | None) -> V | None:
        """Return the version, or None when there is none to read."""
        if text is None:
            return None
        try:
            return cls.parse(text)
        except VersionError:
            return None

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        raise NotImplementedError(cls)

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind, for messages."""
        raise NotImplementedError(cls)

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, type(self)) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return bool(self.key < other.key) if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.kind, self.key))


def _strip_zeros(parts: tuple[int, ...]) -> tuple[int, ...]:
    end = len(parts)
    while end > 1 and parts[end - 1] == 0:
        end -= 1
    return parts[:end]


class DottedVersion(Version):
    """Numbers joined by dots: CUDA, cuDNN, TensorRT libraries, NCCL, drivers, glibc. 12.4 equals 12.4.0."""

    kind = "dotted version"
    _PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"[vV]?([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})")

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        match = cls._PATTERN.fullmatch(text)
        return _strip_zeros(tuple(int(part) for part in match[1].split("."))) if match else None

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind."""
        return "12.9.1"

    @classmethod
    def leading(cls, text: str | None) -> DottedVersion | None:
        """Return the dotted numbers that a longer text starts with: ``10.0.1b6`` gives 10.0.1, ``9.1-1`` gives 9.1."""
        match = cls._PATTERN.match(text.strip()) if text else None
        return cls.parse(match[1]) if match else None

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """The numbers as written, zeros kept."""
        match = self._PATTERN.fullmatch(self.text)
        assert match
        return tuple(int(part) for part in match[1].split("."))

    @property
    def major(self) -> int:
        """The first number."""
        return self.parts[0]

    @property
    def minor(self) -> int:
        """The second number, 0 when there is none."""
        return self.parts[1] if len(self.parts) > 1 else 0

    @property
    def major_minor(self) -> str:
        """The first two numbers, as in ``12.9``."""
        return f"{self.major}.{self.minor}"


class DpkgVersion(Version):
    """A Debian package version, ordered by the rules of deb-version(7): epoch, upstream, revision, ``~`` first."""

    kind = "dpkg version"
    _PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"(?:(\d{1,9}):)?([0-9][A-Za-z0-9.+~:-]*?)(?:-([A-Za-z0-9.+~]+))?")

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        match = cls._PATTERN.fullmatch(text)
        if not match or (match[1] is None and ":" in text):
            return None
        # No revision is revision 0, says deb-version(7).
        return int(match[1] or 0), cls._part_key(match[2]), cls._part_key(match[3] or "0")

    @staticmethod
    def _part_key(part: str) -> tuple[tuple[tuple[int, ...], int], ...]:
        def weight(char: str) -> int:
            if char == "~":
                return -1
            return ord(char) if char.isalpha() else ord(char) + 256

        # The end of a non-digit run sorts as 0: after "~", before everything else.
        pairs = re.findall(r"(\D*)(\d*)", part)
        return tuple(((*map(weight, text), 0), int(digits or 0)) for text, digits in pairs)

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind."""
        return "9.24.0.43-1+cuda12.9"

    @property
    def upstream(self) -> str:
        """The version without epoch and revision: ``1:9.2.0-1`` gives ``9.2.0``."""
        match = self._PATTERN.fullmatch(self.text)
        assert match
        return match[2]


class PackageVersion(Version):
    """A Python package version (PEP 440). Local labels order too: ``2.13.0+cpu`` is after ``2.13.0``."""

    kind = "Python package version"

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        from packaging.version import InvalidVersion
        from packaging.version import Version as Pep440

        try:
            return (Pep440(text),)
        except InvalidVersion:
            return None

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind."""
        return "2.13.0+cu130"

    @property
    def pep440(self) -> Pep440:
        """The parsed PEP 440 version."""
        version: Pep440 = self.key[0]
        return version

    @property
    def local(self) -> str | None:
        """The label after ``+``: ``cu130``, ``cpu``, None."""
        return self.pep440.local

    @cached_property
    def public(self) -> str:
        """The version without its local label."""
        return self.pep440.public

    @cached_property
    def base(self) -> DottedVersion:
        """The release numbers only: ``2.10.0a0+b4e4ee81d3.nv25.12`` gives 2.10.0."""
        return DottedVersion.parse(".".join(str(part) for part in self.pep440.release))


class ContainerTag(Version):
    """A monthly NGC tag: ``25.08-py3``, ``24.05-trtllm-python-py3``, ``25.08``. Ordered by month, then variant."""

    kind = "container tag"
    _PATTERN: ClassVar[re.Pattern[str]] = re.compile(r"(\d{2})\.(\d{2})(?:\.(\d{1,2}))?(?:-([a-z0-9-]+))?")

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        match = cls._PATTERN.fullmatch(text)
        if not match or not 1 <= int(match[2]) <= 12:
            return None
        return int(match[1]), int(match[2]), int(match[3] or 0), match[4] or ""

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind."""
        return "25.08-py3"

    @property
    def month(self) -> str:
        """The month part, ``25.08``."""
        return f"{self.key[0]:02}.{self.key[1]:02}"

    @property
    def variant(self) -> str:
        """What follows the month, ``trtllm-python-py3``; empty when nothing does."""
        return str(self.key[3])


class Capability(Version):
    """A compute capability, from ``9.0``, ``sm_90``, ``sm_90a`` or ``90``. The suffix is no newer version."""

    kind = "compute capability"
    _PATTERN: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:(?:sm|compute)_?)?(?:(\d{1,2})\.(\d)|(\d{1,2})(\d))([af]?)", re.IGNORECASE
    )

    @classmethod
    def _key(cls, text: str) -> tuple[Any, ...] | None:
        match = cls._PATTERN.fullmatch(text)
        if not match:
            return None
        major, minor = (match[1], match[2]) if match[1] is not None else (match[3], match[4])
        return int(major), int(minor)

    @classmethod
    def example(cls) -> str:
        """Return a text of this kind."""
        return "9.0"

    @property
    def dotted(self) -> str:
        """The capability as ``9.0``."""
        return f"{self.key[0]}.{self.key[1]}"

    @property
    def sm(self) -> str:
        """The compile target as ``sm_90``."""
        return f"sm_{self.key[0]}{self.key[1]}"


_CLAUSE = re.compile(r"(>=|<=|==|!=|>|<)\s*([0-9][0-9.]*?)(\.\*)?")


@dataclass(frozen=True)
class VersionRange:
    """A range over dotted versions, such as ``>=12.9,<13.1`` or ``==9.*``."""

    text: str
    clauses: tuple[tuple[str, DottedVersion, bool], ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> VersionRange:
        """Return the range; raise VersionError naming the clause that cannot be read."""
        clauses = []
        for part in text.split(","):
            match = _CLAUSE.fullmatch(part.strip())
            if not match or (match[3] and match[1] not in {"==", "!="}):
                raise VersionError(f"range: expected clauses like >=12.9,<13.1 or ==9.*, found {part.strip()!r}")
            clauses.append((match[1], DottedVersion.parse(match[2]), bool(match[3])))
        return cls(text, tuple(clauses))

    def __str__(self) -> str:
        return self.text

    def admits(self, version: DottedVersion) -> bool | None:
        """Say whether the range holds ``version``; None when it is too short to tell.

        ``550`` against ``>=550.54.14`` cannot be decided: 550 names a whole branch.
        """
        answers = [_clause_admits(operator, bound, prefix, version) for operator, bound, prefix in self.clauses]
        if False in answers:
            return False
        return None if None in answers else True


def _clause_admits(operator: str, bound: DottedVersion, prefix: bool, version: DottedVersion) -> bool | None:
    have, want = version.parts, bound.parts
    short = len(have) < len(want) and want[: len(have)] == have
    if prefix:
        if short:
            return None
        same = have[: len(want)] == want
        return same if operator == "==" else not same
    if short and any(want[len(have) :]):
        # All further digits are open: the version may lie on either side of the bound.
        return None
    answers = {
        ">=": version >= bound,
        ">": version > bound,
        "<=": version <= bound,
        "<": version < bound,
        "==": version == bound,
        "!=": version != bound,
    }
    return answers[operator]
