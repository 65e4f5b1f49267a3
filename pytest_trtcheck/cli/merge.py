"""``merge INPUT…``: many reports side by side as a compatibility matrix, or the shards of one run as one run again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError, ReportError

if TYPE_CHECKING:
    import argparse

    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.comparison.sheet import Unreadable
    from pytest_trtcheck.comparison.sources import Source
    from pytest_trtcheck.model.compatibility import Compatibility

DEFAULT_FOLDER = "trtcheck-merged"
_MATRIX_FORMATS = ("json", "junit", "markdown", "html")


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    from pytest_trtcheck.report.matrix_words import ROWS

    parser = commands.add_parser(
        "merge",
        help="Merge reports: into a compatibility matrix of stacks by checks, or shards into one run",
        description="Lay reports side by side, a column for each stack. With --shards, make one run of the parts of "
        "one. Exit status: 0 all stacks accepted, 1 any rejected, 10 otherwise, 4 for input that cannot be used.",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT",
        help="Report, folder of reports, glob, or address such as s3://bucket/runs (with fsspec)",
    )  # fmt: skip
    parser.add_argument("--into", metavar="DIR", type=Path, default=Path(DEFAULT_FOLDER),
                        help=f"Folder to write to (default: {DEFAULT_FOLDER})")  # fmt: skip
    parser.add_argument("--shards", action="store_true", help="The reports are parts of one run: make them one report")
    parser.add_argument("--format", metavar="LIST", default="default",
                        help=f"What to write: {', '.join(_MATRIX_FORMATS)}; with --shards as for render "
                        "(default: default, which is these four)")  # fmt: skip
    parser.add_argument("--rows", metavar="LIST", default=",".join(ROWS),
                        help=f"Rows of Markdown and HTML (default: {','.join(ROWS)})")  # fmt: skip
    parser.add_argument("--by", metavar="LIST", default="",
                        help="Facts that tell stacks apart, such as gpu,driver,torch (default: image, GPU, driver and "
                        "key versions)")  # fmt: skip
    parser.add_argument(
        "--profile", metavar="NAME", default="",
        help="With --shards: profile to judge by, where it is a file (default: that of the shards)",
    )  # fmt: skip
    parser.add_argument(
        "--skip-unreadable", action="store_true",
        help="Leave out reports that cannot be read; the matrix names them and is not accepted",
    )  # fmt: skip
    parser.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count() or 1,
                        help="Processes that read reports (default: one for each core)")  # fmt: skip
    parser.add_argument(
        "--no-redact", action="store_true", help="Leave in what stored reports hold of names and secrets"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Merge and write; the exit status follows the verdict."""
    from pytest_trtcheck.comparison.sources import find_sources
    from pytest_trtcheck.report.redact import masker_of

    # Before they are shortened: what is left of /home/NAME/runs is no home any more.
    sources = find_sources(options.inputs, masker_of(options.no_redact))
    return _merge_shards(options, sources) if options.shards else _merge_stacks(options, sources)


def _merge_shards(options: argparse.Namespace, sources: list[Source]) -> int:
    from pytest_trtcheck.comparison.shards import merge_shards
    from pytest_trtcheck.report.formats import choose_formats
    from pytest_trtcheck.report.redact import masker_of, redactor_of
    from pytest_trtcheck.report.write import check_writable, write_reports
    from pytest_trtcheck.rules.catalogue import load_catalogue
    from pytest_trtcheck.rules.profiles import load_profile

    if options.skip_unreadable:
        raise OptionError("--skip-unreadable: a run without one of its shards is not that run; leave out --shards")
    formats = choose_formats(options.format, "--format")
    named = [(source.name, source.read()) for source in sources]
    profile = options.profile or named[0][1].profile
    try:
        known = load_profile(profile)
    except OptionError as error:
        raise OptionError(f"--profile: {error}; name the file that the shards were run with") from error
    report, told = merge_shards(named, known, load_catalogue())
    report = redactor_of(options.no_redact)(report)
    check_writable(options.into, "--into")
    for words in told:
        print(masker_of(options.no_redact)(words))
    for path in write_reports(report, options.into, formats).values():
        print(path)
    print(f"{len(report.merged)} shards, {len(report.results)} checks")
    print(f"verdict: {report.verdict.value.upper()}: {'; '.join(report.verdict_reasons)}")
    return report.exit_status


def _merge_stacks(options: argparse.Namespace, sources: list[Source]) -> int:
    from pytest_trtcheck.comparison.build import Builder
    from pytest_trtcheck.comparison.sheet import KEYS, Unreadable, read_sheets
    from pytest_trtcheck.report.matrix_words import ROWS, summary
    from pytest_trtcheck.report.write import check_writable, write_texts
    from pytest_trtcheck.verdict.run import status_of

    keys = _listed(options.by, "--by", _known_facts()) or list(KEYS)
    rows = _listed(options.rows, "--rows", ROWS)
    formats = _listed(options.format.replace("default", ",".join(_MATRIX_FORMATS)), "--format", _MATRIX_FORMATS)
    builder = Builder()
    unreadable = []
    for sheet in read_sheets(sources, keys, max(options.jobs, 1)):
        if isinstance(sheet, Unreadable):
            unreadable.append(sheet)
        else:
            builder.add(sheet)
    if unreadable:
        _refuse_or_leave_out(unreadable, builder.left_out, skip=options.skip_unreadable)
    matrix = _masked(builder.build(is_whole=not unreadable), options.no_redact)
    check_writable(options.into, "--into")
    renderers = _renderers(matrix, rows)
    for path in write_texts({name: renderers[name] for name in formats}, options.into):
        print(path)
    for line in matrix.left_out:
        print(f"not counted: {line}")
    print(f"{summary(matrix)}\nverdict: {matrix.verdict.value.upper()}")
    return status_of(matrix.verdict)


def _known_facts() -> tuple[str, ...]:
    from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES

    return ("image", *PLATFORM_TITLES, *BY_KEY)


def _listed(text: str, option: str, known: tuple[str, ...]) -> list[str]:
    names = list(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    for name in names:
        if name not in known:
            raise OptionError(f"{option}: expected a list of {', '.join(known)}, found {name[:60]!r}")
    return names


def _refuse_or_leave_out(unreadable: list[Unreadable], left_out: list[str], *, skip: bool) -> None:
    if not skip:
        rest = len(unreadable) - 1
        more = f"; {rest} more cannot be read" if rest else ""
        raise ReportError(f"{unreadable[0].words}{more}; --skip-unreadable merges the others and says so")
    left_out += [one.words for one in unreadable]


def _masked(matrix: Compatibility, no_redact: bool) -> Compatibility:
    """Return the matrix with names and secrets masked; places of reports are among what may tell them."""
    from dataclasses import replace

    from pytest_trtcheck.report.redact import masker_of

    return replace(masker_of(no_redact)(matrix), redacted=matrix.redacted or not no_redact)


def _renderers(matrix: Compatibility, rows: list[str]) -> dict[str, tuple[str, Callable[[], str]]]:
    from pytest_trtcheck.report.html.matrix import render_matrix_html
    from pytest_trtcheck.report.matrix_text import matrix_to_json, render_matrix_junit, render_matrix_markdown

    return {
        "json": ("compatibility.json", lambda: matrix_to_json(matrix)),
        "junit": ("TEST-trtcheck-matrix.xml", lambda: render_matrix_junit(matrix)),
        "markdown": ("compatibility.md", lambda: render_matrix_markdown(matrix, rows)),
        "html": ("compatibility.html", lambda: render_matrix_html(matrix, rows)),
    }
