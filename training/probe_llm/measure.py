"""Measure the exported model on a CPU: ``python -m training.probe_llm.measure``.

Fresh seeds, none of them used in training or for choosing the sets. Writes training/probe_llm/run/measured.json after
each part, so parts can be measured one by one; ``python -m training.probe_llm.card`` makes the model card of it. Needs
transformers and peft; reads no network.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_trtcheck._suites.probe_llm import checkpoint
from pytest_trtcheck._suites.probe_llm.reference import Reference
from pytest_trtcheck._suites.probe_llm.sets import EASY, HARD, easy_questions, hard_questions
from pytest_trtcheck._suites.probe_llm.tasks import PAD, Question, questions
from training.probe_llm.evaluate import Guess, Score, count_right

OUT = Path(__file__).parent / "run" / "measured.json"
SEED = 2001
PASS = 4096
PROPOSED = 4
NEAR = [name for name in EASY if not name.endswith("_far")]


def through_transformers(folder: Path, dtype: torch.dtype) -> Any:
    """Return the model as transformers loads it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def guess_of_transformers(model: Any) -> Guess:
    """Guesses in batches."""
    return lambda tokens: model(tokens).logits.argmax(-1)


def guess_of_reference(model: Reference) -> Guess:
    """Guesses one sequence at a time."""
    return lambda tokens: torch.stack([model.logits(row).argmax(-1) for row in tokens.tolist()])


def scored(name: str, guess: Guess, asked: list[Question]) -> dict[str, Any]:
    """Return a row of the card; the name is printed, so that a long run shows where it is."""
    began = time.monotonic()
    score = Score(name, asked[0].size, count_right(guess, asked, PASS), len(asked))
    print(f"{name}: {score.right} of {score.asked} in {time.monotonic() - began:.0f} s", flush=True)
    return score.as_dict()


def easy(guess: Guess, near: int, copy_far: int, lookup_far: int) -> list[dict[str, Any]]:
    """Scores of the easy sets."""
    counts = {**dict.fromkeys(EASY, near), "copy_far": copy_far, "lookup_far": lookup_far}
    return [scored(name, guess, easy_questions(name, count, SEED)) for name, count in counts.items()]


def hard(guess: Guess, count: int) -> list[dict[str, Any]]:
    """Score of the hard set as a whole, then of its halves."""
    asked = hard_questions(count, SEED)
    halves = [
        scored(f"{task}/{size}", guess, [q for q in asked if (q.task, q.size) == (task, size)]) for task, size in HARD
    ]
    right = sum(half["right"] for half in halves)
    return [Score("hard", 0, right, len(asked)).as_dict(), *halves]


def reversed_copies(count: int) -> list[Question]:
    """Return what the adapter was trained to answer: copies back to front."""
    return [Question("copy", q.size, q.prompt, q.answer[::-1]) for q in easy_questions("copy", count, SEED)]


def adapter(folder: Path) -> list[dict[str, Any]]:
    """Scores with the adapter on, and of copies with it off again."""
    from peft import PeftModel

    model = PeftModel.from_pretrained(through_transformers(folder, torch.bfloat16), folder / "lora").eval()
    guess = guess_of_transformers(model)
    copies = easy_questions("copy", 512, SEED)
    rows = [
        scored("adapter on: copies, asked to be reversed", guess, reversed_copies(512)),
        scored("adapter on: copies, asked as they are", guess, copies),
    ]
    rows += [scored(f"adapter on: {name}", guess, easy_questions(name, 512, SEED)) for name in NEAR if name != "copy"]
    rows.append(scored("adapter on: lookup_far", guess, easy_questions("lookup_far", 64, SEED)))
    rows.append(scored("adapter on: hard", guess, hard_questions(512, SEED)))
    with model.disable_adapter():
        rows.append(scored("adapter off: copies", guess, copies))
    return rows


def rounds(right: Sequence[bool]) -> tuple[int, int, int]:
    """Return (rounds, proposed, accepted); ``right`` says of each token whether the draft model gives it."""
    at = count = proposed = accepted = 0
    while at < len(right):
        window = right[at : at + PROPOSED]
        run = window.index(False) if False in window else len(window)
        count, proposed, accepted = count + 1, proposed + len(window), accepted + run
        at += run + 1  # the main model itself gives the token after those accepted
    return count, proposed, accepted


