"""Dataclasses to JSON values and back: what is kept, and what is refused with its path."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_trtcheck.errors import ReportError
from pytest_trtcheck.model.codec import MAX_DEPTH, MAX_ITEMS, MAX_TEXT_CHARACTERS, decode, encode
from pytest_trtcheck.model.facts import Copy, Fact, Gpu, Stack, State
from pytest_trtcheck.model.finding import Finding
from pytest_trtcheck.model.report import Outcome, Reason, Result

RESULT: dict[str, Any] = {
    "name": "TRC-X-001-a",
    "check_id": "TRC-X-001",
    "suite": "stack",
    "nodeid": "a.py::test_a",
    "outcome": "passed",
}


def stack_with(details: dict[str, Any]) -> Stack:
    return Stack("host", "made by hand", {"cudnn": Fact("cudnn", State.FOUND, "9.1", details=details)})


def test_stack_survives_a_round_trip_through_json() -> None:
    fact = Fact("cudnn", State.FOUND, copies=(Copy("/a", None, "SONAME", needed=("libc.so.6",)),), chosen=0)
    stack = Stack("host", "x", {"cudnn": fact}, (Gpu(0, "H200", "GPU-1", "9.0"),), probe_seconds={"elf": 0.5})
    assert decode(Stack, json.loads(json.dumps(encode(stack)))) == stack


def test_details_of_any_shape_survive() -> None:
    stack = stack_with({"list": [1, 2.5, None, True, "x"], "object": {"deep": {"er": []}}})
    assert decode(Stack, encode(stack)) == stack


def test_mappings_are_sorted_and_fields_keep_their_order() -> None:
    encoded = encode(stack_with({"b": 1, "a": 2}))
    assert list(encoded)[:3] == ["kind", "name", "facts"]
    assert list(encoded["facts"]["cudnn"]["details"]) == ["a", "b"]


def test_enum_is_written_as_its_value_and_read_as_its_member() -> None:
    result = Result("n", "c", "s", "i", Outcome.NOT_RUN, Reason.NO_GPU)
    encoded = encode(result)
    assert type(encoded["outcome"]) is str
    assert decode(Result, encoded).reason is Reason.NO_GPU


def test_lone_surrogate_of_a_file_name_becomes_valid_unicode() -> None:
    encoded = encode(stack_with({"pa\udcffth": "/opt/\udcff"}))
    assert encoded["facts"]["cudnn"]["details"] == {"pa\ufffdth": "/opt/\ufffd"}


def test_whole_number_is_read_where_a_float_is_meant() -> None:
    seconds = decode(Result, {**RESULT, "seconds": 2}).seconds
    assert (seconds, type(seconds)) == (2.0, float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"outcome": "green"}, "report outcome: expected one of passed, failed, not_run, error, found 'green'"),
        ({"outcome": 1}, "report outcome: expected one of passed, failed, not_run, error, found 1"),
        ({"name": 3}, "report name: expected a text, found 3"),
        ({"name": None}, "report name: expected a text, found null"),
        ({"name": ["a"]}, "report name: expected a text, found a list of 1"),
        ({"seconds": "1"}, "report seconds: expected a finite number, found '1'"),
        ({"seconds": True}, "report seconds: expected a finite number, found true"),
        ({"seconds": math.inf}, "report seconds: expected a finite number, found inf"),
        ({"seconds": 10**400}, f"report seconds: expected a finite number, found 1{'0' * 59}"),
        ({"colour": 1}, "report colour: expected one of the keys name, check_id, suite, nodeid, outcome, reason,"),
        ({"co\nlour": 1}, r"report ['co\nlour']: expected one of the keys name,"),
        ({"reason": "no_gpu"}, "report (top level): expected values that agree, found"),
    ],
)
def test_wrong_value_is_refused_with_its_path_on_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError) as caught:
        decode(Result, {**RESULT, **change})
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_missing_key_is_named() -> None:
    with pytest.raises(ReportError, match=r"report suite: expected a value, found no such key"):
        decode(Result, {key: value for key, value in RESULT.items() if key != "suite"})


def test_path_names_every_step_below_the_given_one() -> None:
    encoded = encode(stack_with({}))
    encoded["facts"]["cudnn"]["copies"] = [{"path": "/a", "version": None, "how": "x", "needed": [7]}]
    with pytest.raises(ReportError, match=r"^report stack\.facts\.cudnn\.copies\[0\]\.needed\[0\]: expected a text"):
        decode(Stack, encoded, "stack")


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_no_object_is_refused(value: Any) -> None:
    with pytest.raises(ReportError, match=r"^report finding: expected an object, found"):
        decode(Finding, value, "finding")


def test_truth_value_is_no_number() -> None:
    gpu = encode(Gpu(0, "H200", "GPU-1", "9.0"))
    with pytest.raises(ReportError, match=r"^report index: expected a whole number, found true$"):
        decode(Gpu, {**gpu, "index": True})


def test_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ReportError, match="expected a text, found 1"):
        decode(Result, {1: "x"})


def test_oversized_values_are_refused() -> None:
    with pytest.raises(ReportError, match=f"report name: expected at most {MAX_TEXT_CHARACTERS} characters") as caught:
        decode(Result, {**RESULT, "name": "x" * (MAX_TEXT_CHARACTERS + 1)})
    assert len(str(caught.value)) < 200
    encoded = encode(stack_with({}))
    encoded["gpus"] = [None] * (MAX_ITEMS + 1)
    with pytest.raises(ReportError, match=f"report gpus: expected at most {MAX_ITEMS} entries, found a list of"):
        decode(Stack, encoded)


def test_nesting_without_end_is_refused() -> None:
    encoded = encode(stack_with({}))
    details: dict[str, Any] = {}
    encoded["facts"]["cudnn"]["details"] = details
    for _ in range(MAX_DEPTH + 1):
        details["a"] = {}
        details = details["a"]
    with pytest.raises(ReportError, match=rf"details\.a.*: expected at most {MAX_DEPTH} levels of nesting"):
        decode(Stack, encoded)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "a finite number, found nan"),
        ({1, 2}, "a JSON value, found {1, 2}"),
        ("x" * (MAX_TEXT_CHARACTERS + 1), f"at most {MAX_TEXT_CHARACTERS} characters"),
    ],
    ids=["nan", "set", "long"],
)
def test_what_json_cannot_say_is_not_written(value: Any, expected: str) -> None:
    with pytest.raises(ReportError) as caught:
        encode(stack_with({"a": [value]}))
    assert f"report facts.cudnn.details.a[0]: expected {expected}" in str(caught.value)
