"""Kinds of version on generated texts: a total order, the text kept, three-valued ranges, no other error than ours."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from pytest_trtcheck.errors import VersionError
from pytest_trtcheck.model.versions import (
    Capability,
    ContainerTag,
    DottedVersion,
    DpkgVersion,
    PackageVersion,
    Version,
    VersionRange,
)


def joined(*parts: SearchStrategy[str]) -> SearchStrategy[str]:
    """Texts made of one text of each part."""
    return st.tuples(*parts).map("".join)


def optional(part: SearchStrategy[str]) -> SearchStrategy[str]:
    """The part, or nothing."""
    return st.just("") | part


# Few distinct numbers, so that equal and nearly equal versions are common.
numbers = st.sampled_from(["0", "1", "2", "9", "10", "06", "65"])
dotted = st.lists(numbers, min_size=1, max_size=4).map(".".join)
dpkg_parts = st.text(st.sampled_from("019a.+~Z"), max_size=6)
dpkg = joined(
    optional(st.sampled_from(["0:", "1:"])),
    st.sampled_from("019"),
    dpkg_parts,
    optional(joined(st.sampled_from(["-", "-0-"]), dpkg_parts)),
).filter(lambda text: not text.endswith("-"))
# Appended to the other version of a pair: what differs by so little is where an order goes wrong.
DPKG_ENDINGS = ("~", "0", ".0", "+", "-0", "-00", "-~")
dpkg_endings = st.sampled_from(DPKG_ENDINGS)
package = joined(
    dotted,
    optional(st.sampled_from(["a0", "b6", "rc1", "rc20"])),
    optional(st.sampled_from([".post1", ".dev3"])),
    optional(st.sampled_from(["+cu130", "+cpu", "+b4e4ee81d3.nv25.12"])),
)
months = st.integers(1, 12).map("{:02}".format)
tag = joined(st.sampled_from(["23.", "24.", "25."]), months, optional(st.sampled_from(["-py3", "-trtllm-python-py3"])))
capability = joined(
    st.sampled_from(["", "sm_", "SM", "compute_"]),
    st.sampled_from(["8.9", "89", "9.0", "90", "10.0", "100", "120"]),
    optional(st.sampled_from("af")),
)

KINDS: dict[type[Version], SearchStrategy[str]] = {
    DottedVersion: dotted,
    DpkgVersion: dpkg,
    PackageVersion: package,
    ContainerTag: tag,
    Capability: capability,
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@each_kind
@given(data=st.data())
def test_text_is_kept_and_reads_back_the_same(kind: type[Version], data: st.DataObject) -> None:
    text = data.draw(KINDS[kind])
    version = kind.parse(text)
    assert str(version) == text
    assert kind.parse(str(version)) == version
    assert kind.parse(f"  {text}\n").text == text


@each_kind
@given(data=st.data())
def test_order_is_total(kind: type[Version], data: st.DataObject) -> None:
    first, second, third = (kind.parse(data.draw(KINDS[kind])) for _ in range(3))
    assert [first < second, first == second, first > second].count(True) == 1
    assert (first <= second) == (not second < first)
    if first <= second <= third:
        assert first <= third
    if first == second:
        assert hash(first) == hash(second)


@each_kind
@given(text=st.text() | st.text("0123456789.:-+~vsmpostdevrc_", max_size=30))
@settings(max_examples=300)
def test_any_text_is_a_version_or_our_error(kind: type[Version], text: str) -> None:
    version = kind.try_parse(text)
    if version is None:
        with pytest.raises(VersionError, match=r"\A.*\Z"):
            kind.parse(text)
    else:
        assert kind.parse(text) == version
        assert not version < version  # comparing must not fail either


PAIRS = list(itertools.permutations(KINDS, 2))


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(kind.__name__ for kind in pair))
def test_two_kinds_are_never_compared(pair: tuple[type[Version], type[Version]]) -> None:
    one, other = (kind.parse(kind.example()) for kind in pair)
    assert one != other
    with pytest.raises(TypeError):
        _ = one < other


@given(st.integers(0, 99))
def test_container_tag_names_a_month_of_the_year(month: int) -> None:
    assert (ContainerTag.try_parse(f"25.{month:02}-py3") is not None) == (1 <= month <= 12)


@given(dotted, st.lists(st.just("0"), max_size=3))
def test_trailing_zeros_do_not_matter_to_dotted_versions(text: str, zeros: list[str]) -> None:
    longer = DottedVersion.parse(".".join([text, *zeros]))
    assert longer == DottedVersion.parse(text)
    assert longer.parts[: text.count(".") + 1] == DottedVersion.parse(text).parts


@given(st.text(max_size=40) | joined(dotted, st.text("ab.+-~rc1", max_size=8)))
def test_leading_numbers_are_a_part_of_the_text(text: str) -> None:
    leading = DottedVersion.leading(text)
    assert leading is None or text.strip().removeprefix("v").removeprefix("V").startswith(leading.text)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not on this machine")
@settings(max_examples=150)
@given(dpkg, dpkg | dpkg_endings)
def test_dpkg_orders_the_same(first: str, second: str) -> None:
    if second in DPKG_ENDINGS:
        second = first + second
    one, other = DpkgVersion.parse(first), DpkgVersion.parse(second)
    words = "eq" if one == other else "lt" if one < other else "gt"
    command = ["dpkg", "--compare-versions", first, words, second]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), f"{first} {words} {second}"


operators = st.sampled_from([">=", ">", "<=", "<", "==", "!="])
clauses = joined(operators, dotted) | joined(st.sampled_from(["==", "!="]), dotted, st.just(".*"))
ranges = st.lists(clauses, min_size=1, max_size=3).map(",".join)


more_digits = st.lists(numbers, min_size=1, max_size=2).map(".".join)


@given(dotted, more_digits, more_digits, operators)
def test_more_digits_never_contradict_an_answer(version: str, bound: str, digits: str, operator: str) -> None:
    known = VersionRange.parse(f"{operator}{version}.{bound}")
    short, longer = DottedVersion.parse(version), DottedVersion.parse(f"{version}.{digits}")
    # 2 is 2.0, and not a whole branch, where the bound is exactly that: 2.1 may then be on the other side.
    assume(short != known.clauses[0][1])
    assert known.admits(short) in {None, known.admits(longer)}


@given(dotted, more_digits, operators)
def test_branch_that_holds_the_bound_is_undecided(version: str, bound: str, operator: str) -> None:
    assume(set(bound) - set("0."))
    assert VersionRange.parse(f"{operator}{version}.{bound}").admits(DottedVersion.parse(version)) is None


@given(dotted, more_digits, more_digits, st.sampled_from(["==", "!="]))
def test_prefix_clause_is_decided_once_all_its_digits_are_there(
    version: str, bound: str, digits: str, operator: str
) -> None:
    known = VersionRange.parse(f"{operator}{version}.{bound}.*")
    assert known.admits(DottedVersion.parse(version)) is None
    assert known.admits(DottedVersion.parse(f"{version}.{bound}.{digits}")) is (operator == "==")


@given(ranges, dotted)
def test_range_reads_back_and_is_the_conjunction_of_its_clauses(text: str, version: str) -> None:
    whole = VersionRange.parse(text)
    assert VersionRange.parse(str(whole)) == whole
    answers = [VersionRange.parse(clause).admits(DottedVersion.parse(version)) for clause in text.split(",")]
    expected = False if False in answers else None if None in answers else True
    assert whole.admits(DottedVersion.parse(version)) is expected


@given(dotted, dotted)
def test_opposite_clauses_give_opposite_answers(bound: str, version: str) -> None:
    have = DottedVersion.parse(version)
    for one, other in ((">=", "<"), (">", "<="), ("==", "!=")):
        first, second = (VersionRange.parse(operator + bound).admits(have) for operator in (one, other))
        assert {first, second} in ({True, False}, {None})


@given(st.text() | st.text("0123456789.,<>=!* ", max_size=30))
@settings(max_examples=300)
def test_any_text_is_a_range_or_our_error(text: str) -> None:
    try:
        known = VersionRange.parse(text)
    except VersionError:
        return
    assert known.admits(DottedVersion.parse("1.2")) in {True, False, None}
