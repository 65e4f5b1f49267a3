"""Which algorithms are asked of which backends here, and what that leaves out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck._suites.probe_llm.planning import backends_of, setups_in_time
from pytest_trtcheck._suites.quantization.cases import PARTS, SETUPS, candidates, case_of, setups
from pytest_trtcheck._suites.support.hooks import planned_once
from pytest_trtcheck._suites.support.registry import BrokenHook, UnusableError, ask
from pytest_trtcheck.model.report import Unsupported
from pytest_trtcheck.providers import component_of
from pytest_trtcheck.rules.quantization import figures

if TYPE_CHECKING:
    from pytest_trtcheck.providers import LlmBackend, Setup, Where
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.session.run import Run

SUITE = "quantization"


@dataclass(frozen=True)
class Pair:
    """A backend with the setup it is asked for, and the parts that it can be asked."""

    backend: LlmBackend
    setup: Setup
    parts: tuple[str, ...]
    too_slow: str = ""
    """Why there is no time to bring it up at this level, in words; empty when there is."""

    @property
    def name(self) -> str:
        """Stable name in reports."""
        return f"{self.backend.name}-{self.setup.name}"


@dataclass(frozen=True)
class Plan:
    """What to run."""

    pairs: tuple[Pair, ...]
    broken: tuple[BrokenHook, ...]
    unsupported: tuple[Unsupported, ...]
    left_out: tuple[str, ...]


PLAN: pytest.StashKey[Plan] = pytest.StashKey()


def plan_of(config: pytest.Config, run: Run) -> Plan:
    """Return the plan of this process."""
    return planned_once(config, run, PLAN, _make_plan)


def _make_plan(config: pytest.Config, run: Run) -> Plan:
    found = backends_of(config)
    broken = list(found.broken)
    pairs: list[Pair] = []
    unsupported: list[Unsupported] = []
    for backend in found.usable:
        try:
            component = ask(partial(component_of, backend))
            if component and component not in run.where.versions:
                continue
            able, refusals = ask(partial(asked, backend, run))
        except UnusableError as error:
            broken.append(BrokenHook(backend.name, f"asked what it can do: {error}"))
            continue
        pairs += able
        unsupported += [Unsupported(SUITE, backend.name, words, (name,), 1) for name, words in refusals.items()]
    chosen = setups(run.settings.level)
    left = [_word(*one) for one in SETUPS if one not in chosen]
    left_out = (f"quantization: level {run.settings.level.value} leaves out {', '.join(left)}",) if left else ()
    return Plan(tuple(pairs), tuple(broken), tuple(unsupported), left_out)


def asked(backend: LlmBackend, run: Run) -> tuple[list[Pair], dict[str, str]]:
    """Return the backend's pairs, and its words on each algorithm that it cannot be asked for."""
    pairs, refusals = [], {}
    for quantization, kv_dtype in setups(run.settings.level):
        pair, words = _first(backend, quantization, kv_dtype, run.matrix, run.where)
        if pair is None:
            refusals[_word(quantization, kv_dtype)] = words
        else:
            pairs.append(pair)
    most, words = setups_in_time(backend, run.settings.level)
    return [*pairs[:most], *(replace(pair, too_slow=words) for pair in pairs[most:])], refusals


def _first(
    backend: LlmBackend, quantization: str, kv_dtype: str, matrix: Matrix, where: Where
) -> tuple[Pair | None, str]:
    """Return the first setup that the backend takes and something is recorded of, else what it says most often."""
    said: Counter[str] = Counter()
    for setup in candidates(quantization, kv_dtype):
        if figures(matrix, quantization, kv_dtype, setup.dtype) is None:
            said[f"nothing is recorded of it in {setup.dtype}"] += 1
            continue
        answers = {part: _answer(backend, part, setup, where) for part in PARTS}
        able = tuple(part for part, words in answers.items() if not words)
        if able:
            return Pair(backend, setup, able), ""
        said.update(answers.values())
    return None, said.most_common(1)[0][0]


def _answer(backend: LlmBackend, part: str, setup: Setup, where: Where) -> str:
    words: object = backend.why_not(case_of(part, setup), where)
    if not isinstance(words, str):
        raise TypeError(f"expected a text from why_not, found {type(words).__name__}")
    return words


def _word(quantization: str, kv_dtype: str) -> str:
    return "+".join(filter(None, (quantization, f"{kv_dtype}_kv" if kv_dtype else "")))
