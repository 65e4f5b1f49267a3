"""Guides against Python's own regular expressions, and against JSON."""

from __future__ import annotations

import json
import random
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck._suites.probe_llm.guide import Guide, GuideError, pattern_of_schema

LETTERS = "abc"

_atoms = st.sampled_from(["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\.", "(?:bc)"])
_repeats = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}", "{0,2}", "{1,}"])
_rows = st.lists(st.tuples(_atoms, _repeats).map("".join), min_size=1, max_size=4).map("".join)
patterns = st.one_of(
    _rows,
    st.lists(_rows, min_size=2, max_size=3).map("|".join),
    st.tuples(_rows, _rows, _repeats).map(lambda parts: f"({parts[0]}|{parts[1]}){parts[2]}"),
)


@given(patterns, st.text(LETTERS + ".1", max_size=6))
def test_a_text_may_end_where_it_matches(pattern: str, text: str) -> None:
    assert Guide(pattern).allowed(text)[1] == bool(re.fullmatch(pattern, text))


@given(patterns, st.integers(0, 2**32))
def test_what_is_allowed_leads_to_a_match_and_nothing_else_does(pattern: str, seed: int) -> None:
    rng, guide, text = random.Random(seed), Guide(pattern), ""
    for _ in range(40):
        chars, may_end = guide.allowed(text)
        assert chars or may_end, f"{text!r} leads nowhere"
        if may_end and (not chars or rng.random() < 0.4):
            break
        text += rng.choice(sorted(chars))
    else:
        return
    assert re.fullmatch(pattern, text)


@given(patterns, st.text(LETTERS, min_size=1, max_size=5))
def test_a_matching_text_is_allowed_character_by_character(pattern: str, text: str) -> None:
    guide = Guide(pattern)
    if re.fullmatch(pattern, text):
        assert all(char in guide.allowed(text[:place])[0] for place, char in enumerate(text))


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", r"at 2: expected \), found the end"),
        ("a)", r"at 1: expected an end, found \)"),
        ("*a", "at 0: expected something to match, found *"),
        ("[ab", "expected a character, found the end"),
        (r"\b", "expected one of"),
        ("a{3,2}", "the smaller first"),
        ("a{999}", "a count up to 256"),
        ("a{x}", "a count such as"),
        ("^a$", "something to match"),
    ],
)
def test_an_expression_that_is_not_understood_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(GuideError) as refused:
        Guide(pattern)
    assert words.replace("\\", "") in str(refused.value)


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 4},
        "kind": {"enum": ["a", "b c", 7, None]},
        "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "more": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
        "none": {"type": "array", "items": {"type": "integer"}, "maxItems": 0},
        "always": {"const": True},
    },
    "required": ["name", "kind", "list", "more", "none", "always"],
}


@pytest.mark.parametrize("seed", range(20))
def test_what_a_schema_allows_is_json_of_that_schema(seed: int) -> None:
    rng, guide, text = random.Random(seed), Guide(pattern_of_schema(json.dumps(SCHEMA))), ""
    while True:
        chars, may_end = guide.allowed(text)
        if may_end:
            break
        text += rng.choice(sorted(chars))
    jsonschema.validate(json.loads(text), SCHEMA)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("{", "expected JSON"),
        ("[]", "expected an object, found list"),
        ('{"type": "number"}', "found 'number'"),
        ('{"type": "array"}', "expected an object, found NoneType"),
    ],
)
def test_a_schema_that_is_not_understood_is_refused(schema: str, words: str) -> None:
    with pytest.raises(GuideError, match=re.escape(words)):
        pattern_of_schema(schema)
