"""The model folder that ships with this suite: where it is, whether it is whole, and what it must answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pytest_trtcheck._suites.probe_llm.reference import Reference
from pytest_trtcheck._suites.probe_llm.tensors import read_tensors
from pytest_trtcheck.errors import ProbeModelError

if TYPE_CHECKING:
    from torch import Tensor

MODEL = Path(__file__).parent / "model"
LIST = "checksums.json"

Part = Literal["main", "adapter", "draft"]


@dataclass(frozen=True)
class Golden:
    """A prompt with its answer and the log-probabilities (fp32) over the vocabulary at some places of the answer.

    Row ``i`` of ``log_probs`` says what comes after ``tokens[: places[i] + 1]``.
    """

    task: str
    size: int
    tokens: list[int]
    answer_from: int
    places: list[int]
    log_probs: Tensor


def _listed() -> dict[str, dict[str, Any]]:
    """SHA-256 and size of each file, as installed; it is the authority on copies of the folder too."""
    path = MODEL / LIST
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        listed = {name: {"sha256": str(entry["sha256"]), "bytes": int(entry["bytes"])} for name, entry in read.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        listed = {}
    if not listed:
        problem = "missing, or no list of files with their SHA-256 and size"
        raise ProbeModelError(f"probe model list {path}: {problem}; install pytest-trtcheck anew")
    return listed


def _problem(path: Path, listed: dict[str, Any]) -> str | None:
    """Return what is wrong with one file."""
    try:
        size = path.stat().st_size
        if size != listed["bytes"]:
            return f"damaged: {listed['bytes']} bytes expected, found {size}"
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if found != listed["sha256"]:
        return f"damaged: SHA-256 {listed['sha256'][:12]}… expected, found {found[:12]}…"
    return None


def verify(folder: Path = MODEL) -> Path:
    """Return the folder if it holds the probe model, every file as trained and no other.

    Anything else is a one-line error that names a file and whether it is missing, damaged or foreign.
    """
    listed = _listed()
    if not folder.is_dir():
        raise ProbeModelError(f"probe model {folder}: no such folder; the installed one is {MODEL}")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if not present & set(listed):
        raise ProbeModelError(
            f"probe model {folder}: foreign: none of its {len(listed)} files is there; copy them from {MODEL}"
        )
    problems = {name: problem for name in listed if (problem := _problem(folder / name, listed[name]))}
    foreign = sorted(present - set(listed) - {LIST})
    problems.update(dict.fromkeys(foreign, "foreign: not a file of the probe model"))
    if problems:
        name, problem = next(iter(problems.items()))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ProbeModelError(f"probe model {folder}: {name}: {problem}{more}; install pytest-trtcheck anew")
    return folder


def load(folder: Path = MODEL, dtype: str = "float32", part: Part = "main", device: str = "cpu") -> Reference:
    """Return the reference on verified files: main model, main model with its adapter merged in, or draft model."""
    verify(folder)
    if part == "draft":
        return Reference(folder / "draft", dtype, device=device)
    return Reference(folder, dtype, adapter=folder / "lora" if part == "adapter" else None, device=device)


def golden(folder: Path = MODEL) -> list[Golden]:
    """Return the golden log-probabilities of the main model, from verified files."""
    verify(folder)
    prompts = json.loads((folder / "golden" / "prompts.json").read_text(encoding="utf-8"))
    rows = read_tensors(folder / "golden" / "log_probs.safetensors")["log_probs"]
    parts = rows.split([len(prompt["places"]) for prompt in prompts])
    return [Golden(**prompt, log_probs=part) for prompt, part in zip(prompts, parts, strict=True)]
