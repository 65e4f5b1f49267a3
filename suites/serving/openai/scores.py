"""Log-probabilities: they belong to the tokens that they stand beside, and are the probe model's."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.answers import vocabulary
from pytest_trtcheck._suites.probe_llm.tasks import BOS, EOS, decode, encode
from pytest_trtcheck._suites.serving.checking import Measured, NotRun, expect
from pytest_trtcheck._suites.serving.openai.questions import asked_questions
from pytest_trtcheck._suites.serving.openai.schema import CHAT, COMPLETIONS, Said
from pytest_trtcheck.model.report import Measurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck._suites.serving.openai.client import Client
    from pytest_trtcheck._suites.serving.openai.schema import Scored

TOP = 2
TOKENS = 8
FREE = ("Cab", "Nabcd", "Qz1")
"""Prompts that ask no question: what follows is unsure, so that each place has a log-probability of its own."""
SAME = 1e-6
"""Nats between two copies of one number."""
NO_TORCH = "log-probabilities were not held against the reference, which needs torch"


def scores(client: Client) -> Measured:
    """Log-probabilities stand beside their own tokens, the likeliest first chosen, and are the reference's."""
    question = asked_questions()[0]
    prompts = [question.prompt, *FREE]
    asked: dict[str, Any] = {"logprobs": TOP, "max_tokens": TOKENS}
    client.needs(COMPLETIONS, question.prompt, "logprobs", **asked)
    has_truth = find_spec("torch") is not None
    if not has_truth:
        client.facts.append(NO_TORCH)
    places = 0
    for prompt in prompts:
        for where, said in (
            (COMPLETIONS.path, client.say(COMPLETIONS, prompt, **asked)),
            (f"{COMPLETIONS.path}, streamed", client.stream(COMPLETIONS, prompt, **asked)[0]),
        ):
            places += _judge(where, prompt, said, has_truth=has_truth)
    places += _chat(client, prompts, has_truth=has_truth)
    yield Measurement("log_probs", places, "places")


def _chat(client: Client, prompts: Sequence[str], *, has_truth: bool) -> int:
    asked: dict[str, Any] = {"logprobs": True, "top_logprobs": TOP, "max_tokens": TOKENS}
    try:
        passes_on = client.chat_passes_on
        client.needs(CHAT, prompts[0], "logprobs of a chat", **asked)
    except NotRun as refused:
        client.facts.append(f"log-probabilities of a chat were not asked for: {refused}")
        return 0
    return sum(
        _judge(CHAT.path, prompt, client.say(CHAT, prompt, **asked), has_truth=has_truth and passes_on)
        for prompt in prompts
    )


def _judge(where: str, prompt: str, said: Said, *, has_truth: bool) -> int:
    """Return how many places were held against the truth; Wrong for the first that is off."""
    where = f"{where}, logprobs of {prompt!r:.20}"
    expect(said.scored, f"{where}: asked for log-probabilities, found none: the server ignores that it was asked")
    scored = list(said.scored or ())
    names = [entry.text for entry in scored]
    ids = [_id(name) for name in names]
    # Marks have names, and are not in an answer's text.
    spoken = "".join(name if token is None else decode([token]) for name, token in zip(names, ids, strict=True))
    expect(spoken == said.text, f"{where}: the tokens {''.join(names)!r:.60} are not the answer's, {said.text!r:.60}")
    for place, entry in enumerate(scored):
        _likeliest(f"{where}, place {place} of {len(scored)}", entry)
    if has_truth:
        _true(where, prompt, scored, [token for token in ids if token is not None])
    return len(scored)


def _likeliest(where: str, entry: Scored) -> None:
    """Hold one place against itself: greedy decoding takes the likeliest, and both lists tell the same of it."""
    if not entry.top:
        return
    best = max(entry.top.values())
    expect(
        entry.log_prob >= best - SAME,
        f"{where}: {entry.text!r} was chosen with {entry.log_prob:.5g}, though top_logprobs has one with {best:.5g}",
    )
    beside = entry.top.get(entry.text, entry.log_prob)
    expect(
        abs(beside - entry.log_prob) <= SAME,
        f"{where}: {entry.text!r} has {entry.log_prob:.5g}, and {beside:.5g} among top_logprobs",
    )


def _true(where: str, prompt: str, scored: Sequence[Scored], ids: Sequence[int]) -> None:
    """Hold each place against the reference, in the dtype in which servers load the probe model."""
    expect(len(ids) == len(scored), f"{where}: tokens that the probe model does not have")
    truth = _oracle().truth([BOS, *encode(prompt)], ids)
    for place, (entry, token) in enumerate(zip(scored, ids, strict=True)):
        expected, allowed = truth.rows[place][token], truth.allowed_error(place, token)
        expect(
            abs(entry.log_prob - expected) <= allowed,
            f"{where}, place {place} of {len(scored)}: {entry.text!r}: the reference gives {expected:.5g} to within "
            f"{allowed:.2g}, found {entry.log_prob:.5g}",
        )


def _id(name: str) -> int | None:
    return vocabulary(MODEL).get(name, EOS if name == "" else None)


@cache
def _oracle() -> Any:
    from pytest_trtcheck._suites.probe_llm.truth import Oracle
    from pytest_trtcheck.providers import Model

    return Oracle(Model(MODEL, MODEL / "lora", MODEL / "draft"), "bf16")
