"""Versions as people give them, held against what a row wants: yes, no, or it cannot be told.

A value may be exact (``12.4.131``), short (``550`` names a branch) or a bound (``<526``). Everything here is cached by
its text: the same few versions come again in thousands of stacks.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import VersionError
from pytest_trtcheck.model.versions import Capability, DottedVersion, PackageVersion, VersionRange
from pytest_trtcheck.rules.kinds import is_empty

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from pytest_trtcheck.rules.load import Matrix

_BOUND = re.compile(r"\s*(?:[<>]=?|[=!~]=)\s*\d")
_NOT = {">=": "<", ">": "<=", "<=": ">", "<": ">="}
_CLAUSE = re.compile(r"(>=|<=|==|!=|~=|>|<)\s*v?(\d+(?:\.\d+)*)([^,]*)")
_CACHE = 20_000


@lru_cache(maxsize=_CACHE)
def dotted(text: str | None) -> DottedVersion | None:
    """Return the dotted numbers that a text starts with; None for a bound and for no text."""
    return DottedVersion.leading(text)


@lru_cache(maxsize=_CACHE)
def package(text: str | None) -> PackageVersion | None:
    """Return a Python package version; None for a bound and for no text."""
    return PackageVersion.try_parse(text)


@lru_cache(maxsize=_CACHE)
def capability(text: str | None) -> Capability | None:
    """Return a compute capability."""
    return Capability.try_parse(text)


@lru_cache(maxsize=_CACHE)
def parsed(text: str) -> Capability:
    """Return a compute capability that is known to be one, as those of rows are."""
    return Capability.parse(text)


@lru_cache(maxsize=_CACHE)
def is_bound(text: str) -> bool:
    """Say whether a text is a bound such as ``>=12.1`` and no version."""
    return bool(_BOUND.match(text))


@lru_cache(maxsize=_CACHE)
def ranged(text: str) -> VersionRange | None:
    """Return a range; a specifier's ``~=10.9.0`` becomes its two clauses, its pre-release suffixes are dropped."""
    clauses = []
    for part in text.split(","):
        match = _CLAUSE.fullmatch(part.strip())
        if match is None:
            return None
        operator, version, rest = match.groups()
        if operator == "~=":
            clauses += [f">={version}", f"=={version.rpartition('.')[0]}.*"]
        else:
            clauses.append(f"{operator}{version}{'.*' if rest.strip() == '.*' else ''}")
    try:
        return VersionRange.parse(",".join(clauses))
    except VersionError:
        return None


@lru_cache(maxsize=_CACHE)
def within(value: str | None, wanted: str) -> bool | None:
    """Say whether a value, exact, short or a bound, lies in a range; None when it cannot be told."""
    span = ranged(wanted)
    if value is None or span is None:
        return None
    if is_bound(value):
        return _bound_within(value, span)
    have = dotted(value)
    return span.admits(have) if have else None


def _bound_within(value: str, span: VersionRange) -> bool | None:
    bound = ranged(value)
    if bound is None:
        return None
    if is_empty(VersionRange(f"{bound},{span}", (*bound.clauses, *span.clauses))):
        return False
    # It lies inside for certain when no version of the bound breaks any clause.
    for operator, version, prefix in span.clauses:
        if prefix or operator not in _NOT:
            return None
        outside = (_NOT[operator], version, False)
        if not is_empty(VersionRange("", (*bound.clauses, outside))):
            return None
    return True


@lru_cache(maxsize=_CACHE)
def meets(value: str | None, pin: str) -> bool | None:
    """Say whether a package version meets a PEP 440 specifier; release candidates count."""
    if value is None:
        return None
    version = package(value)
    if version is None or (len(version.pep440.release) < 3 and version.text == version.pep440.public):
        return within(value, pin)
    specifiers = _specifiers(pin)
    return specifiers.contains(version.pep440, prereleases=True) if specifiers is not None else None


@lru_cache(maxsize=_CACHE)
def _specifiers(pin: str) -> SpecifierSet | None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(pin)
    except InvalidSpecifier:
        return None


@lru_cache(maxsize=_CACHE)
def same_numbers(one: str, other: str, enough: int) -> bool | None:
    """Say whether two texts begin with the same dotted numbers, as far as the shorter goes.

    None when the shorter has fewer than ``enough`` numbers and they agree that far.
    """
    a, b = dotted(one), dotted(other)
    if a is None or b is None:
        return None
    length = min(len(a.parts), len(b.parts))
    if a.parts[:length] != b.parts[:length]:
        return False
    return True if length >= enough else None


@lru_cache(maxsize=_CACHE)
def same_minor(one: str | None, other: str | None) -> bool | None:
    """Say whether two versions are of one release, major and minor; None when that cannot be told."""
    a, b = dotted(one), dotted(other)
    if a is None or b is None:
        return None
    if a.major != b.major:
        return False
    if len(a.parts) < 2 or len(b.parts) < 2:
        return None
    return a.minor == b.minor


def major_of(text: str | None) -> str:
    """Return the first number of a version; empty when there is none to read."""
    version = dotted(text)
    return str(version.major) if version else ""


def is_ngc_torch(text: str | None) -> bool:
    """Say whether a torch version is the pre-release build of an NGC image: ``2.10.0a0+b4e4ee81d3.nv25.12``."""
    return bool(text) and bool(_NGC.fullmatch(text or ""))


_NGC = re.compile(r"\d+\.\d+\.\d+a0\+[0-9a-z]{6,}(?:\.nv[\d.]+)?")


@lru_cache(maxsize=50)
def newest_package(matrix: Matrix, product: str) -> PackageVersion | None:
    """Return the newest version among the rows of a product of Python packages."""
    return max(filter(None, (package(row.version) for row in matrix.rows(product))), default=None)


@lru_cache(maxsize=50)
def newest_dotted(matrix: Matrix, product: str) -> DottedVersion | None:
    """Return the newest version among the rows of a product of dotted versions."""
    return max(filter(None, (dotted(row.version) for row in matrix.rows(product))), default=None)
