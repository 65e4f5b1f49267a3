"""One check of a suite that puts requests to language models: bring the backend up, run, tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.session import fail, measured, not_run, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck._suites.probe_llm.bench import Bench, TroubleError
    from pytest_trtcheck._suites.probe_llm.planning import Planned
    from pytest_trtcheck._suites.probe_llm.truth import Oracle
    from pytest_trtcheck.model.report import Measurement


class Judgement(Protocol):
    """What a suite says of a case."""

    problems: list[str]
    """What is wrong, a line each; empty when all is right."""

    def message(self) -> str:
        """Return one line."""

    def measurements(self) -> Sequence[Measurement]:
        """Return the figures that a report shows."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Return the sessions and references of this process."""
    from pytest_trtcheck._suites.probe_llm.bench import Bench

    bench = Bench()
    yield bench
    bench.close()


def run_check(
    request: pytest.FixtureRequest, bench: Bench, planned: Planned, judge: Callable[[Oracle], Judgement]
) -> None:
    """Bring a backend up for its case, unless it is, let the suite judge what it answers, and tell."""
    from pytest_trtcheck._suites.probe_llm.bench import TroubleError

    if planned.too_slow:
        not_run(request, Reason.LEVEL, planned.too_slow)
    run = run_of(request.config)
    setup, where = planned.case.setup, run.where
    chosen = f"{planned.backend.name} and {planned.case.name}"
    again = f"again: pytest --trtcheck --trtcheck-seed {run.draw_seed()} -k '{chosen}'"
    try:
        bench.open(planned.backend, setup, where)
        judgement = judge(bench.oracle(setup.dtype, where.device))
    except TroubleError as trouble:
        _tell(trouble, request, again)
        return
    measured(request, *judgement.measurements())
    if judgement.problems:
        fail(request, judgement.message(), "\n".join((*judgement.problems, again)))


def _tell(trouble: TroubleError, request: pytest.FixtureRequest, again: str) -> None:
    """End a check whose backend declined or failed; what another check told already is not told as a failure again."""
    if trouble.refused or trouble.again:
        not_run(request, Reason.REFUSED, trouble.words)
    fail(request, trouble.words, "\n".join(filter(None, (trouble.words, trouble.text, again))))
