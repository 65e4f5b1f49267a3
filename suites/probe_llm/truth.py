"""What should follow a prompt and an answer, and how well a dtype can tell: the yardstick of every judgement here.

The reference computes prompt and answer at once in fp64. It does so a second time plainly in the dtype of the backend,
rounding after every step, with angles of the rotation in fp32 as all serving software has them; how far the two are
apart is measured, not guessed. The *resolution* is twice the largest error of a difference of two log-probabilities (in
fp16 and bf16 four times), over all places of the answer, plus three roundings of the largest logit, plus what summing
it in another order may cost (the rule of ``suites/support/tolerance.py``). An answer may come out nearly exact by
chance: none is held to more than the root mean square over prompt and answer, nor to more than that over questions of
every kind.

Two tokens nearer to one another than the resolution are a tie in this dtype, and either is right. A backend whose
differences are all within the resolution ``d`` tells the log-probability of a token with share ``p`` to within
``log(p + (1 - p) exp(d))``: by how much the shares of all others together can be off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from pytest_trtcheck._suites.probe_llm.checkpoint import verify
from pytest_trtcheck._suites.probe_llm.reference import Cache, Reference
from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions, hard_questions
from pytest_trtcheck._suites.support.tolerance import TOLERANCES
from pytest_trtcheck._suites.support.torch_state import one_thread, pinned
from pytest_trtcheck.providers import Model

TORCH_NAMES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


MOST_KEPT = 8_192
"""Tokens of prompts whose keys and values are kept: 12 KB each in fp64."""
NARROW = 2.0
"""Factor on the allowed spread in fp16 and bf16: two sound computations that read a prompt in other pieces round
otherwise at every step there, and over 50 seeds in bf16 came to 1.42 of twice the largest error of the plain one."""
SUMMED = 256
"""Terms of a logit: the model's hidden size. Sums are kept in fp32 and may be taken in any order."""


class Plain(Reference):
    """The reference as serving software computes it: angles of the rotation in fp32."""

    def _angles(self, first: int, tokens: int, pairs: int) -> torch.Tensor:
        theta = float((self.config.get("rope_parameters") or self.config)["rope_theta"])
        places = torch.arange(first, first + tokens, dtype=torch.float32, device=self.device)
        numbers = torch.arange(pairs, dtype=torch.float32, device=self.device)
        return places[:, None] * (1.0 / theta ** (numbers / pairs))


@dataclass(frozen=True)
class Truth:
    """What should stand at each place of an answer, given what stands before it."""

    logits: torch.Tensor
    """fp64 ``[places, vocabulary]``."""
    log_probs: torch.Tensor
    """fp64 ``[places, vocabulary]``, natural logarithms."""
    resolution: torch.Tensor
    """fp64 ``[places]``: the largest difference of two log-probabilities that is a tie in the dtype, in nats."""
    roundings: torch.Tensor
    """fp64 ``[places]``: what taking logarithms in fp32 may add, in nats."""

    def __len__(self) -> int:
        return len(self.log_probs)

    @cached_property
    def rows(self) -> list[list[float]]:
        """The log-probabilities as numbers: judging looks at single ones."""
        rows: list[list[float]] = self.log_probs.tolist()
        return rows

    @cached_property
    def ties(self) -> list[float]:
        """The resolution as numbers."""
        ties: list[float] = self.resolution.tolist()
        return ties

    def first(self, places: int) -> Truth:
        """Return that of the first places."""
        return Truth(self.logits[:places], self.log_probs[:places], self.resolution[:places], self.roundings[:places])

    def best(self, place: int) -> int:
        """Return the likeliest token."""
        row = self.rows[place]
        return row.index(max(row))

    def behind(self, place: int, token: int) -> float:
        """Return by how many nats a token is less likely than the likeliest."""
        row = self.rows[place]
        return max(row) - row[token]

    def allowed_error(self, place: int, token: int) -> float:
        """Return by how much a log-probability that is told may be off, in nats."""
        others = max(-math.expm1(self.rows[place][token]), 0.0)
        return math.log1p(others * math.expm1(self.ties[place])) + float(self.roundings[place])


def spread_of(exact: torch.Tensor, plain: torch.Tensor) -> torch.Tensor:
    """Return ``[tokens]``: by how much differences of two logits ``[tokens, vocabulary]`` are off at most, in fp64."""
    error = plain.double() - exact
    return error.max(dim=-1).values - error.min(dim=-1).values


def make_truth(exact: torch.Tensor, plain: torch.Tensor, places: int, dtype: str, usual: float) -> Truth:
    """Return the truth of the last places of logits ``[tokens, vocabulary]``, exact in fp64 and plain in the dtype.

    ``usual``: root mean square of the spread over other questions.
    """
    spread = spread_of(exact, plain)
    largest_spread = spread[-places:].max().maximum(spread.square().mean().sqrt()).clamp(min=usual)
    tolerance, answer = TOLERANCES[dtype], exact[-places:]
    largest, single = answer.abs().max(dim=-1).values, TOLERANCES["fp32"].unit_roundoff
    floor = largest * (tolerance.roundings * tolerance.unit_roundoff + math.sqrt(SUMMED) * single)
    resolution = tolerance.k * (1.0 if dtype == "fp32" else NARROW) * largest_spread + floor
    return Truth(answer, answer.log_softmax(-1), resolution, largest * tolerance.roundings * single)


