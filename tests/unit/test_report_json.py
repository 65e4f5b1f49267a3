"""``report.json``: written for any reader, read back strictly."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.model.codec import MAX_TEXT_CHARACTERS
from pytest_trtcheck.model.report import Outcome, Result, RunReport
from pytest_trtcheck.report import json_report
from pytest_trtcheck.report.json_report import (
    from_json,
    read_report,
    result_from_dict,
    result_to_dict,
    stack_from_dict,
    stack_to_dict,
    to_json,
)
from tests.golden.sample import sample_report, sample_stack


def plain_report() -> RunReport:
    """Return a report without lone surrogates and overlong texts, which are the only things that change."""
    report = sample_report()
    stack = replace(report.stack, facts={key: fact for key, fact in report.stack.facts.items() if key != "nccl"})
    return replace(
        report,
        stack=stack,
        table=report.table[:9],
        findings=report.findings[:5],
        results=report.results[:5],
        support=report.support[:3],
        verdict_reasons=("\x1b[31m \u202e | é",),
        isolation=replace(report.isolation, notes=()),
        checks=report.checks[:1],
        locations=report.locations[:1],
        waivers=report.waivers[:1],
        difference=None,
        merged=(),
        not_looked_at=(),
    )


def test_report_survives_a_round_trip() -> None:
    report = plain_report()
    assert from_json(to_json(report)) == report


def test_hostile_report_is_the_same_after_a_second_round() -> None:
    once = from_json(to_json(sample_report()))
    assert from_json(to_json(once)) == once


def test_schema_version_is_the_first_key_and_the_document_is_ascii() -> None:
    text = to_json(sample_report())
    assert text.startswith('{\n "schema_version": 3,\n')
    assert text.isascii()
    assert text.endswith("}\n")


def test_order_in_which_facts_were_read_does_not_show() -> None:
    report = plain_report()
    turned = replace(report, stack=replace(report.stack, facts=dict(list(report.stack.facts.items())[::-1])))
    assert list(turned.stack.facts) != list(report.stack.facts)
    assert to_json(turned) == to_json(report)


def test_overlong_text_is_cut_to_what_can_be_read_back() -> None:
    result = Result("n", "c", "s", "i", Outcome.ERROR, text="é" * 1_000_000)
    text = result_from_dict(result_to_dict(result)).text
    assert 10_000 < len(text) <= MAX_TEXT_CHARACTERS
    assert "characters left out" in text


def test_stack_and_result_travel_alone() -> None:
    stack = plain_report().stack
    assert stack_from_dict(stack_to_dict(stack)) == stack
    result = sample_report().results[0]
    assert result_from_dict(result_to_dict(result)) == result


def test_refused_part_is_named() -> None:
    value = stack_to_dict(sample_stack())
    value["gpus"][0]["index"] = "first"
    with pytest.raises(ReportError, match=r"^report stack\.gpus\[0\]\.index: expected a whole number, found 'first'$"):
        stack_from_dict(value)
    with pytest.raises(ReportError, match=r"^report result: expected an object, found null$"):
        result_from_dict(None)


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(to_json(plain_report())), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "report line 1 column 1: expected JSON, found 'Expecting value'"),
        ('{\n "a": }', "report line 2 column 7: expected JSON, found 'Expecting value'"),
        ("[]", "report schema_version: expected a whole number from 1 to 3, found null; name a report.json"),
        ("{}", "report schema_version: expected a whole number from 1 to 3, found null; name a report.json"),
        ('{"schema_version": true}', "report schema_version: expected a whole number from 1 to 3, found true;"),
        ('{"schema_version": 0}', "report schema_version: expected a whole number from 1 to 3, found 0;"),
        (
            '{"schema_version": 4, "novelty": 1}',
            "report schema_version: expected at most 3, found 4; a newer pytest-trtcheck wrote this report: upgrade",
        ),
        ('{"schema_version": 2, "a": NaN}', "report (top level): expected finite numbers, found NaN"),
        ('{"a": 1, "a": 2}', "report (top level): expected every key once, found 'a' twice in one object"),
        ("[" * 100_000, "report (top level): expected JSON of a sane size, found"),
        ('{"a": ' + "1" * 5000 + "}", "report (top level): expected JSON of a sane size, found"),
        (changed(exit_status="0"), "report exit_status: expected a whole number, found '0'"),
        (changed(seconds=1e300)[:-1] + ', "matrix": 1e999}', "report (top level): expected every key once"),
        (changed(matrix=1), "report matrix: expected an object, found 1"),
        (changed(table=[{}]), "report table[0].component: expected a value, found no such key"),
        (changed(verdict="fine"), "report verdict: expected one of accepted, rejected, inconclusive, found 'fine'"),
    ],
)
def test_document_that_does_not_fit_is_refused_on_one_line(text: str, message: str) -> None:
    with pytest.raises(ReportError) as caught:
        from_json(text)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
DOCUMENT = to_json(plain_report())


@given(value=VALUES, data=st.data())
def test_any_value_anywhere_is_read_or_refused_on_one_line(value: Any, data: st.DataObject) -> None:
    document = json.loads(DOCUMENT)
    holder, key = document, "stack"
    for _ in range(data.draw(st.integers(0, 5))):
        inner = holder[key]
        if not isinstance(inner, (dict, list)) or not inner:
            break
        holder, key = inner, data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
    holder[key] = value
    report = read(json.dumps(document))
    if isinstance(report, RunReport):
        once = from_json(to_json(report))
        assert from_json(to_json(once)) == once
    else:
        assert re.fullmatch(r"report .+: expected .+", report)


def read(text: str) -> RunReport | str:
    try:
        return from_json(text)
    except ReportError as error:
        return str(error)


@given(text=st.text() | st.text(alphabet='{}[]":,1e "schema_version'))
def test_any_text_is_refused_with_our_error(text: str) -> None:
    with pytest.raises(ReportError, match=r"^report .+: expected"):
        from_json(text)


def test_document_beyond_the_bound_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_report, "MAX_DOCUMENT_CHARACTERS", 10)
    with pytest.raises(ReportError, match=r"expected at most 10 characters, found 11"):
        from_json("x" * 11)


def test_report_of_a_file_comes_with_the_version_of_the_file(tmp_path: Path) -> None:
    older = Path(__file__).parents[1] / "golden" / "report-schema-1.json"
    stored = read_report(older)
    assert (stored.path, stored.schema_version, stored.report.schema_version) == (older, 1, 3)
    path = tmp_path / "report.json"
    path.write_text(to_json(sample_report()), encoding="utf-8")
    assert (read_report(path).schema_version, read_report(path).report.verdict) == (3, sample_report().verdict)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{"schema_version": 2, "tool_ver', "report line 1 column 23: expected JSON, found 'Unterminated string"),
        (b"", "report line 1 column 1: expected JSON"),
        (b"\xff\xfe", "expected a report.json in UTF-8, found other bytes"),
        (b'{"reportFormat": "CTRF"}', "report schema_version: expected a whole number from 1 to 3, found null; name a"),
        (b'{"schema_version": 2, "errors": []}', "report errors: expected one of the keys tool_version, "),
        (b'{"schema_version": 9}', "report schema_version: expected at most 3, found 9; a newer pytest-trtcheck"),
    ],
)
def test_file_that_is_no_report_is_told_in_one_line_with_its_name(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "shard 1.json"
    path.write_bytes(data)
    with pytest.raises(ReportError) as caught:
        read_report(path)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "words"), [("absent.json", "No such file or directory"), (".", "Is a directory")])
def test_file_that_cannot_be_opened_is_told_with_its_name(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ReportError, match=f"^{re.escape(str(tmp_path / name))}: {words}$"):
        read_report(tmp_path / name)
