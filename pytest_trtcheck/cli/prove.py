"""``prove SUITE``: show that a suite catches broken implementations and lets sound ones pass."""

from __future__ import annotations

import argparse
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.level import Level

if TYPE_CHECKING:
    from pytest_trtcheck.cli import Subparsers

HOLDS, DOES_NOT_HOLD = 0, 1
_REFERENCES = {
    "attention": "torch",
    "batching": "torch",
    "decoding": "torch",
    "engine": "numpy",
    "quantization": "torch",
    "serving": "tritonclient",
}
"""Suites, and the library that each cannot do without: what computes its reference, or asks its servers."""
_LEVELS = (Level.QUICK, Level.STANDARD, Level.FULL)
_MOST_SEEDS = 100_000


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser(
        "prove",
        help="Show that a suite catches broken implementations and lets sound ones pass",
        description="Run deliberately broken implementations and sound variants through a suite. Exit status: 0 when "
        "every broken one is caught and no sound one is flagged, 1 otherwise, 4 when the suite cannot run here.",
    )
    parser.add_argument("suite", choices=list(_REFERENCES), help="Suite to prove")
    parser.add_argument("--level", choices=[level.value for level in _LEVELS], default=Level.QUICK.value,
                        help="Cases to run (default: quick)")  # fmt: skip
    parser.add_argument("--seeds", type=_count, default=1, metavar="N",
                        help="Seeds for sound variants; broken ones take the first (default: 1)")  # fmt: skip
    parser.add_argument("--first-seed", type=_seed, default=0, metavar="N", help="First seed (default: 0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                        help="Where to run (default: auto, a GPU where torch has one)")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the table of detection and return the exit status."""
    library = _REFERENCES[options.suite]
    if find_spec(library) is None:
        raise OptionError(f"prove {options.suite}: expected {library}, found none: install it")
    device = _device(options.device) if library == "torch" else "cpu"
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    # By name: suites lie beside the tool, and import it.
    suite: Any = import_module(f"pytest_trtcheck._suites.{options.suite}.proof")
    proof = suite.prove(Level(options.level), seeds, device)
    print(f"suite {options.suite}, level {options.level}, on {device}")
    for line in proof.lines():
        print(line)
    return HOLDS if proof.holds else DOES_NOT_HOLD


def _device(wanted: str) -> str:
    import torch

    has_gpu = torch.cuda.is_available()
    if wanted == "cuda" and not has_gpu:
        raise OptionError("prove --device cuda: expected a GPU that torch can use, found none: use cpu")
    return "cuda" if has_gpu and wanted != "cpu" else "cpu"


def _count(text: str) -> int:
    number = _seed(text)
    if not 1 <= number <= _MOST_SEEDS:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MOST_SEEDS}, found {text!r}")
    return number


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"expected a whole number of at most 9 digits, found {text!r}")
    return int(text)
