"""The table of providers by feature, from results."""

from __future__ import annotations

import pytest

from pytest_trtcheck.model.report import Outcome, Reason, Result, SupportCell, Unsupported
from pytest_trtcheck.verdict.support import support_table


def result(name: str, outcome: Outcome, *features: str, reason: Reason | None = None, provider: str = "p") -> Result:
    return Result(
        name, "TRC-ATT-001", "attention", name, outcome, reason, f"why {name}", provider=provider, features=features
    )


def cell(feature: str, *results: Result) -> SupportCell:
    return next(cell for cell in support_table(results, ()) if cell.feature == feature)


def test_a_feature_works_when_all_that_ran_passed() -> None:
    found = cell("bf16", result("a", Outcome.PASSED, "bf16"), result("b", Outcome.PASSED, "bf16", "gqa"))
    assert (found.state, found.passed, found.words) == ("works", 2, "")


@pytest.mark.parametrize("bad", [Outcome.FAILED, Outcome.ERROR])
def test_one_failure_or_crash_makes_it_fail_and_is_named(bad: Outcome) -> None:
    found = cell("bf16", result("a", Outcome.PASSED, "bf16"), result("b", bad, "bf16"))
    assert (found.state, found.passed, found.failed, found.words) == ("fails", 1, 1, "b: why b")


def test_refused_throughout_is_told_in_the_librarys_words() -> None:
    found = cell("bf16", result("a", Outcome.NOT_RUN, "bf16", reason=Reason.REFUSED))
    assert (found.state, found.refused, found.words) == ("refused", 1, "a: why a")


def test_what_never_got_a_turn_does_not_work() -> None:
    assert cell("bf16", result("a", Outcome.NOT_RUN, "bf16", reason=Reason.STOPPED)).state == "not run"


def test_what_was_not_planned_is_told_with_the_providers_reason() -> None:
    unsupported = [Unsupported("attention", "p", "takes no soft cap", ("soft_cap",), 3)]
    cells = support_table([result("a", Outcome.PASSED, "bf16")], unsupported)
    assert [(cell.feature, cell.state, cell.words) for cell in cells] == [
        ("bf16", "works", ""),
        ("soft_cap", "not supported here", "takes no soft cap"),
    ]


def test_checks_without_a_provider_have_no_cell() -> None:
    assert support_table([result("a", Outcome.PASSED, "bf16", provider="")], ()) == ()
