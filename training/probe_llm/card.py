"""Write the model card and the loss curve: ``python -m training.probe_llm.card [--states FOLDER]``.

With ``--states``, the folder that the training wrote, log.jsonl (thinned out) and results.json are copied to
training/probe_llm/run first. From these and measured.json come loss.svg and the model folder's README.md, so every
figure in the card was read from a run. The checksums are written anew, because they cover the card.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from string import Template
from typing import Any

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from training.probe_llm.curve import curve
from training.probe_llm.files import write_checksums, write_json

RUN = Path(__file__).parent / "run"
TEMPLATE = Path(__file__).parent / "card.md"
STAGES = {"main": "Main", "draft": "Draft", "adapter": "Adapter"}
ROWS_KEPT_PER_STAGE = 60

Row = dict[str, Any]


def thinned(rows: list[Row]) -> list[Row]:
    """Return every row but most of those with a loss: about sixty per stage stay."""
    out = []
    for stage in STAGES:
        losses = [row for row in rows if row.get("stage") == stage and "loss" in row]
        out += losses[:: max(1, -(-len(losses) // ROWS_KEPT_PER_STAGE))]
    kept = {id(row) for row in out}
    return [row for row in rows if "loss" not in row or id(row) in kept]


def read_log(path: Path) -> list[Row]:
    """Return the rows of a JSON-lines log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def take(states: Path) -> None:
    """Copy what a training run says of itself; its ladder of accuracies stays, the loss is thinned out."""
    rows = thinned(read_log(states / "log.jsonl"))
    (RUN / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    results = json.loads((states / "results.json").read_text(encoding="utf-8"))
    write_json(RUN / "results.json", results)


def percent(value: float) -> str:
    """Return a share as the card shows it."""
    return f"{100 * value:.2f}"


def interval(row: Row) -> str:
    """Return right of asked, the share and its interval."""
    share = percent(row["right"] / row["asked"])
    return f"{row['right']} of {row['asked']} | {share} | {percent(row['low'])} to {percent(row['high'])}"


def table(head: str, rows: list[str]) -> str:
    """Return a Markdown table."""
    return "\n".join([f"| {head} |", "|" + "---|" * (head.count("|") + 1), *(f"| {row} |" for row in rows)])


def accuracy(measured: Row) -> str:
    """Return the table of both implementations on easy and hard sets."""
    rows = []
    for through in ("transformers", "reference"):
        for row in [*measured[f"{through}_easy"], *measured[f"{through}_hard"]]:
            size = row["size"] or "32, 40"
            rows.append(f"{row['task']} | {size} | {through} | {interval(row)}")
    return table("set | size | through | right | % | 95 % interval", rows)


def plain(rows: list[Row]) -> str:
    """Return a table of scores by name."""
    return table("set | right | % | 95 % interval", [f"{row['task']} | {interval(row)}" for row in rows])


def ladder(results: Row) -> str:
    """Return the sizes at which the model begins to fail, from the evaluation that ended the training."""
    by_task: dict[str, list[str]] = {}
    for row in results["main"]:
        if not row["task"].endswith("_far"):
            by_task.setdefault(row["task"], []).append(f"{row['size']}: {percent(row['right'] / row['asked'])}")
    return table("task | size: % right", [f"{task} | {', '.join(cells)}" for task, cells in by_task.items()])


def acceptance(rows: list[Row]) -> str:
    """Return the draft model's figures per set and over the near easy sets."""
    near = [row for row in rows if row["task"] != "hard" and not row["task"].endswith("_far")]
    keys = ("asked", "tokens", "right", "rounds", "proposed", "accepted")
    pooled = {"task": "near sets together", **{key: sum(row[key] for row in near) for key in keys}}
    cells = [
        f"{row['task']} | {row['asked']} | {row['tokens']} | {percent(row['right'] / row['tokens'])} "
        f"| {percent(row['accepted'] / row['proposed'])} | {row['tokens'] / row['rounds']:.2f}"
        for row in [*rows, pooled]
    ]
    return table("set | prompts | tokens | same token, % | accepted of proposed, % | tokens per round", cells)


def stages(results: Row, log: list[Row]) -> str:
    """Return steps, tokens and seconds of each stage."""
    cells, before = [], 0.0
    for stage, title in STAGES.items():
        steps = results["steps"][stage]
        until = max(row["at"] for row in log if row.get("stage") == stage)
        tokens = steps * results["options"]["tokens"] / 1e6
        cells.append(f"{title} | {steps} | {tokens:.0f} million | {until - before:.0f}")
        before = until
    return table("stage | steps | tokens | seconds, evaluation of the stage before included", cells)


def decoding(rows: list[Row]) -> str:
    """Return how often both implementations decoded the same tokens."""
    cells = [f"{row['task']} | {row['asked']} | {row['same']} | {row['right']}" for row in rows]
    return table("set | prompts | same tokens | right answers", cells)


def parity(rows: list[Row]) -> str:
    """Return the largest differences of logits."""
    return table("dtype | largest difference", [f"{row['dtype']} | {row['largest_difference']:.2g}" for row in rows])


def card() -> str:
    """Return the model card."""
    results = json.loads((RUN / "results.json").read_text(encoding="utf-8"))
    measured = json.loads((RUN / "measured.json").read_text(encoding="utf-8"))
    log = read_log(RUN / "log.jsonl")
    options = results["options"]
    main, draft = [row["parameters"] for row in log if "parameters" in row][:2]
    values = {
        "main_parameters": f"{main:,}",
        "draft_parameters": f"{draft:,}",
        "device": results["device"],
        "torch": results["torch"],
        "minutes": f"{options['minutes']:g}",
        "seed": options["seed"],
        "tokens": options["tokens"],
        "workers": options["workers"],
        "steps": results["steps"]["main"],
        "seconds": f"{log[-1]['at']:.0f}",
        "stages": stages(results, log),
        "accuracy": accuracy(measured),
        "adapter": plain(measured["adapter"]),
        "draft": plain(measured["draft_easy"]),
        "acceptance": acceptance(measured["acceptance"]),
        "decoding": decoding(measured["decoding"]),
        "parity": parity(measured["parity"]),
        "ladder": ladder(results),
        "measured_torch": measured["torch"],
        "measured_seed": measured["seed"],
    }
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(values)


def main() -> None:
    """Write card, curve and checksums."""
    parser = argparse.ArgumentParser(prog="python -m training.probe_llm.card", description=__doc__)
    parser.add_argument("--states", type=Path, help="Folder that the training wrote, to copy its log and results from")
    parser.add_argument("--model", type=Path, default=MODEL, help="Model folder (default: the shipped one)")
    options = parser.parse_args()
    if options.states:
        take(options.states)
    (RUN / "loss.svg").write_text(curve(read_log(RUN / "log.jsonl"), list(STAGES)), encoding="utf-8")
    (options.model / "README.md").write_text(card(), encoding="utf-8")
    write_checksums(options.model)


if __name__ == "__main__":
    main()
