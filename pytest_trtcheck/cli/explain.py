"""``explain [ID]``: what a check asks, what to do when it fails, and its source."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.rules.catalogue import load_catalogue

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("explain", help="Print what a check asks, what to do when it fails, and its source")
    parser.add_argument("id", nargs="?", metavar="ID", help="Check id such as TRC-DRV-001; without it, all are listed")
    return parser


def run(options: argparse.Namespace) -> int:
    """Print one check, or the list of all."""
    print(_one(options.id) if options.id else _all())
    return 0


def _all() -> str:
    return "\n".join(f"{check.id}  {check.title}" for check in load_catalogue().values())


def _one(check_id: str) -> str:
    catalogue = load_catalogue()
    check = catalogue.get(check_id.upper())
    if check is None:
        near = get_close_matches(check_id.upper(), catalogue, n=1)
        raise OptionError(f"no check has the id {check_id!r}{f'; did you mean {near[0]}?' if near else ''}")
    fields = {"severity": check.severity.value, "question": check.question, "remedy": check.remedy}
    fields["source"] = check.source
    return "\n".join([f"{check.id}: {check.title}", *(f"  {name:<9} {text}" for name, text in fields.items())])
