"""Completions held against the reference: every token, every log-probability, how they end, what form they have.

Each token must be the likeliest one after what stands before it, or a tie with it in the backend's dtype (see
``truth``). The reference is given the tokens that were returned, so one wrong token does not make the next ones wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.demands import demanded, follows, may_be_drawn
from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode
from pytest_trtcheck._suites.probe_llm.truth import Oracle, Truth
from pytest_trtcheck.providers import Completion, Request

MOST_WORDS = 300

SHARED_TOKENS = 3
"""So many tokens in a row, as another request has them at that place, are no coincidence."""


@dataclass(frozen=True)
class Judged:
    """What became of one request."""

    words: str = ""
    """The first thing that is wrong, on one line; empty when all is right."""
    wrong_tokens: int = 0
    """Tokens that are not what they should be, beyond what the dtype can resolve."""
    near_ties: int = 0
    """Tokens that are not the likeliest, but tie with it in the dtype."""
    tokens: int = 0
    """Tokens that were held against the reference."""
    largest: float = 0.0
    """Largest error of a log-probability, or lead of the likeliest token over the one found, over what is allowed."""


_SPECIAL = {0: "pad", 1: "begin", EOS: "end", 3: "unknown"}


def token_words(token: int) -> str:
    """Return a token as its character and id."""
    return f"{decode([token])!r} ({token})" if decode([token]) else f"{_SPECIAL.get(token, 'special')} ({token})"


def spelled(tokens: Sequence[int]) -> str:
    """Return an answer as its text, with the names of its special tokens, quoted."""
    return repr("".join(decode([token]) or f"<{_SPECIAL.get(token, token)}>" for token in tokens))


def wrong_form(given: Any, requests: Sequence[Request], vocabulary: int) -> str:
    """Return why what a backend returned are no answers to these requests, in words; empty when they are."""
    if not isinstance(given, Sequence) or isinstance(given, str):
        return f"the backend returned no answers: expected a list of Completion, found {type(given).__name__}"
    if len(given) != len(requests):
        return f"the backend lost count: expected {len(requests)} answers, found {len(given)}"
    for number, (completion, request) in enumerate(zip(given, requests, strict=True)):
        problem = _wrong_completion(completion, request, vocabulary)
        if problem:
            return f"request {number}: {problem}"[:MOST_WORDS]
    return ""


def _wrong_completion(completion: Any, request: Request, vocabulary: int) -> str:
    """Return what is wrong with the form of one answer."""
    if not isinstance(completion, Completion):
        return f"expected a Completion, found {type(completion).__name__}"
    tokens: Any = completion.tokens
    pieces: Any = completion.pieces
    told: Any = completion.log_probs
    for what, found in (("tokens", tokens), ("pieces", pieces), ("log_probs", told)):
        if not isinstance(found, tuple):
            return f"{what}: expected a tuple, found {type(found).__name__}"
    for token in tokens:
        if type(token) is not int or not 0 <= token < vocabulary:
            return f"tokens: expected whole numbers from 0 to {vocabulary - 1}, found {token!r}"
    if completion.finish == "refused":
        return ""
    if request.streaming and (any(type(piece) is not int or piece < 1 for piece in pieces)):
        return f"pieces: expected numbers of tokens from 1, found {pieces!r}"
    if request.streaming and sum(pieces) != len(tokens):
        return f"pieces: expected {len(tokens)} tokens in all, as in the answer, found {sum(pieces)}"
    return _wrong_log_probs(told, tokens) if request.log_probs else ""


def _wrong_log_probs(told: tuple[Any, ...], tokens: tuple[int, ...]) -> str:
    """Return what is wrong with the form of log-probabilities."""
    if len(told) != len(tokens):
        return f"log_probs: expected one entry for each of {len(tokens)} tokens, found {len(told)}"
    for place, (entry, token) in enumerate(zip(told, tokens, strict=True)):
        if not isinstance(entry, Mapping) or token not in entry:
            return f"log_probs at place {place}: expected that of token {token} among them, found {entry!r}"
        for value in entry.values():
            if not isinstance(value, float) or math.isnan(value):
                return f"log_probs at place {place}: expected numbers, found {value!r}"
    return ""


def judge_refusal(completion: Completion) -> Judged:
    """Judge the answer to a request that must be declined in words."""
    if completion.finish != "refused":
        found = f"{len(completion.tokens)} tokens, finish {completion.finish!r}"
        return Judged(f"expected finish 'refused' with words, found {found}")
    if not isinstance(completion.words, str) or not completion.words.strip():
        return Judged("refused without words: expected to be told why")
    return Judged()


def judge(
    oracle: Oracle,
    number: int,
    requests: Sequence[Request],
    completions: Sequence[Completion],
    length_limit: int = 0,
) -> Judged:
    """Judge one answer of those that came together; of one that was drawn, whether each token may come.

    ``length_limit``: most tokens of prompt and answer together; 0 for the model's context.
    """
    request, completion = requests[number], completions[number]
    if completion.finish == "refused":
        return Judged(f"refused, and should be answered: {' '.join(str(completion.words).split())}"[:MOST_WORDS])
    most = min(request.max_tokens, (length_limit or oracle.context) - len(request.prompt))
    if not completion.tokens:
        return Judged(_wrong_end(oracle, request, completion, most))
    truth = oracle.truth(request.prompt, completion.tokens, adapter=request.adapter)
    wanted = demanded(truth, request, completion.tokens)
    judged = _judge_tokens(truth, wanted, request, completion)
    if judged.wrong_tokens:
        tokens = completion.tokens
        place = next(place for place in range(len(truth)) if _is_wrong(wanted, request, place, tokens[place]))
        words = f"{_token_words(wanted, request, place, tokens)}{_whose(oracle, number, place, requests, completions)}"
    else:
        words = _wrong_end(oracle, request, completion, most) or _wrong_logs(truth, request, completion)
    return Judged(words, judged.wrong_tokens, judged.near_ties, len(truth), judged.largest)


def _is_wrong(wanted: Truth, request: Request, place: int, token: int) -> bool:
    if request.temperature > 0:
        return not may_be_drawn(wanted, request, place, token)
    return wanted.behind(place, token) > wanted.ties[place]


def _judge_tokens(truth: Truth, wanted: Truth, request: Request, completion: Completion) -> Judged:
    """Count wrong tokens and near ties."""
    wrong = ties = 0
    largest = 0.0
    for place, token in enumerate(completion.tokens):
        is_wrong = _is_wrong(wanted, request, place, token)
        wrong += is_wrong
        if request.temperature == 0:
            behind = wanted.behind(place, token)
            largest = max(largest, behind / wanted.ties[place])
            ties += behind > 0 and not is_wrong
        for told, value in (completion.log_probs[place] if completion.log_probs else {}).items():
            allowed = truth.allowed_error(place, told)
            largest = max(largest, abs(value - truth.rows[place][told]) / allowed)
    return Judged(wrong_tokens=wrong, near_ties=ties, largest=largest)


def _token_words(truth: Truth, request: Request, place: int, tokens: Sequence[int]) -> str:
    """Return what is wrong at a place, on one line."""
    margin, resolution = truth.behind(place, tokens[place]), truth.ties[place]
    if margin == math.inf or request.temperature > 0:
        return (
            f"place {place} of {len(tokens)}: found {token_words(tokens[place])}, which must not come here by what "
            f"the request asks for; {token_words(truth.best(place))} would be the likeliest that may"
        )
    return (
        f"place {place} of {len(tokens)}: expected {token_words(truth.best(place))}, which leads by {margin:.3g} nats "
        f"({resolution:.2g} is a tie), found {token_words(tokens[place])}"
    )


def _whose(
    oracle: Oracle, number: int, place: int, requests: Sequence[Request], completions: Sequence[Completion]
) -> str:
    """Say whose answer the found tokens are, from a place on, where they are another request's."""
    found = completions[number].tokens[place : place + SHARED_TOKENS]
    if len(found) < SHARED_TOKENS:
        return ""
    for other, request in enumerate(requests):
        if other == number or completions[other].finish == "refused" or request.prompt == requests[number].prompt:
            continue
        if len(request.prompt) + request.max_tokens > oracle.context:
            continue
        answer = oracle.answer(request.prompt, request.max_tokens, adapter=request.adapter)
        if answer[place : place + SHARED_TOKENS] == found:
            return f", as request {other} has it there"
    return ""


