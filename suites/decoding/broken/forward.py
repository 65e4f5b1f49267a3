"""Mistakes that reach the forward: adapters, speculation, demands of other requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.choosing import Chooser
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck._suites.probe_llm.engine.job import Sequence as CachedSequence
from pytest_trtcheck._suites.probe_llm.engine.model import Llama, Part
from pytest_trtcheck._suites.probe_llm.engine.scheduler import Scheduler
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck.providers import Completion, Request

_ADAPTER = frozenset({"adapter"})
_SPECULATION = frozenset({"ngram", "draft"})


def _adapting(adapted: type[Llama]) -> type[Session]:
    return type("Adapting", (Session,), {"llama": adapted})


class _ForAll(Llama):
    def adapted(self, parts: Sequence[Part]) -> torch.Tensor | None:
        found = super().adapted(parts)
        return None if found is None else torch.ones_like(found)


class AdapterReachesNeighbours(BrokenEngine):
    """The adapter of one request is applied to all of the step."""

    shows_in, session_class = _ADAPTER, _adapting(_ForAll)


class _ForNone(Llama):
    def adapted(self, parts: Sequence[Part]) -> torch.Tensor | None:  # noqa: ARG002
        return None


class AdapterIgnored(BrokenEngine):
    """No request gets the adapter."""

    shows_in, session_class = _ADAPTER, _adapting(_ForNone)


class _NextInLine(Llama):
    def adapted(self, parts: Sequence[Part]) -> torch.Tensor | None:
        return super().adapted([replace(part, adapter=parts[i - 1].adapter) for i, part in enumerate(parts)])


class AdapterOfTheNeighbour(BrokenEngine):
    """Each request gets the adapter of the one before it in the step."""

    shows_in, session_class = _ADAPTER, _adapting(_NextInLine)


class _Unscaled(Session):
    def __init__(self, *arguments) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*arguments)
        scaled = self.network.adapters
        self.network.adapters = {
            name: (lambda x, delta=delta: delta(x) / 2)  # type: ignore[misc]
            for name, delta in scaled.items()
        }


class AdapterScaleForgotten(BrokenEngine):
    """The adapter's alpha / r, here 2, is not applied."""

    shows_in, session_class = _ADAPTER, _Unscaled


class _OnPromptsOnly(Llama):
    def adapted(self, parts: Sequence[Part]) -> torch.Tensor | None:
        return super().adapted([replace(part, adapter=part.adapter and len(part.tokens) > 1) for part in parts])


class AdapterOnPromptsOnly(BrokenEngine):
    """The adapter is applied to the prompt and not to the answer."""

    shows_in, session_class = _ADAPTER, _adapting(_OnPromptsOnly)


class _Unchecked(Job):
    def advance(self, rows: list[torch.Tensor]) -> None:
        [sequence] = self.sequences
        rows = [rows[0].clone()]
        for index, token in enumerate(sequence.proposed):
            rows[0][index] = -1e4
            rows[0][index, token] = 0.0
        super().advance(rows)


class ProposalsAcceptedUnchecked(BrokenEngine):
    """Proposed tokens become part of the answer whatever the model says."""

    shows_in, job = _SPECULATION, _Unchecked


class _OneTooMany(Job):
    def advance(self, rows: list[torch.Tensor]) -> None:
        [sequence] = self.sequences
        rows = [rows[0].clone()]
        wrong = next((i for i, token in enumerate(sequence.proposed) if int(rows[0][i].argmax()) != token), None)
        if wrong is not None:
            rows[0][wrong, sequence.proposed[wrong]] = float(rows[0][wrong].max()) + 1.0
        super().advance(rows)


class OneWrongProposalAccepted(BrokenEngine):
    """The first proposal that the model rejects is taken all the same."""

    shows_in, job = _SPECULATION, _OneTooMany


class _NotTakenBack(Scheduler):
    def settle(self, sequence: CachedSequence) -> None:
        """Count the rejected proposals as computed: later tokens look at their keys."""
        kept = sequence.cached
        super().settle(sequence)
        if kept > sequence.cached and kept < len(sequence.blocks) * self.block_size:
            sequence.tokens[sequence.cached : sequence.cached] = [sequence.tokens[sequence.cached]] * (
                kept - sequence.cached
            )
            sequence.cached = kept


class RejectedProposalsStayInTheCache(BrokenEngine):
    """The cache is not taken back to where the answer went another way."""

    shows_in = _SPECULATION
    session_class = type("NotTakenBack", (Session,), {"scheduler_class": _NotTakenBack})


class _RowsShifted(Job):
    def advance(self, rows: list[torch.Tensor]) -> None:
        if len(rows[0]) > 1:
            rows = [torch.cat((rows[0][:1], rows[0][:-1]))]
        super().advance(rows)


class ProposalsCheckedOneTokenOff(BrokenEngine):
    """The second proposal is checked with the logits of the first."""

    shows_in, job = _SPECULATION, _RowsShifted


class _Overlong(Job):
    def completion(self) -> Completion:
        told = super().completion()
        more = told.tokens[-1:] if self.pieces and self.pieces[-1] > 1 else ()
        return Completion((*told.tokens, *more), told.finish, log_probs=told.log_probs)


class LastTokenTwiceAfterProposals(BrokenEngine):
    """Where the last step took several tokens, the last one is told twice."""

    shows_in, job = _SPECULATION, _Overlong


class _DemandsOfTheFirst(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        first = requests[0]
        shared = {"temperature": first.temperature, "repetition_penalty": first.repetition_penalty, "stop": first.stop}
        return super().generate([replace(request, **shared) for request in requests])  # type: ignore[arg-type]


class DemandsOfTheFirstRequest(BrokenEngine):
    """All requests of a batch are decoded with the demands of the first."""

    shows_in, session_class = frozenset({"stop_words", "repetition_penalty"}), _DemandsOfTheFirst


class _OnePlaceOff(Session):
    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        demands = [(request.temperature, request.stop, request.bad_words, request.seed) for request in requests]
        turned = [*demands[1:], demands[0]]
        return super().generate(
            [
                replace(request, temperature=temperature, stop=stop, bad_words=bad, seed=seed)
                for request, (temperature, stop, bad, seed) in zip(requests, turned, strict=True)
            ]
        )


class DemandsOfTheNeighbour(BrokenEngine):
    """Each request of a batch is decoded with the demands of the next."""

    shows_in, session_class = frozenset({"stop_words", "bad_words"}), _OnePlaceOff


class _SharedChooser(Chooser):
    """Keeps what was seen in one place for all requests."""

    seen: set[int] = set()  # noqa: RUF012 - shared on purpose

    def penalised(self, logits: torch.Tensor, answer: Sequence[int]) -> torch.Tensor:
        type(self).seen |= {*answer}
        return super().penalised(logits, [*answer, *type(self).seen])


class PenaltyForTokensOfOthers(BrokenEngine):
    """The repetition penalty counts what other requests generated."""

    shows_in, chooser = frozenset({"repetition_penalty"}), _SharedChooser


BROKEN: tuple[type[BrokenEngine], ...] = (
    AdapterReachesNeighbours, AdapterIgnored, AdapterOfTheNeighbour, AdapterScaleForgotten, AdapterOnPromptsOnly,
    ProposalsAcceptedUnchecked, OneWrongProposalAccepted, RejectedProposalsStayInTheCache, ProposalsCheckedOneTokenOff,
    LastTokenTwiceAfterProposals, DemandsOfTheFirstRequest, DemandsOfTheNeighbour, PenaltyForTokensOfOthers,
)  # fmt: skip
