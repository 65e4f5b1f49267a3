"""The formats of a report: their names, their files, and how they are chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.report.json_report import to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_trtcheck.model.report import RunReport


@dataclass(frozen=True)
class Renderer:
    """One format of the report. A new one is a line in ``ALL``."""

    name: str
    file_name: str
    render: Callable[[RunReport], str]


# Renderers are imported when they are used: reading the options of a run needs their names only.


def _junit(report: RunReport) -> str:
    from pytest_trtcheck.report.junit import render_junit

    return render_junit(report)


def _markdown(report: RunReport) -> str:
    from pytest_trtcheck.report.markdown import render_markdown

    return render_markdown(report)


def _html(report: RunReport) -> str:
    from pytest_trtcheck.report.html import render_html

    return render_html(report)


def _sarif(report: RunReport) -> str:
    from pytest_trtcheck.report.sarif import render_sarif

    return render_sarif(report)


def _ctrf(report: RunReport) -> str:
    from pytest_trtcheck.report.ctrf import render_ctrf

    return render_ctrf(report)


def _gitlab(report: RunReport) -> str:
    from pytest_trtcheck.report.gitlab import render_gitlab

    return render_gitlab(report)


def _summary(report: RunReport) -> str:
    from pytest_trtcheck.report.github import render_step_summary

    return render_step_summary(report)


def _annotations(report: RunReport) -> str:
    from pytest_trtcheck.report.github import render_annotations

    return render_annotations(report)


def _nagios(report: RunReport) -> str:
    from pytest_trtcheck.report.short import render_nagios

    return render_nagios(report)


def _termination(report: RunReport) -> str:
    from pytest_trtcheck.report.short import render_termination

    return render_termination(report)


DEFAULT: tuple[Renderer, ...] = (
    Renderer("json", "report.json", to_json),
    Renderer("junit", "TEST-trtcheck.xml", _junit),
    Renderer("markdown", "report.md", _markdown),
    Renderer("html", "report.html", _html),
)
"""What every run writes, in the order of writing: what all the others can be made from again comes first."""

ALL: tuple[Renderer, ...] = (
    *DEFAULT,
    Renderer("sarif", "report.sarif", _sarif),
    Renderer("ctrf", "ctrf-report.json", _ctrf),
    Renderer("gitlab", "gl-code-quality-report.json", _gitlab),
    Renderer("github-summary", "github-step-summary.md", _summary),
    Renderer("github-annotations", "github-annotations.txt", _annotations),
    Renderer("nagios", "nagios.txt", _nagios),
    Renderer("kubernetes", "termination-log.txt", _termination),
)

_GROUPS = {"default": DEFAULT, "all": ALL}


def choose_formats(text: str, option: str) -> tuple[Renderer, ...]:
    """Return the formats of a list such as ``default,sarif``, in the order of writing; the JSON is always among them.

    OptionError for a name that is none.
    """
    chosen = {"json"}
    known = {renderer.name: (renderer,) for renderer in ALL} | _GROUPS
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in known:
            raise OptionError(f"{option}: expected a list of {', '.join(known)}, found {name[:60]!r}")
        chosen.update(renderer.name for renderer in known[name])
    return tuple(renderer for renderer in ALL if renderer.name in chosen)
