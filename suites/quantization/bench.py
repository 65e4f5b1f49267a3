"""One backend, one setup: brought up once, asked everything, closed, and judged."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import torch

from pytest_trtcheck._suites.quantization import fingerprint
from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.cases import GOLDEN_LONGEST, PARTS, counts
from pytest_trtcheck._suites.quantization.judge import (
    FAILED,
    REFUSED,
    Judgement,
    culprits,
    judge_distance,
    judge_layers,
    judge_score,
)
from pytest_trtcheck._suites.quantization.layers import LayerError, layer_errors, prompt
from pytest_trtcheck._suites.quantization.measure import (
    Distance,
    UnusableAnswerError,
    distance,
    questions_of,
    score,
)
from pytest_trtcheck._suites.support.torch_state import one_thread, pinned
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import LlmBackend, LlmSession, Model, Refused, Setup, Where
from pytest_trtcheck.rules.quantization import deviations, figures

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.quantization import Figures

_MOST_WORDS = 400


@dataclass(frozen=True)
class Verdict:
    """A judgement, and the traceback where there is one."""

    judgement: Judgement
    text: str = ""


@dataclass(frozen=True)
class Task:
    """What is asked of one backend."""

    backend: LlmBackend
    setup: Setup
    parts: tuple[str, ...]
    level: Level
    seed: int
    where: Where
    model: Model
    until_failed: bool = False
    """Ask no more parts after one that failed."""


def evaluate(task: Task, matrix: Matrix) -> dict[str, Verdict]:
    """Bring the backend up, ask it all parts, and return a verdict for each that was asked."""
    recorded = figures(matrix, task.setup.quantization, task.setup.kv_dtype, task.setup.dtype)
    assert recorded is not None, task.setup
    with one_thread(), pinned():
        return _evaluated(task, recorded, matrix)


def _evaluated(task: Task, recorded: Figures, matrix: Matrix) -> dict[str, Verdict]:
    session: LlmSession | None = None
    try:
        session = task.backend.open(task.setup, task.model, task.where)
        return _parts(task, session, recorded, matrix)
    except (Refused, NotImplementedError) as refusal:
        refused = Verdict(Judgement(REFUSED, first_line(refusal, _MOST_WORDS)))
        return dict.fromkeys(task.parts, refused)
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a backend raises is its result, sys.exit too
        return dict.fromkeys(task.parts, _failure(error))
    finally:
        if session is not None:
            session.close()


def _parts(task: Task, session: LlmSession, recorded: Figures, matrix: Matrix) -> dict[str, Verdict]:
    """Ask part by part; what one of them raises is that part's failure."""
    found: list[Distance] = []
    told: list[LayerError] = []
    asked = counts(recorded, task.level)

    def answers(kind: str) -> Judgement:
        return judge_score(score(session, questions_of(kind, asked[kind], task.seed)), kind, recorded)

    def golden() -> Judgement:
        found.append(distance(session, GOLDEN_LONGEST))
        return judge_distance(found[0], recorded, deviations(matrix, task.setup.quantization, task.setup.kv_dtype))

    questions: dict[str, Callable[[], Judgement]] = {
        "easy": partial(answers, "easy"),
        "hard": partial(answers, "hard"),
        "golden": golden,
        "layers": lambda: _layers(task, session, found, told),
    }
    verdicts: dict[str, Verdict] = {}
    for part in PARTS:
        if part in task.parts:
            verdicts[part] = _tried(questions[part])
            if task.until_failed and verdicts[part].judgement.state == FAILED:
                break
    return verdicts | _with_culprits(verdicts, told)


def _layers(task: Task, session: LlmSession, found: list[Distance], told: list[LayerError]) -> Judgement:
    layers = getattr(session, "layers", None)
    if layers is not None:
        with torch.inference_mode():
            told += layer_errors(layers(prompt()), task.setup, task.model)
        return judge_layers(told, None)
    quantization = task.setup.quantization
    readable = quantization and not task.setup.kv_dtype and fingerprint.can_read(algorithm_of(quantization))
    if not (readable and found and found[0].noise is not None and task.setup.dtype == "fp32"):
        return judge_layers(None, None)
    return judge_layers(None, fingerprint.read(found[0].rows, quantization, task.model))


def _with_culprits(verdicts: Mapping[str, Verdict], told: list[LayerError]) -> dict[str, Verdict]:
    """Return the failures of other parts with the layers to look at first."""
    words = culprits(told)
    return {
        part: replace(one, judgement=replace(one.judgement, message=f"{one.judgement.message}; {words}"))
        for part, one in verdicts.items()
        if words and part != "layers" and one.judgement.state == FAILED
    }


def _tried(question: Callable[[], Judgement]) -> Verdict:
    try:
        return Verdict(question())
    except UnusableAnswerError as error:
        return Verdict(Judgement(FAILED, first_line(error, _MOST_WORDS)))
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as error:  # noqa: BLE001 - as above
        return _failure(error)


def _failure(error: BaseException) -> Verdict:
    message = f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}"
    return Verdict(Judgement(FAILED, message), traceback.format_exc())
