"""One provider, one case: run it as a site would, and say what became of the answer."""

from __future__ import annotations

import copy
import traceback
from dataclasses import replace
from typing import Any

import pytest
import torch

from pytest_trtcheck._suites.attention.inputs import AttentionInputs
from pytest_trtcheck._suites.attention.reference import Reference
from pytest_trtcheck._suites.support.judgement import FAILED, PASSED, REFUSED, Judgement
from pytest_trtcheck._suites.support.words import first_line
from pytest_trtcheck.providers import AttentionCase, AttentionProvider, Refused

_MOST_WORDS = 400


def judge(case: AttentionCase, provider: AttentionProvider, inputs: AttentionInputs, reference: Reference) -> Judgement:
    """Run a provider once and hold its answer against the reference.

    The reference must have been made before: a provider may change the inputs, which is a failure of its own.
    """
    inputs.remember()
    inputs.poison()
    # Tensors are shared, attributes are not; the values in fp64 are not a provider's business.
    handed = copy.copy(inputs)
    handed.sequences = ()
    handed._before = {}  # noqa: SLF001 - what changes are held against is not his business either
    try:
        with torch.no_grad():
            answer: Any = provider.run(case, handed)
            _synchronize(inputs.q.device)
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except (Refused, NotImplementedError) as refusal:
        return _with_inputs(inputs, Judgement(REFUSED, first_line(refusal, _MOST_WORDS)))
    except BaseException as error:  # noqa: BLE001 - whatever a kernel raises is its result, sys.exit too
        message = f"{type(error).__name__}: {first_line(error, _MOST_WORDS)}"
        return _with_inputs(inputs, Judgement(FAILED, message, text=traceback.format_exc()))
    wrong = _wrong_form(answer, inputs.q)
    if wrong:
        return _with_inputs(inputs, Judgement(FAILED, wrong))
    comparison = reference.judge(case, answer.detach())
    state = PASSED if comparison.is_within else FAILED
    return _with_inputs(inputs, Judgement(state, comparison.describe(), comparison=comparison))


def _synchronize(device: torch.device) -> None:
    """Wait for kernels, so that what they do wrong is seen here and not in the next case."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _wrong_form(answer: Any, q: torch.Tensor) -> str:
    """Return what makes an answer unfit for comparison, in words; empty for none."""
    if not isinstance(answer, torch.Tensor):
        return f"the provider returned no tensor: expected torch.Tensor, found {type(answer).__name__}"
    if answer.is_nested or answer.layout != torch.strided:
        return f"the provider's answer has the wrong memory layout: expected {torch.strided}, found {answer.layout}"
    aspects = (
        ("shape", tuple(q.shape), tuple(answer.shape)),
        ("dtype", q.dtype, answer.dtype),
        ("device", q.device, answer.device),
    )
    for aspect, expected, found in aspects:
        if found != expected:
            return f"the provider's answer has the wrong {aspect}: expected {expected}, found {found}"
    return ""


def _with_inputs(inputs: AttentionInputs, judgement: Judgement) -> Judgement:
    """Return the judgement, or a failure when the provider changed its inputs."""
    try:
        changed = inputs.changed()
    except RuntimeError as error:
        # A kernel that reads where it must not leaves a device on which nothing runs any more.
        message = f"{judgement.message}; and then the inputs could not be read: {first_line(error, _MOST_WORDS)}"
        return replace(judgement, state=FAILED, message=message, spoiled=True)
    if not changed:
        return judgement
    message = f"the provider changed its inputs, which others read too: expected none, found {', '.join(changed)}"
    if judgement.state != PASSED:
        message = f"{judgement.message}; {message}"
    return replace(judgement, state=FAILED, message=message, spoiled=True)