def _went_on(request: Request, tokens: Sequence[int]) -> str:
    """Return that an answer holds a stop word."""
    chooser = Chooser(request)
    words = ((place, chooser.stop_word(tokens[:place])) for place in range(1, len(tokens) + 1))
    place, word = next((found for found in words if found[1]), (0, ""))
    return f"expected to stop before {word!r} at place {place - len(word)}, found {len(tokens)} tokens" if word else ""


def _wrong_end(oracle: Oracle, request: Request, completion: Completion, most: int) -> str:
    """Return what is wrong with how an answer ends; its tokens are right."""
    tokens, finish = completion.tokens, completion.finish
    went_on = _went_on(request, tokens)
    if went_on:
        return went_on
    if finish == "stop" and request.stop and EOS not in tokens and len(tokens) < most:
        ends = follows(oracle, request, tokens)
        return "" if ends else f"finish: found 'stop' after {len(tokens)} tokens, where no stop word follows"
    if not tokens:
        return f"expected tokens, found none, finish {finish!r}"
    if len(tokens) > most:
        return f"expected {most} tokens at most, found {len(tokens)}"
    if EOS in tokens[:-1]:
        return f"expected to end with the end mark at place {tokens.index(EOS)}, found {len(tokens)} tokens"
    if tokens[-1] == EOS:
        allowed = {"end"} | ({"length"} if len(tokens) == most else set())
    elif request.cancel_after and request.cancel_after <= len(tokens) < most:
        allowed = {"cancelled"}
    elif len(tokens) == most > request.cancel_after > 0:
        return f"expected to be cancelled after {request.cancel_after} tokens, found all {most}, finish {finish!r}"
    elif len(tokens) == most:
        allowed = {"length"}
    else:
        return f"expected {most} tokens or the end mark, found {len(tokens)} tokens, finish {finish!r}"
    return "" if finish in allowed else f"finish: expected {' or '.join(sorted(allowed))}, found {finish!r}"


def _wrong_logs(truth: Truth, request: Request, completion: Completion) -> str:
    """Return which log-probability is beyond what the dtype explains, the first one."""
    for place, told in enumerate(completion.log_probs):
        missing = _untold(truth, request, place, told)
        if missing:
            return missing
        for token, value in told.items():
            expected, allowed = truth.rows[place][token], truth.allowed_error(place, token)
            if not abs(value - expected) <= allowed:
                return (
                    f"place {place} of {len(truth)}: log-probability of {token_words(token)}: "
                    f"expected {expected:.6g} to within {allowed:.2g}, found {value:.6g}"
                )
    return ""


def _untold(truth: Truth, request: Request, place: int, told: Mapping[int, float]) -> str:
    """Return that one of the likeliest tokens is missing among those told, where no tie explains it."""
    row = truth.log_probs[place]
    if len(told) < request.log_probs:
        return f"place {place}: expected log-probabilities of {request.log_probs} tokens, found {len(told)}"
    least = float(row.topk(request.log_probs).values[-1])
    for token in row.topk(request.log_probs).indices.tolist():
        if token not in told and float(row[token]) > least + truth.ties[place]:
            return f"place {place}: log-probability of {token_words(token)}, one of the likeliest, is missing"
    return ""
