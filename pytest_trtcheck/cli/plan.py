"""``plan FILE|--live``: the nearest known-good sets for a stack, with what changes and the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.cli.options import STDIN, add_format, add_from, add_matrix, matrix_of, print_json, text_of
from pytest_trtcheck.errors import OptionError, TrtcheckError

if TYPE_CHECKING:
    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.planning.plan import Plan

FOUND, UNREADABLE, NOTHING_FITS = 0, 4, 10
_MAX_LIMIT = 100


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser(
        "plan",
        help="List the nearest known-good sets for a stack",
        description="List the nearest known-good sets. Exit status: 0 when every stack has one, 10 when one has none, "
        "4 when the input cannot be read.",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help=f"Described stack or pasted text; {STDIN} reads stdin")
    parser.add_argument("--live", action="store_true", help="Plan for this machine instead of a file")
    parser.add_argument(
        "--keep", default="driver,gpu", metavar="KEYS",
        help="What must not change, by comma: driver, gpu, torch …; none frees all (default: driver,gpu)",
    )  # fmt: skip
    parser.add_argument(
        "--want", action="append", default=[], metavar="KEY==VERSION",
        help="What a set must have, such as tensorrt_llm==1.2.1; may be given several times",
    )  # fmt: skip
    parser.add_argument("--limit", type=_limit, default=5, metavar="N", help="Sets to list for a stack (default: 5)")
    add_format(parser)
    add_from(parser)
    add_matrix(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print a plan for each stack and return the exit status."""
    from pytest_trtcheck.planning.plan import Planner, parse_wish
    from pytest_trtcheck.rules.catalogue import load_catalogue

    wishes = [parse_wish(text) for text in options.want]
    keep = _keep(options.keep)
    stacks, unreadable = _stacks(options)
    planner = Planner(matrix_of(options), load_catalogue())
    plans = [planner.plan(stack, keep=keep, want=wishes, limit=options.limit) for stack in stacks]
    if options.format == "json":
        print_json([_as_json(plan) for plan in plans])
    else:
        for plan in plans:
            print("\n".join(_lines(plan)))
    if unreadable or not plans:
        return UNREADABLE
    return FOUND if all(plan.proposals for plan in plans) else NOTHING_FITS


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= _MAX_LIMIT):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to {_MAX_LIMIT}, found {text!r}")
    return int(text)


def _keep(text: str) -> tuple[str, ...]:
    from pytest_trtcheck.described.describe import unknown_key
    from pytest_trtcheck.described.vocabulary import VOCABULARY

    keys = tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")
    for key in keys:
        if key not in VOCABULARY:
            raise OptionError(f"--keep: expected keys of the stack vocabulary, found {unknown_key(key)}")
    return keys


def _stacks(options: argparse.Namespace) -> tuple[list[Stack], bool]:
    """Return the stacks to plan for, and whether any of the input could not be read, which is told on stderr."""
    if options.live == bool(options.file):
        raise OptionError("plan: expected either a FILE or --live")
    if options.live:
        from pytest_trtcheck.model.level import Level
        from pytest_trtcheck.probe.host import probe_host

        return [probe_host(Level.QUICK)], False
    from pytest_trtcheck.described.read import read_stacks

    text, name = text_of(options.file)
    stacks, unreadable = [], False
    for stack in read_stacks(text, name, options.form):
        if isinstance(stack, TrtcheckError):
            unreadable = True
            print(f"pytest-trtcheck: {stack}", file=sys.stderr)
        else:
            stacks.append(stack)
    return stacks, unreadable


def _as_json(plan: Plan) -> dict[str, Any]:
    from pytest_trtcheck.model.codec import encode

    return {
        "stack": plan.stack.name,
        "verdict": plan.verdict.value,
        "considered": plan.considered,
        "proposals": [encode(proposal) for proposal in plan.proposals],
        "reasons": list(plan.reasons),
    }


def _lines(plan: Plan) -> Iterator[str]:
    from pytest_trtcheck.planning.proposal import in_words
    from pytest_trtcheck.verdict.base import describe

    yield f"{plan.stack.name}: {plan.verdict.value}; {plan.considered} known sets considered"
    for number, proposal in enumerate(plan.proposals, start=1):
        count = len(proposal.changes)
        changes = f"{count} {'change' if count == 1 else 'changes'}" if count else "nothing changes"
        yield f"{number}. {proposal.title} ({changes}, {proposal.verdict.value})"
        yield from (f"   {in_words(change)}" for change in proposal.changes)
        yield from (f"   do: {command}" for command in proposal.commands)
        yield from (f"   open: {describe(finding)}" for finding in proposal.open_questions)
        yield f"   rows: {', '.join(proposal.rows)}"
    if not plan.proposals:
        yield "nothing fits:"
        yield from (f"   {reason}" for reason in plan.reasons)
