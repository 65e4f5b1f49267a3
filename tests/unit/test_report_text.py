"""Text from outside made fit to print."""

from __future__ import annotations

import time

import pytest

from pytest_trtcheck.report.text import clean, counted, one_line, truncate


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("plain é 中 text", "plain é 中 text"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b(Bset \x1b7save", "set save"),
        ("cut \x1b[31", "cut [31"),
        ("nul\x00bell\x07back\x08del\x7f", "nulbellbackdel"),
        ("tab\tkept", "tab\tkept"),
        ("a\r\nb\rc\x0bd\x85e\u2028f", "a\nb\nc\nd\ne\nf"),
        ("abc\u202edef", "abc<U+202E>def"),
        ("\u2066a\u2069 \u200bb \ufeffc", "<U+2066>a<U+2069> <U+200B>b <U+FEFF>c"),
        ("a\udcffb", "a\ufffdb"),
        ("\ufffe\uffff\U0001fffe", "<U+FFFE><U+FFFF><U+1FFFE>"),
        ("\U000e0041", "<U+E0041>"),
    ],
)
def test_clean_text_has_nothing_that_a_terminal_or_xml_stumbles_over(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


def test_every_character_comes_out_fit_for_xml_and_utf8() -> None:
    everything = "".join(map(chr, range(0x110000)))
    allowed = {0x9, 0xA, *range(0x20, 0xD800), *range(0xE000, 0xFFFE), *range(0x10000, 0x110000)}
    cleaned = clean(everything)
    assert {ord(char) for char in cleaned} <= allowed
    assert cleaned.encode().decode() == cleaned


def test_one_thing_is_counted_as_one() -> None:
    assert [counted(number, "checks") for number in (0, 1, 2)] == ["0 checks", "1 check", "2 checks"]


def test_one_line_joins_lines_and_runs_of_spaces() -> None:
    assert one_line("  a\n\n b\t c\x85d ") == "a b c d"


@pytest.mark.parametrize("length", [100, 101, 399, 400, 401, 1_000_000])
def test_one_line_stays_within_its_limit_and_counts_what_is_left_out(length: int) -> None:
    line = one_line("x" * length, 100)
    assert len(line) <= 100
    kept = line.count("x")
    assert line == ("x" * 100 if length == 100 else f"{'x' * kept} … {length - kept} characters left out")


def test_short_text_is_not_truncated() -> None:
    assert truncate("a\nb\n", 1000, 3) == "a\nb\n"


def test_truncated_lines_keep_head_and_tail() -> None:
    text = truncate("\n".join(f"line {number}" for number in range(100)), 10_000, 10)
    lines = text.split("\n")
    assert len(lines) == 10
    assert lines[:3] == ["line 0", "line 1", "line 2"]
    assert lines[-1] == "line 99"
    left_out = "\n".join(f"line {number}" for number in range(3, 94))
    assert lines[3] == f"… {len(left_out) + 2} characters left out"


@pytest.mark.parametrize("char", ["x", "é", "中", "\u202e", "\x07", "\n"])
@pytest.mark.parametrize("count", [999, 5_000, 1_000_000])
def test_truncated_text_stays_within_its_bytes(char: str, count: int) -> None:
    text = truncate(f"start {char * count} end", 1000, 50)
    assert len(text.encode()) <= 1000
    assert text.count("\n") < 50
    assert text.startswith("start")
    assert text.endswith("end")


def test_truncation_counts_characters_that_are_not_shown() -> None:
    text = truncate("x" * 4000, 1000, 50)
    head, notice, tail = text.split("\n")
    assert notice == f"… {4000 - len(head) - len(tail)} characters left out"
    assert len(tail) > len(head) > 100


@pytest.mark.parametrize("unit", ["\x1b[", "\x1b]", "\x1b]x", "\x1b[0", "\x1b "])
def test_unfinished_escapes_cost_no_time(unit: str) -> None:
    started = time.perf_counter()
    clean(unit * 50_000)
    assert time.perf_counter() - started < 2
