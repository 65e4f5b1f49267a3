"""``render DIR``: write all reports of a run again, or print one; of a run that was killed, from its journal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    from pytest_trtcheck.report.formats import ALL

    parser = commands.add_parser(
        "render",
        help="Write all reports of a run again, also of one that was killed, or print one",
        description="Write the reports again, or print one. Exit status: that of the run; of --print nagios, 0 to 3 as "
        "Nagios has them; 4 for a folder without a report.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="Report folder of the run")
    parser.add_argument("--format", metavar="LIST", default="default", help="What to write (default: default)")
    names = [renderer.name for renderer in ALL]
    parser.add_argument("--print", choices=names, metavar="FORMAT", help="Print this format and write nothing")
    parser.add_argument(
        "--no-redact", action="store_true", help="Leave in what stored reports hold of names and secrets"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the reports, or print one; the exit status is the one of the run."""
    from pytest_trtcheck.report.formats import choose_formats
    from pytest_trtcheck.report.redact import redactor_of
    from pytest_trtcheck.report.write import write_reports
    from pytest_trtcheck.session.rebuild import report_of

    formats = choose_formats(options.print or options.format, "--format")
    report = redactor_of(options.no_redact)(report_of(options.folder))
    if options.print:
        (wanted,) = (renderer for renderer in formats if renderer.name == options.print)
        sys.stdout.write(wanted.render(report))
        if options.print == "nagios":
            from pytest_trtcheck.report.short import nagios_status

            return nagios_status(report)
        return report.exit_status
    for path in write_reports(report, options.folder, formats).values():
        print(path)
    print(f"verdict: {report.verdict.value.upper()}: {'; '.join(report.verdict_reasons)}")
    return report.exit_status
