"""Reading YAML and JSON: every scalar as written, every bad input one line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from pytest_trtcheck.described import documents
from pytest_trtcheck.described.documents import MAX_BYTES, decode_text, read_text
from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.read import one_stack, read_stacks
from pytest_trtcheck.model.facts import Stack


@pytest.fixture(params=["c", "python"], autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with both parsers of PyYAML."""
    if request.param == "c":
        if not hasattr(yaml, "CSafeLoader"):
            pytest.skip("this PyYAML has no C parser")
    else:
        monkeypatch.setattr(documents, "_LOADER", yaml.SafeLoader)


def read(text: str, name: str = "a.yaml") -> list[Stack | DescribedError]:
    return list(read_stacks(text, name))


def values(stack: Stack | DescribedError) -> dict[str, str | None]:
    assert isinstance(stack, Stack), stack
    return {key: fact.value for key, fact in stack.facts.items()}


def error(text: str) -> str:
    (found,) = read(text)
    assert isinstance(found, DescribedError)
    assert "\n" not in str(found)
    return str(found)


def test_numbers_keep_every_digit() -> None:
    (stack,) = read("cuda_runtime: 12.10\nsm: 9.0\ngpu_count: 08\ndriver: 0x22\npython: 3.10\n")
    assert values(stack) == {
        "cuda_runtime": "12.10",
        "sm": "9.0",
        "gpu_count": "08",
        "driver": "0x22",
        "python": "3.10",
    }


def test_json_is_read_with_its_digits_too() -> None:
    (stack,) = read('{"cuda_runtime": 12.10, "torch_cxx11_abi": false, "gpu": ["A", "B"]}', "a.json")
    assert values(stack) == {"cuda_runtime": "12.10", "torch_cxx11_abi": "off", "gpu": "A"}


def test_a_stream_gives_one_stack_for_each_document_and_skips_empty_ones() -> None:
    stacks = read("driver: 550\n---\n---\ntorch: 2.9.0\n...\n# end\n")
    assert [values(stack) for stack in stacks] == [{"driver": "550"}, {"torch": "2.9.0"}]
    assert [stack.name for stack in stacks if isinstance(stack, Stack)] == ["a.yaml", "a.yaml#3"]
    assert isinstance(stacks[1], Stack)
    assert stacks[1].facts["torch"].where == "a.yaml: document 3, line 3"


@pytest.mark.parametrize(
    "text",
    [
        "name: x\ndriver: 550",
        "id: x\nenvironment: {driver: 550}\nsymptom: hangs",
        "name: x\nstack: {driver: 550}",
        "- name: x\n  environment: {driver: 550}",
        "stacks:\n- name: x\n  driver: 550",
        "schema_version: 1\ncases:\n- id: x\n  environment: {driver: 550}\n  source: {repo: a/b}",
    ],
)
def test_a_stack_may_be_written_bare_wrapped_or_in_a_list(text: str) -> None:
    (stack,) = read(text)
    assert isinstance(stack, Stack)
    assert stack.name == "x"
    assert values(stack) == {"driver": "550"}


def test_one_bad_document_costs_no_other() -> None:
    first, second, third = read("driver: 550\n---\ndrvier: 1\n---\ntorch: 2.9.0\n")
    assert values(first) == {"driver": "550"}
    assert "did you mean driver?" in str(second)
    assert values(third) == {"torch": "2.9.0"}


def test_malformed_yaml_ends_the_stream_and_names_the_line() -> None:
    first, second = read("driver: 550\n---\na: [1,\nb: }\n")
    assert values(first) == {"driver": "550"}
    assert str(second).startswith("a.yaml: expected YAML or JSON, found ")
    assert "line" in str(second)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found nothing: the file has no document"),
        ("# only a comment\n", "the file has no document"),
        ("driver: &a 550\n", "every value written out, found the anchor &a"),
        ("driver: *a\n", "every value written out, found the alias *a"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", "found the anchor &a"),
        ("!!python/object/apply:os.system [id]", "values without tags, found the tag"),
        ("driver: !!float 550", "found the tag 'tag:yaml.org,2002:float'"),
        ("driver: !mine 550", "found the tag '!mine'"),
        ("driver: 550\ndriver: 560\n", "line 2: expected each key once, found 'driver' twice"),
        ("? [a, b]\n: 1\n", "a plain text as key"),
        ("{a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}}", "at most 8 levels of nesting, found more"),
        ("hello world", "a mapping in the stack vocabulary, found 'hello world'"),
        ("[]", "a list of 1 to"),
        ("{}", "at least one key of the stack vocabulary, found none"),
        ("environment: text", "a mapping under environment, found 'text'"),
        ("environment: {driver: 550}\ntorch: 2.9.0", "keys of the vocabulary under environment, found torch beside it"),
        ("- driver: 550\n- 5\n- []", ""),
        ("driver:\n", "found nothing; write unspecified"),
        ("driver: 550\n\t- x", "YAML or JSON"),
        ("driver: \x01", "YAML or JSON"),
        ('"unclosed', "YAML or JSON"),
    ],
)
def test_bad_input_is_one_clear_line(text: str, words: str) -> None:
    found = [item for item in read(text) if isinstance(item, DescribedError)]
    assert found
    assert words in str(found[0])
    assert all("\n" not in str(item) for item in found)


def test_nesting_and_alias_bombs_are_refused_at_once() -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20)
    )
    deep = ["[" * 200_000, "{a: " * 200_000, "- " * 50_000, "[[" * 1000 + "]]" * 1000]
    started = time.monotonic()
    assert "every value written out" in error(bomb)
    for text in deep:
        assert "levels of nesting" in error(text)
    assert time.monotonic() - started < 5


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as stream:
        stream.truncate(50 * 1024 * 1024)
    with pytest.raises(DescribedError, match="big: expected at most 16 MB, found more"):
        read_text(path, "big")


def test_what_is_no_text_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"driver: 550\nos: \xe9")
    for name, words in (
        ("absent", "No such file"),
        (".", "a file, found a folder"),
        ("latin", "UTF-8 text, found byte 0xe9 on line 2"),
    ):
        with pytest.raises(DescribedError, match=words):
            read_text(tmp_path / name, "f")


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert decode_text(b"\xef\xbb\xbfdriver: 550", "f") == "driver: 550"
    with pytest.raises(DescribedError, match="at most 16 MB"):
        decode_text(b"x" * (MAX_BYTES + 1), "f")


def test_one_stack_refuses_several_and_raises_what_is_wrong() -> None:
    assert one_stack("driver: 550", "f").value("driver") == "550"
    with pytest.raises(DescribedError, match="one stack, found several"):
        one_stack("driver: 550\n---\ndriver: 560", "f")
    with pytest.raises(DescribedError, match="did you mean driver"):
        one_stack("drvier: 550", "f")
    with pytest.raises(DescribedError, match="no document"):
        one_stack("", "f")
