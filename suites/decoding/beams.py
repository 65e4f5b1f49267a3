"""Beams held against the reference: what each is worth, their order, and whether a plain search finds better ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.beams import Beam, beam_search
from pytest_trtcheck._suites.probe_llm.judge import spelled
from pytest_trtcheck._suites.probe_llm.tasks import EOS

if TYPE_CHECKING:
    from torch import Tensor

    from pytest_trtcheck._suites.probe_llm.truth import Oracle
    from pytest_trtcheck.providers import Completion, Request


def judge_beams(request: Request, completion: Completion, oracle: Oracle) -> str:
    """Return the first thing that is wrong with the beams of an answer, in words; empty when all is right."""
    return (
        _wrong_form(request, completion, oracle.vocabulary)
        or _wrong_sums(request, completion.beams, oracle)
        or _wrong_order(request, completion.beams, oracle)
        or _worse_than_a_plain_search(request, completion.beams, oracle)
    )


def _wrong_form(request: Request, completion: Completion, vocabulary: int) -> str:
    beams = completion.beams
    if len(beams) != request.beams:
        return f"expected {request.beams} beams, found {len(beams)}"
    if len({tokens for tokens, _ in beams}) < len(beams):
        return f"expected beams that differ, found {', '.join(spelled(tokens) for tokens, _ in beams)}"
    if beams[0][0] != completion.tokens:
        return f"expected the best beam as the answer, found {spelled(completion.tokens)}, not {spelled(beams[0][0])}"
    for tokens, _ in beams:
        if not tokens or len(tokens) > request.max_tokens or not all(0 <= token < vocabulary for token in tokens):
            return f"expected beams of 1 to {request.max_tokens} tokens, found {tokens!r:.100}"
        if EOS in tokens[:-1] or (tokens[-1] != EOS and len(tokens) < request.max_tokens):
            return f"expected {request.max_tokens} tokens or an end mark at the end, found beam {spelled(tokens)}"
    return ""


def _wrong_sums(request: Request, beams: Sequence[Beam], oracle: Oracle) -> str:
    for tokens, told in beams:
        expected, allowed = _worth(request, tokens, oracle)
        if not abs(told - expected) <= allowed:
            return (
                f"beam {spelled(tokens)}: expected its log-probability as {expected:.5g} to within {allowed:.2g}, "
                f"found {told:.5g}"
            )
    return ""


def _worth(request: Request, tokens: Sequence[int], oracle: Oracle) -> tuple[float, float]:
    """Return the sum of a beam's log-probabilities, and by how much the dtype lets it be off."""
    truth = oracle.truth(request.prompt, tokens, adapter=request.adapter)
    places = list(enumerate(tokens))
    total = sum(float(truth.log_probs[place, token]) for place, token in places)
    return total, sum(truth.allowed_error(place, token) for place, token in places)


def _wrong_order(request: Request, beams: Sequence[Beam], oracle: Oracle) -> str:
    """Beams are ordered by their sum over length to the penalty; libraries count the end mark, or not."""
    slack = max(_worth(request, tokens, oracle)[1] for tokens, _ in beams)
    found = []
    for uncounted in (0, 1):
        lengths = [max(len(tokens) - uncounted * (tokens[-1] == EOS), 1) for tokens, _ in beams]
        scores = [
            total / float(length**request.length_penalty) for (_, total), length in zip(beams, lengths, strict=True)
        ]
        if all(first >= second - 2 * slack for first, second in pairwise(scores)):
            return ""
        found.append(", ".join(f"{score:.4g}" for score in scores))
    return (
        f"expected the best beam first by length penalty {request.length_penalty:g}, found scores {' or '.join(found)}"
    )


def _worse_than_a_plain_search(request: Request, beams: Sequence[Beam], oracle: Oracle) -> str:
    """Hold beams, rank by rank, against a plain search; only where all are of one length: rules of length differ."""
    if any(len(tokens) < request.max_tokens for tokens, _ in beams):
        return ""

    def next_log_probs(answers: Sequence[tuple[int, ...]]) -> list[Tensor]:
        # The last token of what is asked about has no say in what stands in its place.
        return [oracle.truth(request.prompt, (*known, EOS), adapter=request.adapter).log_probs[-1] for known in answers]

    plain = beam_search(next_log_probs, request.beams, request.max_tokens)
    if any(len(tokens) < request.max_tokens for tokens, _ in plain):
        return ""
    for rank, ((tokens, _), (better, best)) in enumerate(zip(beams, plain, strict=True)):
        worth, slack = _worth(request, tokens, oracle)
        # Each step may drop a beam that ties with the one it keeps.
        if worth < best - 2 * slack * request.max_tokens:
            return (
                f"beam {rank}: expected one as likely as {spelled(better)} ({best:.5g}), which a plain search finds, "
                f"found {spelled(tokens)} ({worth:.5g})"
            )
    return ""
