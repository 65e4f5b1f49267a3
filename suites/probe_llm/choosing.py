"""From logits to the next token: penalties, forbidden and required text, temperature, top-k, top-p, seed, stop words.

Plain and in the order of the field: repetition penalty, bad words, guide, temperature, top-k, top-p. The reference asks
it what a request's distribution is, the backend ``torch`` draws with it; tests hold it against transformers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.probe_llm.guide import Guide, pattern_of_schema
from pytest_trtcheck._suites.probe_llm.tasks import EOS, decode, encode
from pytest_trtcheck.providers import Request

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass
class Chooser:
    """Chooses the tokens of one request."""

    request: Request
    _generator: Generator | None = field(default=None, repr=False)

    @cached_property
    def guide(self) -> Guide | None:
        """What the answer's text has to match."""
        if self.request.json_schema:
            return Guide(pattern_of_schema(self.request.json_schema))
        return Guide(self.request.regex) if self.request.regex else None

    def adjusted(self, logits: Tensor, answer: Sequence[int]) -> Tensor:
        """Return logits [vocabulary] after an answer so far, with penalty; what must not come is -inf."""
        logits = self.penalised(logits, answer)
        hidden = self.forbidden(answer)
        if self.guide is not None:
            hidden |= self.unguided(answer, len(logits))
        if hidden:
            logits = logits.clone()
            logits[sorted(hidden)] = -math.inf
        return logits

    def penalised(self, logits: Tensor, answer: Sequence[int]) -> Tensor:
        """Apply the repetition penalty to every token of prompt and answer, once."""
        import torch

        penalty = self.request.repetition_penalty
        if penalty == 1:
            return logits
        seen = torch.tensor(sorted({*self.request.prompt, *answer}), device=logits.device)
        logits = logits.clone()
        logits[seen] = torch.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
        return logits

    def forbidden(self, answer: Sequence[int]) -> set[int]:
        """Return the tokens that would complete a bad word."""
        text = decode(answer)
        return {encode(word)[-1] for word in self.request.bad_words if text.endswith(word[:-1])}

    def unguided(self, answer: Sequence[int], vocabulary: int) -> set[int]:
        """Return the tokens that the guide does not allow."""
        assert self.guide is not None
        chars, may_end = self.guide.allowed(decode(answer))
        return set(range(vocabulary)) - set(encode("".join(chars))) - ({EOS} if may_end else set())

    def distribution(self, logits: Tensor, answer: Sequence[int]) -> Tensor:
        """Return the probabilities [vocabulary] that the next token is drawn from; one is 1 where it is greedy."""
        return self.drawn_from(self.adjusted(logits, answer))

    def drawn_from(self, logits: Tensor) -> Tensor:
        """Return the probabilities of adjusted logits: temperature, then top-k, then top-p."""
        import torch

        request = self.request
        if request.temperature == 0:
            return torch.nn.functional.one_hot(logits.argmax(), len(logits)).to(logits.dtype)
        logits = logits / request.temperature
        if request.top_k:
            least = logits.topk(min(request.top_k, len(logits))).values[-1]
            logits = logits.masked_fill(logits < least, -math.inf)
        shares = logits.softmax(-1)
        if request.top_p < 1:
            ordered, order = shares.sort(descending=True, stable=True)
            before = ordered.cumsum(0) - ordered
            shares = shares.index_fill(0, order[before >= request.top_p], 0.0)
            shares = shares / shares.sum()
        return shares

    def choose(self, logits: Tensor, answer: Sequence[int]) -> int:
        """Return the next token; what is drawn depends on the seed and on nothing of other requests.

        Called once for each token of the answer, in order.
        """
        if self.request.temperature == 0:
            return int(self.adjusted(logits, answer).argmax())
        sums = self.distribution(logits, answer).double().cumsum(0)
        return min(int((sums <= self.uniform() * float(sums[-1])).sum()), len(sums) - 1)

    def uniform(self) -> float:
        """Return the request's next random number in [0, 1)."""
        import torch

        if self._generator is None:
            self._generator = torch.Generator()
            if self.request.seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self.request.seed)
        return float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def stop_word(self, answer: Sequence[int]) -> str:
        """Return the stop word that an answer ends with, the longest where there are several; empty for none."""
        text = decode(answer[-max(map(len, self.request.stop)) :]) if self.request.stop else ""
        return max((word for word in self.request.stop if text.endswith(word)), key=len, default="")
