"""Commands beside pytest: ``python -m pytest_trtcheck …`` or ``pytest-trtcheck …``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from pytest_trtcheck import __version__
from pytest_trtcheck.errors import OptionError, TrtcheckError

USAGE_STATUS = 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, or 4 for input that cannot be used."""
    parser = argparse.ArgumentParser(prog="pytest-trtcheck", description="Checks of pytest --trtcheck, explained")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    explain = commands.add_parser("explain", help="Print what a check asks, what to do when it fails, and its source")
    explain.add_argument("id", nargs="?", metavar="ID", help="Check id such as TRC-DRV-001; without it, all are listed")
    options = parser.parse_args(arguments)
    try:
        print(_explain(options.id))
    except TrtcheckError as error:
        print(f"pytest-trtcheck: {error}", file=sys.stderr)
        return USAGE_STATUS
    return 0


def _explain(check_id: str | None) -> str:
    from pytest_trtcheck.rules.catalogue import load_catalogue

    catalogue = load_catalogue()
    if check_id is None:
        return "\n".join(f"{check.id}  {check.title}" for check in catalogue.values())
    check = catalogue.get(check_id.upper())
    if check is None:
        near = get_close_matches(check_id.upper(), catalogue, n=1)
        raise OptionError(f"no check has the id {check_id!r}{f'; did you mean {near[0]}?' if near else ''}")
    lines = {
        "severity": check.severity.value,
        "question": check.question,
        "remedy": check.remedy,
        "source": check.source,
    }
    return "\n".join([f"{check.id}: {check.title}", *(f"  {name:<9} {text}" for name, text in lines.items())])
