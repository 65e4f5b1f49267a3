"""Each algorithm on each backend that has it: answers, log-probabilities and layers, against what a sound one loses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.quantization import NEEDS
from pytest_trtcheck._suites.quantization.cases import BROKEN_HOOK_CHECK, PARTS
from pytest_trtcheck._suites.quantization.plan import plan_of
from pytest_trtcheck._suites.support.hooks import plans_hooks, test_hook
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.providers import Model, component_of
from pytest_trtcheck.providers.llm import cold_seconds_of
from pytest_trtcheck.rules.quantization import expected
from pytest_trtcheck.session import fail, measured, not_run, run_of

if TYPE_CHECKING:
    from pytest_trtcheck._suites.quantization.bench import Verdict
    from pytest_trtcheck._suites.quantization.plan import Pair
    from pytest_trtcheck.session.run import Run

__all__ = ["test_hook", "test_part"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Plan the parts of every pair of backend and setup, and note what cannot run here."""
    run = run_of(metafunc.config)
    plan = plan_of(metafunc.config, run)
    if plans_hooks(metafunc, plan.broken, BROKEN_HOOK_CHECK):
        return
    run.unsupported += plan.unsupported
    run.left_out += plan.left_out
    if plan.pairs:
        run.draw_seed()
    metafunc.parametrize(
        ("pair", "part"),
        [
            pytest.param(pair, part, id=f"{pair.name}-{part}", marks=_marks(pair, part, run.settings.deadline_seconds))
            for pair in plan.pairs
            for part in pair.parts
        ],
    )


def _marks(pair: Pair, part: str, deadline_seconds: float) -> list[pytest.MarkDecorator]:
    component = component_of(pair.backend)
    # The first part that runs brings the backend up and asks all parts.
    deadline = deadline_seconds * len(pair.parts) + cold_seconds_of(pair.backend)
    return [
        pytest.mark.trtcheck_check(PARTS[part]),
        pytest.mark.trtcheck_provider(pair.backend.name, *sorted(pair.setup.features)),
        pytest.mark.trtcheck_needs(*dict.fromkeys((*NEEDS, *([component] if component else [])))),
        pytest.mark.trtcheck_group(pair.name),
        pytest.mark.trtcheck_deadline(deadline),
    ]


def test_part(pair: Pair, part: str, request: pytest.FixtureRequest) -> None:
    """Bring the backend up, once for all its parts, and judge this one."""
    if pair.too_slow:
        not_run(request, Reason.LEVEL, pair.too_slow)
    run = run_of(request.config)
    verdict = _verdicts(request, run, pair)[part]
    judgement = verdict.judgement
    measured(request, *judgement.measurements)
    if judgement.state == "refused":
        setup = pair.setup
        matrix, where = run.matrix, run.where
        verdict_of_matrix, words = "unknown", ""
        if component_of(pair.backend) == "tensorrt_llm":
            verdict_of_matrix, words = expected(
                matrix, setup.quantization, setup.kv_dtype, where.versions, where.compute_capability
            )
        if verdict_of_matrix == "works":
            message = f"refused ({judgement.message}), and should work: {words}"
            fail(request, message, message)
        not_run(request, Reason.REFUSED, judgement.message)
    if judgement.state == "undecided":
        not_run(request, Reason.UNDECIDED, judgement.message)
    if judgement.state == "failed":
        again = f"again: pytest --trtcheck --trtcheck-seed {run.draw_seed()} -k '{pair.name}'"
        fail(request, judgement.message, "\n".join(filter(None, (judgement.message, verdict.text, again))))


EVALUATED: pytest.StashKey[tuple[str, dict[str, Verdict]]] = pytest.StashKey()
"""The last pair that was evaluated, and its verdicts: the parts of a pair come one after the other."""


def _verdicts(request: pytest.FixtureRequest, run: Run, pair: Pair) -> dict[str, Verdict]:
    """Return the verdicts on all parts of a pair; the backend is brought up once for them."""
    import torch

    from pytest_trtcheck._suites.probe_llm.checkpoint import verify
    from pytest_trtcheck._suites.quantization.bench import Task, evaluate

    name, verdicts = request.config.stash.get(EVALUATED, ("", {}))
    if name == pair.name:
        return verdicts
    if run.where.device == "cuda" and not torch.cuda.is_available():
        not_run(request, Reason.NO_GPU, "torch sees no GPU, though the driver names one")
    folder = verify()
    model = Model(folder, folder / "lora", folder / "draft")
    task = Task(pair.backend, pair.setup, pair.parts, run.settings.level, run.draw_seed(), run.where, model)
    verdicts = evaluate(task, run.matrix)
    request.config.stash[EVALUATED] = (pair.name, verdicts)
    return verdicts
