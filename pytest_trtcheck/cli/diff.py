"""``diff A B``: what changed between two runs or two images, and whether any of it is for the worse."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.model.difference import Difference

NO_REGRESSION, REGRESSION, NOTHING_COMPARED = 0, 1, 10
_FORMATS = ("text", "json", "markdown", "html")


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    from pytest_trtcheck.model.difference import Aspect

    parser = commands.add_parser(
        "diff",
        help="Tell what changed between two runs: versions, findings, results, errors and times",
        description="Compare run B with the earlier run A. Exit status: 0 no regression, 1 a regression, 10 when the "
        "two have no check in common that both judged, 4 for a report that cannot be read.",
    )
    parser.add_argument("before", metavar="A", help="Report, report folder or address of the earlier run")
    parser.add_argument("after", metavar="B", help="Report, report folder or address of the later run")
    parser.add_argument("--format", choices=_FORMATS, default="text", help="What to print (default: text)")
    names = ",".join(aspect.value for aspect in Aspect)
    parser.add_argument("--ignore", metavar="LIST", default="",
                        help=f"Kinds of regression that are told and do not count, of {names}")  # fmt: skip
    parser.add_argument(
        "--no-redact", action="store_true", help="Leave in what stored reports hold of names and secrets"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the difference and return the exit status."""
    from pytest_trtcheck.comparison.sources import find_sources, short_names
    from pytest_trtcheck.report.redact import masker_of, redactor_of
    from pytest_trtcheck.verdict.difference import compare, side_of

    ignored = _ignored(options.ignore)
    redact = redactor_of(options.no_redact)
    sources = []
    for place in (options.before, options.after):
        found = find_sources([place])
        if len(found) > 1:
            raise OptionError(f"{place}: expected one report, found {len(found)} in it and below")
        sources += found
    # Masked before they are shortened: what is left of /home/NAME/runs is no home any more.
    places = [masker_of(options.no_redact)(source.place) for source in sources]
    names = short_names(places)
    if names[0] == names[1]:
        names = places
    sides = [side_of(redact(source.read()), name) for source, name in zip(sources, names, strict=True)]
    difference = compare(*sides)
    sys.stdout.write(_rendered(difference, options.format))
    if any(change.aspect.value not in ignored for change in difference.regressions):
        return REGRESSION
    return NO_REGRESSION if difference.compared else NOTHING_COMPARED


def _ignored(text: str) -> set[str]:
    from pytest_trtcheck.model.difference import Aspect

    known = [aspect.value for aspect in Aspect]
    names = {part.strip() for part in text.split(",")} - {""}
    for name in sorted(names - set(known)):
        raise OptionError(f"--ignore: expected a list of {', '.join(known)}, found {name[:60]!r}")
    return names


def _rendered(difference: Difference, form: str) -> str:
    from pytest_trtcheck.report import changes

    if form == "text":
        return changes.difference_text(difference, color=sys.stdout.isatty())
    renderers = {
        "json": changes.difference_to_json,
        "markdown": changes.render_difference_markdown,
        "html": changes.render_difference_html,
    }
    return renderers[form](difference)
