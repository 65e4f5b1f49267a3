"""Failures that somebody answers for: which waiver holds for which result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import VersionError
from pytest_trtcheck.model.report import Outcome
from pytest_trtcheck.model.versions import DottedVersion, VersionRange

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import Result, Waiver

BROKEN = (Outcome.FAILED, Outcome.ERROR)


def waiver_of(waivers: Sequence[Waiver], name: str, check_id: str, provider: str) -> Waiver | None:
    """Return the first of these waivers that names the check, on this provider; a check without an id has none."""
    return next((waiver for waiver in waivers if names(waiver, name, check_id, provider)), None)


def in_force(waivers: Sequence[Waiver], stack: Stack, started: str) -> tuple[Waiver, ...]:
    """Return the waivers that hold for this stack on the day of the run."""
    return tuple(waiver for waiver in waivers if not is_over(waiver, started) and not why_not_here(waiver, stack))


def waive(waivers: Sequence[Waiver], results: Sequence[Result], stack: Stack, started: str) -> tuple[Result, ...]:
    """Return the results, each failure with the waiver that holds for it; what passed or did not run stays as it is."""
    holding = in_force(waivers, stack, started)
    if not holding:
        return tuple(results)
    return tuple(
        replace(result, waiver=waiver_of(holding, result.name, result.check_id, result.provider))
        if result.outcome in BROKEN
        else result
        for result in results
    )


def names(waiver: Waiver, name: str, check_id: str, provider: str) -> bool:
    """Tell whether a waiver is for a check, as far as name and provider say."""
    if not check_id or not (fnmatchcase(name, waiver.check) or fnmatchcase(check_id, waiver.check)):
        return False
    return not waiver.provider or fnmatchcase(provider, waiver.provider)


def is_over(waiver: Waiver, started: str) -> bool:
    """Tell whether a waiver had expired on the day of a run."""
    return date.fromisoformat(started[:10]) > date.fromisoformat(waiver.expires)


def why_not_here(waiver: Waiver, stack: Stack) -> str:
    """Say what keeps a waiver from holding for this stack: the wrong GPU or version, or one that nobody knows."""
    if waiver.gpu:
        names = [gpu.name for gpu in stack.gpus] or [stack.value("gpu") or "none"]
        if not all(fnmatchcase(name, waiver.gpu) for name in names):
            return f"GPU {', '.join(dict.fromkeys(names))}; the waiver is for {waiver.gpu}"
    for key, wanted in waiver.versions.items():
        version = DottedVersion.leading(stack.value(key))
        if version is None or VersionRange.parse(wanted).admits(version) is not True:
            return f"{key} {stack.value(key) or 'of no known version'}; the waiver is for {wanted}"
    return ""


def check_waiver(waiver: Waiver) -> str:
    """Return what is wrong with a waiver as it was written, in words; empty when nothing is."""
    try:
        date.fromisoformat(waiver.expires)
    except ValueError:
        return f"expires: expected a day such as 2026-12-31, found {waiver.expires!r}"
    if set(waiver.check[:4]) & set("*?["):
        return f"check: expected at least the beginning of a check's id, such as TRC-ATT-*, found {waiver.check!r}"
    return next(filter(None, (_fault_of_range(key, wanted) for key, wanted in waiver.versions.items())), "")


def _fault_of_range(key: str, wanted: str) -> str:
    try:
        VersionRange.parse(wanted)
    except VersionError as error:
        return f"versions.{key}: {error}"
    return ""
