"""Does an image contain what its pins say?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES, STACK_DISTRIBUTIONS
from pytest_trtcheck.verdict.base import measured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked

_MOST_SHOWN = 8


def pinned(context: Context) -> Iterator[Finding | Unasked]:
    """Judge each group of pins: what differs rejects the image, with the difference."""
    fact = context.fact("pins")
    if not fact.is_found:
        return
    compared = fact.details.get("compared") or {}
    for group, lines in (fact.details.get("differences") or {}).items():
        expected = f"the {compared.get(group, 0)} {group} pinned in {fact.where}"
        source = measured(fact.where)
        if not lines:
            yield context.compatible(
                "TRC-IMG-001", group, facts=("pins",), expected=expected, found="the same", source=source
            )
            continue
        yield context.incompatible(
            "TRC-IMG-001", group, facts=("pins",), expected=expected, source=source, found=_shown(lines),
            components=_at_fault(lines) or ("image",),
        )  # fmt: skip


def _shown(lines: Sequence[str]) -> str:
    rest = len(lines) - _MOST_SHOWN
    more = f"; and {rest} more, see the fact pins in report.json" if rest > 0 else ""
    return "; ".join(lines[:_MOST_SHOWN]) + more


def _at_fault(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the components of the stack that differ."""
    names = [line.partition(" ")[0] for line in lines]
    keys = (name if name in BY_KEY or name in PLATFORM_TITLES else STACK_DISTRIBUTIONS.get(name, "") for name in names)
    return tuple(dict.fromkeys(key for key in keys if key))
