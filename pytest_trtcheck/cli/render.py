"""``render DIR``: write all reports of a run again; of one that was killed, from its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser("render", help="Write all reports of a run again, also of one that was killed")
    parser.add_argument("folder", metavar="DIR", type=Path, help="Report folder of the run")
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the reports; the exit status is the one of the run."""
    from pytest_trtcheck.report.write import write_reports
    from pytest_trtcheck.session.rebuild import report_of

    report = report_of(options.folder)
    for path in write_reports(report, options.folder).values():
        print(path)
    print(f"verdict: {report.verdict.value.upper()}: {'; '.join(report.verdict_reasons)}")
    return report.exit_status
