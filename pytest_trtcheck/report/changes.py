"""A difference between two runs on its own: text, JSON, Markdown and HTML."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.report.sections import describe_difference
from pytest_trtcheck.report.text import one_line

if TYPE_CHECKING:
    from pytest_trtcheck.model.difference import Difference

DIFFERENCE_VERSION = 1
"""Of the JSON document."""


def difference_text(difference: Difference, *, color: bool) -> str:
    """Return the difference for a terminal."""
    from pytest_trtcheck.report.terminal import difference_lines

    width = min(shutil.get_terminal_size((100, 24)).columns, 160)
    lines = [one_line(describe_difference(difference), 1000), *difference_lines(difference, width, color=color)]
    return "\n".join([*lines, f"verdict: {_verdict(difference)}"]) + "\n"


def _verdict(difference: Difference) -> str:
    if difference.regressions:
        return f"REGRESSED: {len(difference.regressions)} for the worse"
    return "NO REGRESSION" if difference.compared else "NOTHING COMPARED: no check was judged by both runs"


def difference_to_json(difference: Difference) -> str:
    """Return the difference as a JSON document, ``schema_version`` first."""
    return json.dumps({"schema_version": DIFFERENCE_VERSION, **encode(difference)}, indent=1, allow_nan=False) + "\n"


def render_difference_markdown(difference: Difference) -> str:
    """Return the difference for a merge request."""
    from pytest_trtcheck.report.markdown import difference_blocks, escape

    head = f"# trtcheck: {escape(_verdict(difference).lower())}"
    return "\n\n".join([head, *difference_blocks(difference)]) + "\n"


def render_difference_html(difference: Difference) -> str:
    """Return the difference as one HTML document that needs no other file and no network."""
    from pytest_trtcheck.report.html.changes import difference_body
    from pytest_trtcheck.report.html.page import document
    from pytest_trtcheck.report.html.parts import section

    body = section("difference", one_line(_verdict(difference)), difference_body(difference))
    return document(f"trtcheck: {_verdict(difference).lower()}", {"difference": body}, {"difference": "Changes"})
