"""What providers say to cases while a run is planned, and the report's table of what they cannot do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_trtcheck.model.report import Unsupported

if TYPE_CHECKING:
    from pytest_trtcheck.providers import Where

CaseT = TypeVar("CaseT", bound=Hashable)


def refusals_of(provider: Any, cases: Iterable[CaseT], where: Where) -> dict[CaseT, str]:
    """Return what a provider says to each case, empty for one it takes; TypeError for an answer that is no text."""
    refusals: dict[CaseT, str] = {}
    for case in cases:
        words: object = provider.why_not(case, where)
        if not isinstance(words, str):
            raise TypeError(f"expected a text from why_not, found {type(words).__name__}")
        refusals[case] = words
    return refusals


def unsupported_of(
    suite: str, provider: str, refusals: Mapping[CaseT, str], features_of: Callable[[CaseT], Iterable[str]]
) -> list[Unsupported]:
    """Return an entry for each reason, with the features that no case within reach has."""
    within = {feature for case, words in refusals.items() if not words for feature in features_of(case)}
    features: dict[str, Counter[str]] = defaultdict(Counter)
    cases_of: Counter[str] = Counter()
    for case, words in refusals.items():
        if words:
            cases_of[words] += 1
            features[words].update(set(features_of(case)) - within)
    # A feature goes with the reason that is given for it most often.
    best = {
        feature: max(features, key=lambda words: features[words][feature])
        for feature in {feature for counter in features.values() for feature in counter}
    }
    return [
        Unsupported(
            suite, provider, words, tuple(sorted(name for name, reason in best.items() if reason == words)), count
        )
        for words, count in cases_of.items()
    ]
