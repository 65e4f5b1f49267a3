"""Exact-match accuracy of a network in training or of the exported model, teacher-forced.

If the most likely token is right at every place of the answer, greedy decoding gives exactly that answer, and the other
way round; so one forward pass replaces the decoding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch

from pytest_trtcheck._suites.probe_llm import tasks
from pytest_trtcheck._suites.probe_llm.sets import EASY, easy_questions
from training.probe_llm.network import Network

Guess = Callable[[torch.Tensor], torch.Tensor]
"""From tokens [rows, width] to the most likely token after each."""

LADDER = {
    "repeat": (16, 32, 48, 64, 96),
    "reverse": (60, 120, 160),
    "sort": (16, 20, 24, 28, 32, 40),
    "count": (24, 32, 46, 60),
    "add": (10, 12, 13, 14, 16),
    "brackets": (24, 32, 40, 50, 60, 80, 100),
    "majority": (31, 63, 127, 255),
    "tie": (15, 31, 47, 63, 91, 127, 191, 255, 383, 511),
    "close_draw": (8, 12, 16, 20, 24, 32, 40, 48),
}


@dataclass(frozen=True)
class Score:
    """How many of a set were answered exactly, with Wilson's 95 % interval."""

    task: str
    size: int
    right: int
    asked: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.asked

    def interval(self, z: float = 1.959964) -> tuple[float, float]:
        """Wilson's score interval."""
        n, p = self.asked, self.accuracy
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def as_dict(self) -> dict[str, object]:
        """For the log."""
        low, high = self.interval()
        return {**asdict(self), "low": low, "high": high}


def pack(asked: list[tasks.Question]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and an answer mask, [rows, width]; the mask lies on the answer's own tokens, end mark included."""
    rows = [(question.prompt_ids, question.answer_ids) for question in asked]
    width = -(-max(len(p) + len(a) for p, a in rows) // 8) * 8
    tokens = np.zeros((len(rows), width), dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=bool)
    for i, (prompt, answer) in enumerate(rows):
        tokens[i, : len(prompt) + len(answer)] = prompt + answer
        mask[i, len(prompt) : len(prompt) + len(answer)] = True
    return tokens, mask


def guess_of(network: Network) -> Guess:
    """Return the guesses of a network in training."""
    device = next(network.parameters()).device

    def guess(tokens: torch.Tensor) -> torch.Tensor:
        rows, width = tokens.shape
        cos, sin = network.angles(((rows, width),), device)
        logits = network(tokens.to(device).reshape(-1), ((rows, width),), cos, sin)
        return logits.argmax(-1).view(rows, width)

    return guess


@torch.no_grad()
def count_right(guess: Guess, asked: list[tasks.Question], tokens_per_pass: int = 131072) -> int:
    """How many questions are answered exactly."""
    right = 0
    per_pass = max(1, tokens_per_pass // (len(asked[0].prompt_ids) + len(asked[0].answer_ids)))
    for start in range(0, len(asked), per_pass):
        tokens, mask = (torch.from_numpy(part) for part in pack(asked[start : start + per_pass]))
        wrong = (guess(tokens)[:, :-1].cpu() != tokens[:, 1:]) & mask[:, 1:]
        right += int((~wrong.any(dim=1)).sum())
    return right


def score(network: Network, task: str, size: int, count: int, seed: int) -> Score:
    """Accuracy on the ``count`` questions of this task and size that this seed names."""
    return Score(task, size, count_right(guess_of(network), tasks.questions(task, size, count, seed)), count)


def ladder(network: Network, count: int, seed: int) -> list[Score]:
    """Accuracy over growing sizes: where the hard set is chosen from."""
    return [score(network, task, size, count, seed) for task, sizes in LADDER.items() for size in sizes]


def easy(network: Network, count: int, seed: int) -> list[Score]:
    """Accuracy on the easy sets; the far ones ask a fourth as many questions."""
    guess, scores = guess_of(network), []
    for name, (_, size) in EASY.items():
        asked = easy_questions(name, count // 4 if name.endswith("_far") else count, seed)
        scores.append(Score(name, size, count_right(guess, asked), len(asked)))
    return scores
