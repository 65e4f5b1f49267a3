"""The classifier takes any text: it never raises, never hangs, and finds the loader's words wherever they stand."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.probe.import_errors import classify, classify_chain
from pytest_trtcheck.probe.providers import provider_of_library, provider_of_symbol

names = st.from_regex(r"lib[a-zA-Z_+-]{1,20}\.so(\.[0-9]{1,3}){0,3}", fullmatch=True)
paths = st.from_regex(r"(/[a-zA-Z0-9_.+-]{1,12}){1,5}\.so", fullmatch=True)
symbols = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,80}", fullmatch=True)
noise = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60).map(lambda text: " ".join(text.split()))


@given(st.text(max_size=2000), st.text(max_size=20))
def test_any_text_gives_one_printable_line(text: str, kind: str) -> None:
    message = classify(text, kind).message
    assert message == "" or message.isprintable()
    assert len(message) <= 500


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=200)), max_size=6))
def test_any_chain_has_an_outcome(chain: list[tuple[str, str]]) -> None:
    assert classify_chain(chain).status in ImportStatus


@given(names, noise, st.booleans())
def test_missing_library_is_found_behind_any_words(name: str, before: str, is_on_its_own_line: bool) -> None:
    separator = "\n" if is_on_its_own_line else " "
    failure = classify(f"{before}{separator}{name}: cannot open shared object file: No such file or directory")
    assert (failure.status, failure.library) == (ImportStatus.MISSING_LIBRARY, name)
    assert failure.provider == provider_of_library(name)


@given(paths, symbols)
def test_undefined_symbol_and_its_file_are_kept_as_written(path: str, symbol: str) -> None:
    failure = classify(f"{path}: undefined symbol: {symbol}", "ImportError")
    assert failure.status is ImportStatus.UNDEFINED_SYMBOL
    assert (failure.needed_by, failure.symbol) == (path, symbol)
    assert failure.provider == provider_of_symbol(symbol)


@given(paths, paths, st.from_regex(r"(GLIBC|GLIBCXX|CXXABI)_[0-9]{1,2}(\.[0-9]{1,3}){1,2}", fullmatch=True))
def test_version_node_is_never_lost(library: str, needer: str, node: str) -> None:
    failure = classify(f"{library}: version `{node}' not found (required by {needer})")
    assert failure.status is ImportStatus.VERSION_NODE_MISSING
    assert (failure.library, failure.symbol, failure.needed_by) == (library, node, needer)
    assert failure.provider == ("glibc" if node.startswith("GLIBC_") else "libstdcxx")


def test_hostile_text_of_a_megabyte_is_read_in_a_moment() -> None:
    parts = ("a" * 4000, "undefined symbol", "version `", "not found", ": cannot open shared object", "_Z" * 500)
    started = time.monotonic()
    for part in parts:
        classify((part * (1_000_000 // len(part)))[:1_000_000])
        classify("\n".join([part] * 2000))
    assert time.monotonic() - started < 10