@dataclass(frozen=True)
class Begun:
    """A prompt that a reference has read."""

    cache: Cache
    logits: torch.Tensor
    """``[tokens of the prompt, vocabulary]``."""

    @classmethod
    def of(cls, model: Reference, prompt: Sequence[int]) -> Begun:
        """Return what a reference makes of a prompt."""
        cache = Cache()
        return cls(cache, model.logits(prompt, cache))

    def go_on(self, model: Reference, tokens: Sequence[int]) -> torch.Tensor:
        """Return the logits ``[tokens in all, vocabulary]`` of the prompt and what follows it."""
        if not tokens:
            return self.logits
        # Growing replaces the pairs of a cache and leaves their tensors as they are.
        return torch.cat((self.logits, model.logits(tokens, Cache(list(self.cache.pairs)))))


class Oracle:
    """References of the probe model for one dtype; what was computed once is kept."""

    def __init__(self, model: Model, dtype: str, device: str = "cpu") -> None:
        self.folder, self.dtype, self.device = verify(model.main), dtype, device
        self._models: dict[bool, tuple[Reference, Reference]] = {}
        self._known: dict[tuple[tuple[int, ...], bool], list[tuple[tuple[int, ...], Truth]]] = {}
        self._begun: dict[tuple[tuple[int, ...], bool], tuple[Begun, Begun]] = {}
        self._answers: dict[tuple[tuple[int, ...], int, bool], tuple[int, ...]] = {}

    @cached_property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return int(self._references()[0].config["vocab_size"])

    @cached_property
    def context(self) -> int:
        """The most tokens that the model was made for, prompt and answer together."""
        return int(self._references()[0].config["max_position_embeddings"])

    @cached_property
    def end_token(self) -> int:
        """The end mark."""
        return int(self._references()[0].config["eos_token_id"])

    @cached_property
    def usual_spread(self) -> float:
        """Root mean square of the plain computation's spread over one question of every near set."""
        chosen = [easy_questions(name, 1, seed=0)[0] for name in EASY if not name.endswith("_far")]
        with one_thread(), pinned(), torch.inference_mode():
            spreads = [
                spread_of(*(model.logits([*question.prompt_ids, *question.answer_ids]) for model in self._references()))
                for question in (*chosen, *hard_questions(2, seed=0))
            ]
        return float(torch.cat(spreads).square().mean().sqrt())

    def truth(self, prompt: Sequence[int], answer: Sequence[int], *, adapter: bool = False) -> Truth:
        """Return what should stand at each place of an answer, after what the answer has before it."""
        tokens = tuple(answer)
        known = self._known.setdefault((tuple(prompt), adapter), [])
        for longer, truth in known:
            # The last token has no say in what should stand in its place.
            if longer[: max(len(tokens) - 1, 0)] == tokens[:-1] and len(longer) >= len(tokens):
                return truth.first(len(tokens))
        if not tokens:
            raise ValueError("an answer without tokens has no places")
        made = self._make(tuple(prompt), tokens, adapter=adapter)
        known.append((tokens, made))
        return made

    def answer(self, prompt: Sequence[int], limit: int, *, adapter: bool = False) -> tuple[int, ...]:
        """Return the greedy answer of the exact reference, up to ``limit`` tokens or the end mark."""
        key = (tuple(prompt), limit, adapter)
        if key not in self._answers:
            with one_thread(), pinned():
                generated = self._references(adapter=adapter)[0].generate(prompt, limit, self.end_token)
            self._answers[key] = tuple(generated.tokens)
        return self._answers[key]

    def _make(self, prompt: tuple[int, ...], answer: tuple[int, ...], *, adapter: bool) -> Truth:
        with one_thread(), pinned(), torch.inference_mode():
            begun = self._begun_with(prompt, adapter=adapter)
            models = self._references(adapter=adapter)
            exact, plain = (start.go_on(model, answer[:-1]) for start, model in zip(begun, models, strict=True))
        return make_truth(exact, plain, len(answer), self.dtype, self.usual_spread)

    def _begun_with(self, prompt: tuple[int, ...], *, adapter: bool) -> tuple[Begun, Begun]:
        """Return both references after a prompt: many answers to one prompt are asked for."""
        key = prompt, adapter
        if key not in self._begun:
            exact, plain = (Begun.of(model, prompt) for model in self._references(adapter=adapter))
            self._begun[key] = exact, plain
            while len(self._begun) > 1 and sum(len(kept) for kept, _ in self._begun) > MOST_KEPT:
                del self._begun[next(iter(self._begun))]
        return self._begun[key]

    def _references(self, *, adapter: bool = False) -> tuple[Reference, Reference]:
        """Return the exact reference and the plain one."""
        if adapter not in self._models:
            folder = self.folder / "lora" if adapter else None
            exact = Reference(self.folder, "float64", folder, self.device)
            self._models[adapter] = exact, Plain(self.folder, TORCH_NAMES[self.dtype], folder, self.device)
        return self._models[adapter]
