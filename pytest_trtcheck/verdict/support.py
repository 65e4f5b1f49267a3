"""From results to the table of providers by feature."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pytest_trtcheck.model.report import Outcome, Reason, SupportCell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_trtcheck.model.report import Result, Unsupported

_BAD = (Outcome.FAILED, Outcome.ERROR)


def support_table(results: Iterable[Result], unsupported: Iterable[Unsupported]) -> tuple[SupportCell, ...]:
    """Return one cell for each provider and feature, by what became of the cases that have it."""
    by_cell: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.provider:
            for feature in result.features:
                by_cell[result.suite, result.provider, feature].append(result)
    why: dict[tuple[str, str, str], str] = {}
    for entry in unsupported:
        for feature in entry.features:
            why.setdefault((entry.suite, entry.provider, feature), entry.reason)
    return tuple(
        _cell(key, by_cell[key]) if key in by_cell else SupportCell(*key, state="not supported here", words=why[key])
        for key in sorted(by_cell.keys() | why.keys())
    )


def _cell(key: tuple[str, str, str], results: Sequence[Result]) -> SupportCell:
    passed = sum(result.outcome is Outcome.PASSED for result in results)
    failed = [result for result in results if result.outcome in _BAD]
    refused = [result for result in results if result.reason is Reason.REFUSED]
    if failed:
        state = "fails"
    elif passed:
        state = "works"
    else:
        state = "refused" if refused else "not run"
    told = next(iter((*failed, *refused)), None)
    return SupportCell(
        *key,
        state=state,
        passed=passed,
        failed=len(failed),
        refused=len(refused),
        words=f"{told.name}: {told.message}" if told else "",
    )
