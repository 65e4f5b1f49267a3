from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.root import Entry, Root
from pytest_trtcheck.probe.toolkit import probe_toolkit
from tests.fakeroot import FakeRoot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path)


def _toolkit(tree: FakeRoot, folder: str, version: str) -> None:
    tree.file(f"{folder}/version.json", json.dumps({"cuda": {"name": "CUDA SDK", "version": version}}))
    tree.file(f"{folder}/bin/nvcc")


def _probe(tree: FakeRoot, **env: str) -> Fact:
    return probe_toolkit(tree.root, env)


def test_version_json_is_read(tree: FakeRoot) -> None:
    _toolkit(tree, "/usr/local/cuda-12.9", "12.9.1")
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.9")
    fact = _probe(tree)
    assert (fact.value, fact.where, fact.how) == ("12.9.1", "/usr/local/cuda-12.9", "version.json")
    assert len(fact.copies) == 1
    assert fact.details == {"nvcc": True}


def test_order_is_cuda_home_then_path_then_usr_local(tree: FakeRoot) -> None:
    for name, version in (("12.4", "12.4.1"), ("12.9", "12.9.1"), ("13.0", "13.0.2")):
        _toolkit(tree, f"/usr/local/cuda-{name}", version)
    fact = _probe(tree, CUDA_HOME="/usr/local/cuda-13.0", PATH="/bin:relative:/usr/local/cuda-12.9/bin")
    assert [copy.version for copy in fact.copies] == ["13.0.2", "12.9.1", "12.4.1"]
    assert [copy.found_by for copy in fact.copies] == ["CUDA_HOME", "nvcc on PATH", "/usr/local/cuda*"]
    assert fact.why_chosen == "found by CUDA_HOME, before the others"


def test_shell_script_that_calls_nvcc_is_looked_through(tree: FakeRoot) -> None:
    _toolkit(tree, "/opt/cuda-13.0", "13.0.2")
    tree.file("/usr/local/bin/nvcc", '#!/bin/sh\nexec /opt/cuda-13.0/bin/nvcc "$@"\n')
    fact = _probe(tree, PATH="/usr/local/bin")
    assert (fact.value, fact.where) == ("13.0.2", "/opt/cuda-13.0")


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("version.txt", "CUDA Version 11.0.228\n", "11.0.228"),
        ("include/cuda.h", "/* */\n#define CUDA_VERSION 13000\n", "13.0"),
        ("include/cuda_runtime_api.h", "#define CUDART_VERSION  12090\n", "12.9"),
    ],
)
def test_other_places_of_the_version(tree: FakeRoot, name: str, text: str, version: str) -> None:
    tree.file(f"/usr/local/cuda-x/{name}", text)
    fact = _probe(tree)
    assert fact.value == version
    assert fact.details == {"nvcc": False}


@pytest.mark.parametrize("text", ["{", "[]", '{"cuda": 1}', '{"cuda": {"version": 12}}', '{"cuda": {"version": "x"}}'])
def test_broken_version_json_is_noted_and_the_header_read(tree: FakeRoot, text: str) -> None:
    tree.file("/usr/local/cuda/version.json", text)
    tree.file("/usr/local/cuda/include/cuda.h", "#define CUDA_VERSION 12040\n")
    fact = _probe(tree)
    assert fact.value == "12.4"
    assert fact.copies[0].note.startswith("/usr/local/cuda/version.json: expected ")


def test_toolkit_whose_version_cannot_be_read_is_not_absent(tree: FakeRoot) -> None:
    tree.file("/usr/local/cuda/bin/nvcc")
    fact = _probe(tree)
    assert (fact.state, fact.value) == (State.UNREADABLE, None)
    assert fact.reason == "/usr/local/cuda has nvcc but no version.json, version.txt or cuda.h"


def test_header_without_its_line_is_a_reason(tree: FakeRoot) -> None:
    tree.file("/usr/local/cuda/include/cuda.h", "int x;\n")
    fact = _probe(tree)
    assert fact.state is State.UNREADABLE
    assert fact.reason == "/usr/local/cuda/include/cuda.h: expected a line #define CUDA_VERSION, found none"


def test_folder_with_libraries_only_is_no_toolkit(tree: FakeRoot) -> None:
    tree.library("/usr/local/cuda-12.9/compat/libcuda.so.1")
    fact = _probe(tree, CUDA_HOME="/gone")
    assert fact.state is State.ABSENT
    assert fact.reason == "no toolkit in CUDA_HOME, on PATH or in /usr/local/cuda*"


def test_unreadable_usr_local_is_not_absent(tree: FakeRoot) -> None:
    class Denied(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            raise PermissionError(13, "denied")

    tree.folder("/usr/local")
    fact = probe_toolkit(Denied(tree.path), {})
    assert (fact.state, fact.reason) == (State.UNREADABLE, "/usr/local: permission denied")


def test_looping_cuda_home_is_told_beside_the_others(tree: FakeRoot) -> None:
    tree.link("/loop", "/loop")
    _toolkit(tree, "/usr/local/cuda", "12.9.1")
    fact = _probe(tree, CUDA_HOME="/loop")
    assert fact.value == "12.9.1"
    assert fact.details["problems"] == ["/loop: its links form a loop (gave up after 40)"]
