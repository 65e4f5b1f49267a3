"""Mistakes in what is told of an answer: log-probabilities."""

from __future__ import annotations

import math

import torch

from pytest_trtcheck._suites.decoding.broken.base import BrokenEngine
from pytest_trtcheck._suites.probe_llm.engine.job import Job
from pytest_trtcheck.providers import Completion

_TOLD = frozenset({"log_probs"})


class _OneLate(Job):
    def completion(self) -> Completion:
        told = super().completion()
        late = (told.log_probs[:1] + told.log_probs)[: len(told.log_probs)]
        return Completion(told.tokens, told.finish, log_probs=late)


class LogProbsOneTokenLate(BrokenEngine):
    """Each token is told the log-probabilities of the one before."""

    shows_in, job = _TOLD, _OneLate


class _BaseTwo(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        return {key: value / math.log(2) for key, value in super().likeliest(row, token).items()}


class LogProbsToBaseTwo(BrokenEngine):
    """Logarithms are to base two."""

    shows_in, job = _TOLD, _BaseTwo


class _Logits(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        return {key: float(row[key]) for key in super().likeliest(row, token)}


class LogitsForLogProbs(BrokenEngine):
    """Logits are told as they are."""

    shows_in, job = _TOLD, _Logits


class _Shares(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        return {key: math.exp(value) for key, value in super().likeliest(row, token).items()}


class SharesForLogProbs(BrokenEngine):
    """Probabilities are told where their logarithms were asked for."""

    shows_in, job = _TOLD, _Shares


class _OverTheTold(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        told = super().likeliest(row, token)
        total = math.log(sum(map(math.exp, told.values())))
        return {key: value - total for key, value in told.items()}


class LogProbsOverTheToldOnly(BrokenEngine):
    """Log-probabilities are normalised over the tokens that are told."""

    shows_in, job = _TOLD, _OverTheTold


class _OneFewer(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        told = super().likeliest(row, token)
        return dict(list(told.items())[:-1]) if len(told) > 1 else told


class OneLogProbFewer(BrokenEngine):
    """One token less than was asked for is told."""

    shows_in, job = _TOLD, _OneFewer


class _NotTheBest(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        logs = row.log_softmax(-1)
        least = (-logs).topk(self.request.log_probs).indices.tolist()
        return {key: float(logs[key]) for key in (*least, token)}


class UnlikeliestToldForLikeliest(BrokenEngine):
    """The unlikeliest tokens are told."""

    shows_in, job = _TOLD, _NotTheBest


class _Rounded(Job):
    def likeliest(self, row: torch.Tensor, token: int) -> dict[int, float]:
        return {key: round(value, 1) for key, value in super().likeliest(row, token).items()}


class LogProbsRounded(BrokenEngine):
    """Log-probabilities are rounded to a tenth."""

    shows_in, job = _TOLD, _Rounded


BROKEN: tuple[type[BrokenEngine], ...] = (
    LogProbsOneTokenLate, LogProbsToBaseTwo, LogitsForLogProbs, SharesForLogProbs, LogProbsOverTheToldOnly,
    OneLogProbFewer, UnlikeliestToldForLikeliest, LogProbsRounded,
)  # fmt: skip
