"""Golden log-probabilities: what the bf16 weights say at the answers of some prompts, as exactly as can be computed.

The forward pass is the reference's in fp64, and only its result is rounded to fp32: so every machine writes the same
file, up to the last bit, and what a test finds is the error of the backend under test.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from pytest_trtcheck._suites.probe_llm.reference import Reference
from pytest_trtcheck._suites.probe_llm.tasks import Question, questions

SEED = 3001
MOST_PLACES = 16
SIZES = {
    "copy": (1, 8, 24, 250, 1000),
    "repeat": (8, 16, 32, 48, 64),
    "reverse": (2, 8, 24, 60, 120),
    "lookup": (1, 8, 24, 100, 309),
    "sort": (2, 8, 12, 20, 28),
    "count": (6, 12, 16, 32, 46),
    "add": (2, 4, 8, 10, 12),
    "brackets": (4, 8, 16, 32, 60),
    "majority": (5, 21, 63, 127, 255),
    "tie": (5, 21, 63, 127, 255),
    "draw": (4, 12, 24, 32, 48),
    "close_draw": (8, 16, 24, 32, 40),
}


def places(question: Question) -> list[int]:
    """Places before the tokens of the answer, end mark included: all, or sixteen in even steps from first to last."""
    first, count = len(question.prompt_ids) - 1, len(question.answer_ids)
    if count <= MOST_PLACES:
        return [first + i for i in range(count)]
    return [first + round(i * (count - 1) / (MOST_PLACES - 1)) for i in range(MOST_PLACES)]


def write_golden(folder: Path) -> None:
    """golden/prompts.json and golden/log_probs.safetensors of the main model in ``folder``."""
    model, prompts, rows = Reference(folder, "float64"), [], []
    with torch.inference_mode():
        for task, sizes in SIZES.items():
            for size in sizes:
                [question] = questions(task, size, 1, SEED)
                tokens, at = question.prompt_ids + question.answer_ids, places(question)
                rows.append(model.log_probs(tokens)[at].float())
                answer_from = len(question.prompt_ids)
                prompts.append({"task": task, "size": size, "tokens": tokens, "answer_from": answer_from, "places": at})
    target = folder / "golden"
    target.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(prompt) for prompt in prompts)
    (target / "prompts.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    save_file({"log_probs": torch.cat(rows)}, target / "log_probs.safetensors", metadata={"format": "pt"})
