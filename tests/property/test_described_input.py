"""Whatever the bytes: stacks or our own errors, one line each, and every digit kept."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_trtcheck.described.describe import describe
from pytest_trtcheck.described.documents import decode_text
from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.formats import FORMS, PASTED
from pytest_trtcheck.described.pasted import read_pasted
from pytest_trtcheck.described.read import read_stacks
from pytest_trtcheck.described.vocabulary import VOCABULARY, Kind
from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.facts import Stack

VERSIONS = [key for key, entry in VOCABULARY.items() if entry.kind.is_version or entry.kind is Kind.TAG]
SYNTAX = [
    ": ",
    "\n",
    "- ",
    "---\n",
    "...",
    "{",
    "}",
    "[",
    "]",
    ",",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "'",
    '"',
    "#",
    "? ",
    "| ",
]
SIGNS = [
    "| NVIDIA-SMI 1", "Driver Version: 1.2", "GPU 0: A (UUID: GPU-1)", "PyTorch version: 2", "torch==2.1", " @ ",
    "Package Version\n--- ---\n", "- GPU name: H100", "- Container used: a:b", "\t", "\r", "\x0b", "\u2028", ">\n ",
]  # fmt: skip
OURS = [*VOCABULARY, "extra", "environment", "stack", "stacks", "cases", "name", "unspecified", "<526", "12.10", "null"]
WORDS = st.sampled_from([*SYNTAX, *SIGNS, *OURS])
TEXTS = st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=25).map("".join))
NUMBERS = st.lists(st.integers(0, 9999), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
PADDED = st.tuples(NUMBERS, st.sampled_from(["", ".0", ".00", ".10"])).map("".join)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), st.lists, max_leaves=5
)


def read_described(mapping: dict[str, object]) -> tuple[Stack | str]:
    try:
        return (describe(mapping, "a", "f"),)
    except DescribedError as error:
        return (str(error),)


def check(found: list[Stack | DescribedError]) -> None:
    for item in found:
        if isinstance(item, DescribedError):
            assert "\n" not in str(item)
            assert str(item).isprintable()
        else:
            assert item.facts
            json.dumps(encode(item))


@given(text=TEXTS, form=st.sampled_from(FORMS))
@settings(max_examples=300)
def test_any_text_gives_stacks_or_errors(text: str, form: str) -> None:
    check(list(read_stacks(text, "f", form)))


@given(data=st.binary(max_size=300))
def test_any_bytes_give_text_or_an_error(data: bytes) -> None:
    try:
        text = decode_text(data, "f")
    except DescribedError:
        with pytest.raises(UnicodeDecodeError):
            data.decode()
    else:
        check(list(read_stacks(text, "f")))


@given(mapping=st.dictionaries(st.sampled_from(VERSIONS), PADDED, min_size=1, max_size=8))
def test_versions_come_back_digit_for_digit_from_yaml_and_json(mapping: dict[str, str]) -> None:
    plain = "\n".join(f"{key}: {value}" for key, value in mapping.items())
    for text in (plain, yaml.safe_dump(mapping), json.dumps(mapping)):
        (stack,) = read_stacks(text, "f")
        assert isinstance(stack, Stack)
        assert {key: fact.value for key, fact in stack.facts.items()} == mapping


@given(mapping=st.dictionaries(st.sampled_from(VERSIONS), PADDED, min_size=1, max_size=8), order=st.randoms())
def test_the_order_of_keys_does_not_matter(mapping: dict[str, str], order: object) -> None:
    keys = list(mapping)
    order.shuffle(keys)  # type: ignore[attr-defined]
    assert describe({key: mapping[key] for key in keys}, "a", "f") == describe(mapping, "a", "f")


@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()), st.lists, max_leaves=5
    )
)
def test_any_value_under_any_key_is_a_fact_or_an_error(value: object) -> None:
    for key in VOCABULARY:
        (found,) = read_described({key: value})
        if isinstance(found, Stack):
            text = found.facts[key].value
            assert text is None or text.isprintable()
        else:
            assert found.isprintable()


@given(lines=st.lists(st.text(max_size=120), max_size=20), form=st.sampled_from(list(PASTED)))
def test_what_surrounds_a_pasted_text_never_costs_its_facts(lines: list[str], form: str) -> None:
    driver = "Nvidia driver version: 550.1" if "collect" in form else "Driver Version: 550.1"
    try:
        found = read_pasted("\n".join([*lines, driver]), "f", (form,)).value("driver")
    except DescribedError:
        found = None
    expected = {"550.1"} if form in {"nvidia-smi", "collect-env", "vllm-collect-env"} else {None, "550.1"}
    assert found in expected or any("river" in line for line in lines)
