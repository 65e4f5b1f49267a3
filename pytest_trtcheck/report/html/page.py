"""The page as a whole: its parts in order, its style, its script, and the policy that lets in nothing else."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from pytest_trtcheck.report.html import changes, charts, checks, findings, timeline
from pytest_trtcheck.report.html.element import Html, asset, element, join
from pytest_trtcheck.report.html.parts import pairs, section
from pytest_trtcheck.report.sections import describe_isolation, describe_matrix
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_trtcheck.model.report import RunReport

_NAMES = (
    ("verdict", "Verdict"),
    ("stack", "Stack"),
    ("findings", "Findings"),
    ("waived", "Waived"),
    ("difference", "Baseline"),
    ("support", "Providers"),
    ("errors", "Errors"),
    ("measured", "Measured"),
    ("timeline", "Timeline"),
    ("slowest", "Slowest"),
    ("notrun", "Not run"),
    ("unseen", "Not looked at"),
    ("checks", "All checks"),
    ("run", "Run"),
)


def render_html(report: RunReport) -> str:
    """Return the report as one HTML document that needs no other file and no network."""
    sections = {
        "verdict": findings.verdict(report),
        "stack": findings.stack_table(report.table),
        "findings": findings.findings(report),
        "waived": changes.waived(report),
        "difference": changes.difference(report.difference),
        "support": checks.heat_maps(report),
        "errors": charts.error_plots(report.results),
        "measured": charts.measurements(report),
        "timeline": timeline.timeline(report),
        "slowest": checks.slowest(report.results),
        "notrun": checks.not_run(report.results),
        "unseen": findings.not_looked_at(report.not_looked_at),
        "checks": checks.all_checks(report),
        "run": _identity(report),
    }
    return document(f"trtcheck: {report.verdict.value}, {report.stack.name}", sections, dict(_NAMES))


def document(title: str, sections: Mapping[str, Html], names: Mapping[str, str]) -> str:
    """Return a page of these sections, by their ids, without those that are empty; ``names`` lead to the others."""
    present = {name: content for name, content in sections.items() if content}
    body = element(
        "body",
        element("a", "To the checks", href="#checks", class_="skip"),
        _navigation({name: names[name] for name in present}),
        element("main", *present.values()),
        asset("script", _asset("script.js")),
    )
    page = element("html", _head(title), body, lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _head(title: str) -> Html:
    style, script = _asset("style.css"), _asset("script.js")
    policy = f"default-src 'none'; style-src '{_hash(style)}' '{_hash(_WITHOUT_SCRIPT)}'; script-src '{_hash(script)}'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", one_line(title, 200)),
        asset("style", style),
        element("noscript", asset("style", _WITHOUT_SCRIPT)),
    )


_WITHOUT_SCRIPT = "tbody[hidden]{display:table-row-group}#theme{display:none}"


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _navigation(names: Mapping[str, str]) -> Html:
    links = [element("a", title, href=f"#{name}") for name, title in names.items()]
    theme = element("button", "Light or dark", type="button", id="theme")
    return element("nav", *links, theme, aria_label="Sections")


def _identity(report: RunReport) -> Html:
    """Return what was run, how, and by what it was judged."""
    entries = [
        ("Tool", f"pytest-trtcheck {one_line(report.tool_version)}"),
        ("Stack", f"{one_line(report.stack.kind)} {one_line(report.stack.name)}"),
        ("Profile", one_line(report.profile)),
        ("Level", one_line(report.level)),
        ("Fails on", one_line(report.fail_on)),
        ("Matrix", one_line(describe_matrix(report.matrix), 2000)),
        ("Checks ran", one_line(describe_isolation(report.isolation))),
        ("Started", one_line(report.started)),
        ("Took", f"{report.seconds:.1f} s"),
        ("Seed", "" if report.seed is None else str(report.seed)),
        ("Exit status", str(report.exit_status)),
        ("Merged from", ", ".join(one_line(name, 100) for name in report.merged[:20])),
        ("Masked", "host, user, home, GPU and secrets" if report.redacted else "nothing"),
    ]
    return section("run", "Run", join([pairs(entries)]))