def acceptance(folder: Path) -> list[dict[str, Any]]:
    """Speculative decoding with the draft model: four proposals a round against the main model's greedy tokens."""
    main, draft = Reference(folder), Reference(folder / "draft")
    rows = []
    for name in [*EASY, "hard"]:
        count = 32 if name in NEAR or name == "hard" else 2
        asked = hard_questions(count, SEED + 1) if name == "hard" else easy_questions(name, count, SEED + 1)
        row = Counter(asked=count)
        for question in asked:
            prompt = question.prompt_ids
            tokens = main.generate(prompt, len(question.answer_ids)).tokens
            guesses = draft.logits(prompt + tokens)[len(prompt) - 1 : -1].argmax(-1).tolist()
            right = [guess == token for guess, token in zip(guesses, tokens, strict=True)]
            turns, proposed, accepted = rounds(right)
            row.update(tokens=len(tokens), right=sum(right), rounds=turns, proposed=proposed, accepted=accepted)
        rows.append({"task": name, **row})
        print(rows[-1], flush=True)
    return rows


def decoding(folder: Path) -> list[dict[str, Any]]:
    """Greedy decoding token by token through the cache: transformers against the reference, both fp32."""
    theirs, ours, rows = through_transformers(folder, torch.float32), Reference(folder), []
    for name, (task, size) in [*EASY.items(), *((f"{task}/{size}", (task, size)) for task, size in HARD)]:
        asked = questions(task, size, 2 if name.endswith("_far") else 16, SEED + 2)
        row = Counter(asked=len(asked))
        for question in asked:
            prompt, limit = question.prompt_ids, len(question.answer_ids)
            mine = ours.generate(prompt, limit).tokens
            given = torch.tensor([prompt])
            made = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=limit, pad_token_id=PAD)
            row.update(same=made[0, len(prompt) :].tolist() == mine, right=mine == question.answer_ids)
        rows.append({"task": name, **row})
        print(rows[-1], flush=True)
    return rows


def parity(folder: Path) -> list[dict[str, Any]]:
    """Largest difference of logits between reference and transformers over the golden prompts."""
    rows = []
    for dtype in ("float32", "float64", "bfloat16"):
        theirs, ours = through_transformers(folder, getattr(torch, dtype)), Reference(folder, dtype)
        worst, longest = 0.0, 0
        for prompt in checkpoint.golden(folder):
            wanted = theirs(torch.tensor([prompt.tokens])).logits[0]
            worst = max(worst, (ours.logits(prompt.tokens) - wanted).abs().max().item())
            longest = max(longest, len(prompt.tokens))
        rows.append({"dtype": dtype, "largest_difference": worst, "longest_prompt": longest})
        print(rows[-1], flush=True)
    return rows


def parts(folder: Path) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """Return what can be measured."""

    def theirs(part: str = "") -> Guess:
        return guess_of_transformers(through_transformers(folder / part, torch.bfloat16))

    def ours() -> Guess:
        return guess_of_reference(Reference(folder, "bfloat16"))

    return {
        "parity": lambda: parity(folder),
        "transformers_hard": lambda: hard(theirs(), 4096),
        "reference_hard": lambda: hard(ours(), 4096),
        "acceptance": lambda: acceptance(folder),
        "decoding": lambda: decoding(folder),
        "transformers_easy": lambda: easy(theirs(), 1024, copy_far=400, lookup_far=800),
        "reference_easy": lambda: easy(ours(), 1024, copy_far=64, lookup_far=64),
        "adapter": lambda: adapter(folder),
        "draft_easy": lambda: easy(theirs("draft"), 1024, copy_far=64, lookup_far=64),
    }


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.probe_llm.measure", description=__doc__)
    parser.add_argument("--model", type=Path, default=checkpoint.MODEL, help="Model folder (default: the shipped one)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"File to add the figures to (default: {OUT.name})")
    parser.add_argument("--parts", help="Parts to measure, with commas between (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    offered = parts(options.model)
    for name in options.parts.split(",") if options.parts else offered:
        print(f"== {name}", flush=True)
        with torch.inference_mode():
            rows = offered[name]()
        figures = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        figures.update({name: rows, "seed": SEED, "torch": torch.__version__})
        options.out.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
