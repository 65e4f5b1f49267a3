"""What must be refused in words: profiles that cannot be, damaged plans and those of others, models no parser takes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.engine.found import LEAST_WORDS, MOST_WORDS, Found, WrongError
from pytest_trtcheck._suites.engine.loading import Loaded, load_files
from pytest_trtcheck._suites.engine.onnx_model import onnx_model, unknown_operator
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.providers.engine import BuildRequest

if TYPE_CHECKING:
    from pytest_trtcheck._suites.engine.judge import Bench

SECONDS = 60.0
NODE, OPERATOR = "trtcheck_node", "TrtcheckNoSuchOperator"
UNHEARD_OPSET = 9999


def bad_input(bench: Bench) -> Found:
    """Check a reversed profile, one of size zero, a build without scratch memory, and plans that are none."""
    said = [_refused(bench, "a profile whose smallest size is above its largest", _with_dims(bench, (4, 2, 1)))]
    said.append(_refused_or_right(bench, "a profile of size zero", _with_dims(bench, (0, 0, 0))))
    said.append(_refused_or_right(bench, "a build without scratch memory", lambda: _build(bench, workspace_bytes=0)))
    said += _plans(bench)
    return "; ".join(said)[:MOST_WORDS], None


def bad_onnx(bench: Bench) -> Found:
    """Check that an unknown operator is refused by name, that noise is refused, and an opset that nobody knows."""
    operator = _refused(bench, "an unknown ONNX operator", lambda: _model(bench, unknown_operator(NODE, OPERATOR)))
    if NODE not in operator and OPERATOR not in operator and "node 0" not in operator:
        raise WrongError(f"the refusal of an ONNX model names neither node {NODE} nor operator {OPERATOR}: {operator}")
    noise = _refused(bench, "an ONNX model of noise", lambda: _model(bench, b"\x0a\xff\xff no model" * 20))
    model = onnx_model(bench.case, bench.drawn.weights, UNHEARD_OPSET)
    opset = _refused_or_right(bench, f"opset {UNHEARD_OPSET}", lambda: _model(bench, model))
    return f"{operator}; {noise}; {opset}"[:MOST_WORDS], None


def _with_dims(bench: Bench, sizes: tuple[int, int, int]) -> Callable[[], Any]:
    case = replace(bench.case, dims=dict.fromkeys(bench.case.dims, sizes))
    return lambda: bench.provider.build(case, bench.drawn.weights, BuildRequest())


def _build(bench: Bench, **settings: Any) -> Any:
    return bench.provider.build(bench.case, bench.drawn.weights, BuildRequest(**settings))


def _model(bench: Bench, model: bytes) -> Any:
    return _build(bench, options=frozenset({"onnx"}), model=model)


def _words(what: str, refusal: BaseException) -> str:
    if len(str(refusal).strip()) < LEAST_WORDS:
        raise WrongError(f"{what}: the refusal does not say why: {first_line(refusal, MOST_WORDS)}") from None
    return f"{what}: {first_line(refusal, MOST_WORDS)}"


def _refused(bench: Bench, what: str, attempt: Callable[[], Any]) -> str:  # noqa: ARG001 - one signature for both
    """Return the words of the refusal."""
    try:
        attempt()
    except Exception as refusal:  # noqa: BLE001 - any exception is a refusal, if it says why
        return _words(what, refusal)
    raise WrongError(f"{what} was taken without a word")


def _refused_or_right(bench: Bench, what: str, attempt: Callable[[], Any]) -> str:
    """Return the words of the refusal; a build that succeeds must give an engine that can be loaded."""
    try:
        built = attempt()
    except Exception as refusal:  # noqa: BLE001 - any exception is a refusal, if it says why
        return _words(what, refusal)
    with bench.session(built):
        return f"{what}: built"


def _plans(bench: Bench) -> Iterator[str]:
    """Yield what each damaged plan is refused with, in a process of its own where the provider can be made there."""
    plan = bench.built().plan
    damaged = {
        "an empty plan": b"",
        "half a plan": plan[: len(plan) // 2],
        "a foreign file": b"\x7fELF no plan of anybody's",
    }
    other: bytes = getattr(bench.provider, "of_other_release", lambda _: b"")(plan)
    if other:
        damaged["a plan of another release"] = other
    with tempfile.TemporaryDirectory(prefix="trtcheck-plans-") as name:
        paths = [Path(name, str(number)) for number in range(len(damaged))]
        for path, data in zip(paths, damaged.values(), strict=True):
            path.write_bytes(data)
        factory = getattr(bench.provider, "factory", "")
        found = load_files(factory, paths, SECONDS) if factory else [_load_here(bench, one) for one in damaged.values()]
    for what, one in zip(damaged, found, strict=True):
        if one.died:
            raise WrongError(f"{what}: {one.problem}")
        if not one.problem:
            raise WrongError(f"{what} was loaded without a word")
        if len(one.problem.partition(": ")[2]) < LEAST_WORDS or one.problem.endswith("no words"):
            raise WrongError(f"{what}: the refusal does not say why: {one.problem}")
        yield f"{what}: {one.problem}"


def _load_here(bench: Bench, plan: bytes) -> Loaded:
    try:
        bench.provider.load(plan).close()
    except Exception as error:  # noqa: BLE001 - any exception is a refusal
        return Loaded(f"{type(error).__name__}: {first_line(error, MOST_WORDS)}")
    return Loaded("")
