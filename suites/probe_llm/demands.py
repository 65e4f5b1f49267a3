"""What a request's demands make of the truth: which tokens may come, and which is the likeliest of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.tasks import encode

if TYPE_CHECKING:
    from pytest_trtcheck._suites.probe_llm.truth import Oracle, Truth
    from pytest_trtcheck.providers import Request


def demanded(truth: Truth, request: Request, tokens: Sequence[int]) -> Truth:
    """Return the truth with penalty, bad words and guide applied at each place; what must not come is -inf there.

    A repetition penalty stretches errors of logits as it stretches logits.
    """
    if request.repetition_penalty == 1 and not (request.bad_words or request.regex or request.json_schema):
        return truth
    import torch

    chooser = Chooser(request)
    rows = [chooser.adjusted(row, tokens[:place]) for place, row in enumerate(truth.logits)]
    stretch = max(request.repetition_penalty, 1 / request.repetition_penalty)
    logits = torch.stack(rows)
    return replace(truth, logits=logits, log_probs=logits.log_softmax(-1), resolution=truth.resolution * stretch)


def may_be_drawn(truth: Truth, request: Request, place: int, token: int) -> bool:
    """Say whether a token may come at a place when it is drawn; at the edge of top-k and top-p, a tie may.

    ``truth`` is the demanded one.
    """
    row, resolution = truth.logits[place], float(truth.resolution[place])
    own = float(row[token])
    if own == -math.inf:
        return False
    if request.top_k and own < float(row.topk(min(request.top_k, len(row))).values[-1]) - resolution:
        return False
    if request.top_p < 1:
        shares = Chooser(replace(request, top_p=1.0)).drawn_from(row)
        slack = math.exp(resolution / request.temperature)
        before = float(shares[shares > float(shares[token]) * slack].sum())
        return before / slack < request.top_p
    return True


def follows(oracle: Oracle, request: Request, tokens: Sequence[int]) -> bool:
    """Say whether one of the stop words is what the model says next, token by token."""
    return any(_says(oracle, request, tokens, encode(word)) for word in request.stop)


def _says(oracle: Oracle, request: Request, tokens: Sequence[int], more: Sequence[int]) -> bool:
    whole = (*tokens, *more)
    truth = demanded(oracle.truth(request.prompt, whole, adapter=request.adapter), request, whole)
    places = range(len(tokens), len(whole))
    if request.temperature > 0:
        return all(may_be_drawn(truth, request, place, whole[place]) for place in places)
    return all(truth.behind(place, whole[place]) <= float(truth.resolution[place]) for place in places)
