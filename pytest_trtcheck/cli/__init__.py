"""Commands beside pytest: ``python -m pytest_trtcheck …`` or ``pytest-trtcheck …``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from pytest_trtcheck import __version__
from pytest_trtcheck.errors import TrtcheckError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse gives it no other name

USAGE_STATUS = 4

COMMANDS = ("verdict", "inspect", "plan", "matrix", "explain", "render", "merge", "diff", "prove")
"""Modules of this package, one per command, in the order of the help."""


class Command(Protocol):
    """What a command module holds."""

    def add_parser(self, commands: Subparsers) -> argparse.ArgumentParser:
        """Declare the command and its arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Run it and return the exit status."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; 4 for input that cannot be used, told in one line."""
    parser = argparse.ArgumentParser(prog="pytest-trtcheck", description="Commands beside pytest --trtcheck")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in COMMANDS:
        command = cast("Command", import_module(f"{__name__}.{name}"))
        command.add_parser(commands).set_defaults(run=command.run)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as end:
        # argparse ends with 2 for wrong usage, which here means an interrupted run.
        return USAGE_STATUS if end.code else 0
    try:
        status: int = options.run(options)
    except TrtcheckError as error:
        print(f"pytest-trtcheck: {error}", file=sys.stderr)
        return USAGE_STATUS
    return status
