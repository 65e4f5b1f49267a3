"""``TEST-trtcheck.xml`` in the xunit2 dialect, which GitLab, Jenkins, Azure and strict validators all read.

Identity is class name and name, both stable from run to run; properties stand at the suites only; reasons are in
the ``message`` attribute, because that is all that Jenkins shows of a skipped test. No host name is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.report import Outcome, Reason, Result, RunReport
from pytest_trtcheck.report.sections import REASON_WORDS, describe_waived
from pytest_trtcheck.report.text import one_line, truncate
from pytest_trtcheck.report.xml import parse_xml

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_BODY_BYTES = 16 * 1024
MAX_BODY_LINES = 200
"""GitLab refuses files beyond 30 MB: with these, 1,500 failures stay under it."""

_NO_IDENTIFIER = re.compile(r"[^a-z0-9]+")


def render_junit(report: RunReport) -> str:
    """Return the report as JUnit XML: one suite element per suite, one test case per planned check."""
    junit = _junitparser()
    properties = suite_properties(report)
    root = junit.xunit2.JUnitXml("pytest-trtcheck")
    names = _Names()
    for name, results in _by_suite(report.results).items():
        suite = junit.xunit2.TestSuite(one_line(name) or "unnamed")
        suite.timestamp = one_line(report.started)
        for key, value in properties:
            suite.add_property(key, value)
        suite.add_testcases([_test_case(result, names.of(result)) for result in results])
        root.add_testsuite(suite)
    root.update_statistics()
    return _indented(root.tostring())


def suite_properties(report: RunReport) -> list[tuple[str, str]]:
    """Return the properties of every suite: the verdict, what judged, and one per row of the stack table.

    They are for pytest's own ``--junitxml`` too.
    """
    pairs = [
        ("trtcheck.verdict", report.verdict.value),
        ("trtcheck.verdict_reasons", "; ".join(report.verdict_reasons)),
        ("trtcheck.version", report.tool_version),
        ("trtcheck.profile", report.profile),
        ("trtcheck.level", report.level),
        ("trtcheck.fail_on", report.fail_on),
        ("trtcheck.matrix.date", report.matrix.date),
        ("trtcheck.matrix.digest", report.matrix.digest),
        *([("trtcheck.image", report.stack.name)] if report.stack.kind == "image" else []),
        *((f"trtcheck.stack.{identifier(row.component)}", row.version) for row in report.table),
    ]
    return [(name, one_line(value)) for name, value in pairs]


def class_name(result: Result) -> str:
    """Return ``trtcheck.<suite>.<group>``; the group is the family in the id, DRV of TRC-DRV-001, else the suite."""
    suite = identifier(result.suite)
    parts = result.check_id.split("-")
    group = identifier(parts[1]) if len(parts) > 2 else suite
    return f"trtcheck.{suite}.{group}"


def skip_message(result: Result) -> str:
    """Return code and words of why a check did not run."""
    reason = result.reason or Reason.SKIPPED
    return f"{reason.value}: {one_line(result.message) or REASON_WORDS[reason]}"


def _junitparser() -> Any:
    """Return the library, loaded on first use; Any, because only some of its releases come with types."""
    import junitparser
    import junitparser.xunit2

    return junitparser


def _indented(xml: bytes) -> str:
    """Return the document with a line per element, the same whether junitparser found lxml or not."""
    from xml.etree import ElementTree as ET

    tree = parse_xml(xml)
    for suite in tree:
        # The schema of Jenkins' xUnit plugin takes three decimals and no exponent; a sum of floats has more.
        suite.set("time", f"{float(suite.get('time', '0')):.3f}")
    tree.set("time", f"{float(tree.get('time', '0')):.3f}")
    ET.indent(tree, " ")
    body = ET.tostring(tree, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def identifier(text: str) -> str:
    """Return a text as one part of a dotted name."""
    return _NO_IDENTIFIER.sub("_", one_line(text, 100).lower()).strip("_") or "unnamed"


def _by_suite(results: Iterable[Result]) -> dict[str, list[Result]]:
    suites: dict[str, list[Result]] = {}
    for result in results:
        suites.setdefault(result.suite, []).append(result)
    return suites


class _Names:
    """Gives out names that are unique within their class name: GitLab keeps the first of two and drops the other."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], int] = {}

    def of(self, result: Result) -> str:
        group, name = class_name(result), one_line(result.name) or "unnamed"
        unique = name
        while (group, unique) in self._given:
            self._given[group, name] += 1
            unique = f"{name} #{self._given[group, name]}"
        self._given[group, unique] = 1
        return unique


def _test_case(result: Result, name: str) -> Any:
    case = _junitparser().xunit2.TestCase(name, class_name(result), round(max(result.seconds, 0.0), 3))
    ending = _ending(result)
    if ending is not None:
        case.append(ending)
    elif result.text:
        case.system_out = truncate(result.text, MAX_BODY_BYTES, MAX_BODY_LINES)
    return case


def _ending(result: Result) -> Any:
    """Return the element that says how the check ended; None when it passed."""
    if result.outcome is Outcome.PASSED:
        return None
    junit = _junitparser()
    if result.waiver is not None:
        # As a skip: a consumer that shows a failure would be red where the run is accepted.
        element = junit.Skipped(f"waived: {one_line(describe_waived(result))}", "waived")
    elif result.reason is not None:
        element = junit.Skipped(skip_message(result), result.reason.value)
    else:
        kind = junit.Failure if result.outcome is Outcome.FAILED else junit.Error
        element = kind(one_line(result.message) or f"{result.outcome.value}, without a message", result.check_id)
    if result.text:
        element.text = truncate(result.text, MAX_BODY_BYTES, MAX_BODY_LINES)
    return element
