"""The JUnit file: read back with junitparser, and held to the attributes of pytest's xunit2 family."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from pytest_trtcheck.model.report import Outcome, Reason, Result
from pytest_trtcheck.report.junit import MAX_BODY_BYTES, MAX_BODY_LINES, class_name, render_junit, suite_properties
from tests.golden.sample import HOSTILE, MEGABYTE, STARTED, sample_report

# Element: required attributes, optional attributes, children in the order in which they may come.
XUNIT2: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors", "time"}, set(), ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
        set(),
        ["properties", "testcase"],
    ),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, set(), []),
    "testcase": ({"name", "classname", "time"}, set(), ["skipped", "error", "failure", "system-out"]),
    "skipped": ({"message", "type"}, set(), []),
    "failure": ({"message", "type"}, set(), []),
    "error": ({"message", "type"}, set(), []),
    "system-out": (set(), set(), []),
}


def rendered(*results: Result) -> ET.Element:
    report = sample_report()
    return ET.fromstring(render_junit(replace(report, results=results) if results else report))


def result(outcome: Outcome = Outcome.PASSED, **fields: Any) -> Result:
    return Result("TRC-DRV-001-torch", "TRC-DRV-001", "stack", "a.py::test_a", outcome, **fields)


def faults(element: ET.Element) -> list[str]:
    """Return what an element and those below it have that the xunit2 family does not know."""
    required, optional, children = XUNIT2[element.tag]
    have = set(element.attrib)
    order = [children.index(child.tag) if child.tag in children else -1 for child in element]
    found = [f"{element.tag}: attributes {sorted(have)}"] if not required <= have <= required | optional else []
    found += (
        [f"{element.tag}: children {[child.tag for child in element]}"] if -1 in order or order != sorted(order) else []
    )
    return found + [fault for child in element for fault in faults(child)]


def test_file_holds_nothing_that_xunit2_does_not_know() -> None:
    assert faults(rendered()) == []


def test_check_of_the_dialect_can_fail() -> None:
    root = rendered()
    root[0].set("hostname", "h")
    root[0].append(ET.Element("properties"))
    assert len(faults(root)) == 2


def test_every_planned_check_is_present_once_with_its_outcome() -> None:
    import junitparser.xunit2

    report = sample_report()
    xml = junitparser.xunit2.JUnitXml.fromstring(render_junit(report).encode())
    kinds = {junitparser.Failure: "failed", junitparser.Error: "error", junitparser.Skipped: "not_run"}
    outcomes = [kinds[type(case.result[0])] if case.result else "passed" for suite in xml for case in suite]
    assert outcomes == [result.outcome.value if result.waiver is None else "not_run" for result in report.results]
    identities = [(case.classname, case.name) for suite in xml for case in suite]
    assert len(set(identities)) == len(report.results)
    assert (xml.tests, xml.failures, xml.errors) == (26, 5, 2)


def test_waived_failure_is_a_skip_that_says_who_answers_for_it() -> None:
    (suite,) = (suite for suite in rendered() if suite.attrib["name"] == "attention")
    (case,) = (case for case in suite if case.attrib.get("name") == "TRC-ATT-002-fp16-hd256")
    message = case.find("skipped").attrib["message"]  # type: ignore[union-attr]
    assert message.startswith("waived: failed: root mean square 0.02, allowed 0.01")
    assert "serving@example.org, until 2026-12-31" in message


def test_counts_of_each_suite_add_up() -> None:
    for suite in rendered():
        cases = suite.findall("testcase")
        assert int(suite.attrib["tests"]) == len(cases)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.attrib[attribute]) == sum(case.find(tag) is not None for case in cases)


def test_time_and_timestamp_are_always_set() -> None:
    (suite,) = rendered(result(), result(seconds=1.23456), result(seconds=1e-9), result(seconds=-1))
    assert suite.attrib["timestamp"] == STARTED
    assert [case.attrib["time"] for case in suite.findall("testcase")] == ["0.0", "1.235", "0.0", "0.0"]


@pytest.mark.parametrize("reason", Reason)
def test_skipped_check_tells_code_and_words_in_its_message(reason: Reason) -> None:
    (suite,) = rendered(
        result(Outcome.NOT_RUN, reason=reason), result(Outcome.NOT_RUN, reason=reason, message="so\nit is")
    )
    plain, worded = (element.attrib["message"] for element in suite.iter("skipped"))
    assert plain.startswith(f"{reason.value}: ")
    assert len(plain) > len(reason.value) + 3
    assert worded == f"{reason.value}: so it is"


@pytest.mark.parametrize(("outcome", "tag"), [(Outcome.FAILED, "failure"), (Outcome.ERROR, "error")])
def test_broken_check_has_its_message_and_its_text(outcome: Outcome, tag: str) -> None:
    (suite,) = rendered(result(outcome, message="short", text="long\ntext"), result(outcome))
    first, second = suite.iter(tag)
    assert (first.attrib["message"], first.text) == ("short", "long\ntext")
    assert second.attrib["message"] == f"{outcome.value}, without a message"


def test_long_text_is_truncated_in_bytes_and_lines() -> None:
    (suite,) = rendered(result(Outcome.FAILED, message=MEGABYTE, text=MEGABYTE))
    failure = next(suite.iter("failure"))
    assert len(failure.attrib["message"]) <= 500
    assert failure.text is not None
    assert len(failure.text.encode()) <= MAX_BODY_BYTES
    assert failure.text.count("\n") < MAX_BODY_LINES
    assert failure.text.endswith("last line: CUDA error 35")


def test_hostile_text_stays_text() -> None:
    (suite,) = rendered(result(Outcome.FAILED, message=HOSTILE, text=HOSTILE))
    failure = next(suite.iter("failure"))
    assert failure.text is not None
    for text in (failure.attrib["message"], failure.text):
        assert "<script>alert(1)</script>" in text
        assert "]]> &amp; #" in text
        assert "red  nul bell" in text or "red nul bell" in text
        assert "<U+202E>ltr<U+200B> \ufffd <U+FFFE>" in text


@pytest.mark.parametrize(
    ("check_id", "suite", "expected"),
    [
        ("TRC-DRV-001", "stack", "trtcheck.stack.drv"),
        ("TRC-ATT-017", "attention", "trtcheck.attention.att"),
        ("own", "Our own suite", "trtcheck.our_own_suite.our_own_suite"),
        ("", "", "trtcheck.unnamed.unnamed"),
        ("TRC-a.b-1", "x.y", "trtcheck.x_y.a_b"),
    ],
)
def test_class_name_has_three_parts(check_id: str, suite: str, expected: str) -> None:
    assert class_name(replace(result(), check_id=check_id, suite=suite)) == expected


def test_properties_tell_verdict_matrix_and_stack() -> None:
    properties = dict(suite_properties(sample_report()))
    assert properties["trtcheck.verdict"] == "rejected"
    assert properties["trtcheck.matrix.digest"] == "0a1b2c3d4e5f"
    assert properties["trtcheck.profile"] == "auto"
    assert properties["trtcheck.level"] == "quick"
    assert properties["trtcheck.version"] == "0.1.0"
    assert properties["trtcheck.stack.cudnn"] == "9.24.0.43"
    assert properties["trtcheck.stack.tensorrt_llm"] == "absent"


def test_every_suite_carries_the_properties_and_no_case_does() -> None:
    root = rendered()
    expected = suite_properties(sample_report())
    for suite in root:
        have = [(item.attrib["name"], item.attrib["value"]) for item in suite.findall("properties/property")]
        assert have == expected
    assert root.findall("testsuite/testcase/properties") == []


def test_run_without_checks_gives_an_empty_document() -> None:
    root = ET.fromstring(render_junit(replace(sample_report(), results=())))
    assert (root.attrib["tests"], len(root)) == ("0", 0)


def test_times_have_three_decimals_as_the_schema_of_jenkins_wants_them() -> None:
    root = rendered(*(replace(result(), name=str(number), seconds=0.1) for number in range(3)))
    for element in (root, root[0]):
        assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    assert root.attrib["time"] == "0.300"


def test_checks_of_one_name_are_told_apart() -> None:
    (suite,) = rendered(*[result()] * 3)
    assert [case.attrib["name"] for case in suite.iter("testcase")] == [
        "TRC-DRV-001-torch",
        "TRC-DRV-001-torch #2",
        "TRC-DRV-001-torch #3",
    ]
