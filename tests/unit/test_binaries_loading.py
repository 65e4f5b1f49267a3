"""What importing a package comes to, in small roots with real libraries: compiled here, and never loaded."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.binaries.loading import Python, probe_loading
from pytest_trtcheck.image.survey import survey
from pytest_trtcheck.model.facts import Fact, State
from tests.fakeroot import LIB, SITE, FakeRoot
from tests.native import needs_gcc

pytestmark = needs_gcc
PROGRAM = "/usr/bin/python3.12"


class Tree(FakeRoot):
    """A root whose libraries need nothing of this machine: they are linked against each other only."""

    def build(self, path: str, source: str = "", *, needs: Sequence[str] = (), flags: Sequence[str] = ()) -> None:
        """Compile C source to a library, linked against libraries of this root."""
        target = self.host(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        name = target.name
        linked = [str(self.host(need)) for need in needs]
        command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-x", "none", f"-Wl,-soname,{name}"]
        command += ["-Wl,--no-as-needed,--allow-shlib-undefined", *flags, *linked, "-o", str(target)]
        subprocess.run(command, input=source.encode(), check=True, capture_output=True)

    def loading(self, *, program: str = PROGRAM, version: str = "3.12", **env: str) -> Fact:
        libraries = survey(self.root).libraries
        return probe_loading(self.root, env, Python(program, version, (SITE,)), libraries)

    def module(self, component: str, **env: str) -> dict[str, Any]:
        modules = self.loading(**env).details["modules"]
        (found,) = [module for module in modules if module["component"] == component]
        return dict(found)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A root with an interpreter, a C library and a torch of two libraries."""
    tree = Tree(tmp_path / "root")
    tree.build(f"{LIB}/libc.so.6", "int libc_has; int Py_IsInitialized;")
    tree.build(PROGRAM, "int PyLong_Type;", needs=[f"{LIB}/libc.so.6"])
    tree.build(f"{SITE}/torch/lib/libc10.so", "int _ZN3c106DeviceC1ERKNSt7__cxx1112basic_stringE;")
    torch = f"{SITE}/torch/lib/libtorch.so"
    tree.build(torch, "int t;", needs=[f"{SITE}/torch/lib/libc10.so"], flags=["-Wl,-rpath,$ORIGIN"])
    tree.build(
        f"{SITE}/torch/_C.cpython-312-x86_64-linux-gnu.so",
        "extern int PyLong_Type; int *p = &PyLong_Type;",
        needs=[torch],
        flags=["-Wl,-rpath,$ORIGIN/lib"],
    )
    return tree


def test_a_sound_package_loads(tree: Tree) -> None:
    found = tree.module("torch")
    assert found["loads"]
    assert (found["python"], found["interpreter"], found["essential"]) == ("3.12", "3.12", True)


def test_a_root_without_packages_has_nothing_to_open(tmp_path: Path) -> None:
    assert Tree(tmp_path / "root").loading(program="").state is State.ABSENT


def test_a_library_that_is_nowhere_is_missing(tree: Tree) -> None:
    tree.host(f"{SITE}/torch/lib/libc10.so").unlink()
    found = tree.module("torch")
    assert not found["loads"]
    assert [one["library"] for one in found["missing"]] == ["libc10.so"]
    assert found["missing"][0]["needed_by"].endswith("/torch/lib/libtorch.so")


def test_what_wheels_bring_is_no_alarm_though_no_search_leads_there(tree: Tree) -> None:
    folder = f"{SITE}/nvidia/cublas/lib/libcublas.so.12"
    tree.build(folder, "int cublasCreate;")
    tree.build(f"{SITE}/vllm/_C.abi3.so", "extern int cublasCreate; int *p = &cublasCreate;", needs=[folder])
    assert tree.module("vllm")["loads"]
    tree.host(folder).unlink()
    assert [one["library"] for one in tree.module("vllm")["missing"]] == ["libcublas.so.12"]


def test_the_driver_comes_from_the_host(tree: Tree) -> None:
    tree.build("/tmp/libcuda.so.1", "int cuInit;")
    tree.build(f"{SITE}/vllm/_C.abi3.so", "extern int cuInit; int *p = &cuInit;", needs=["/tmp/libcuda.so.1"])
    tree.host("/tmp/libcuda.so.1").unlink()
    found = tree.module("vllm")
    assert found["loads"]
    assert found["assumed"] == ["libcuda.so.1"]


def test_a_version_node_that_is_missing_is_named(tree: Tree) -> None:
    script = tree.host("/tmp/nodes.map")
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("GLIBC_2.38 { global: fresh; };")
    flag = f"-Wl,--version-script={script}"
    tree.build("/tmp/libc.so.6", "int fresh;", flags=[flag])
    tree.build(f"{SITE}/vllm/_C.abi3.so", "extern int fresh; int *p = &fresh;", needs=["/tmp/libc.so.6"])
    script.write_text("GLIBC_2.35 { global: stale; };")
    tree.build(f"{LIB}/libc.so.6", "int stale;", flags=[flag])
    found = tree.module("vllm")
    assert [(one["node"], one["library"]) for one in found["nodes"]] == [("GLIBC_2.38", f"{LIB}/libc.so.6")]
    assert "undefined" not in found


def test_an_undefined_symbol_is_told_with_who_should_define_it_and_what_is_like_it(tree: Tree) -> None:
    source = "extern int _ZN3c106DeviceC1ERKSs; int *p = &_ZN3c106DeviceC1ERKSs;"
    tree.build(f"{SITE}/torch_tensorrt/lib/libtorchtrt.so", source, needs=[f"{SITE}/torch/lib/libtorch.so"])
    found = tree.module("torch_tensorrt")
    (one,) = found["undefined"]
    assert (one["name"], one["provider"]) == ("c10::Device::Device(std::string const&)", "torch")
    assert one["old_strings"]
    assert one["like"].startswith(("c10::Device::Device(", "_ZN3c106DeviceC1E"))
    assert not found["loads"]


def test_another_copy_that_defines_the_symbol_is_named(tree: Tree) -> None:
    tree.build(f"{SITE}/nvidia/cublas/lib/libcublasLt.so.12", "int cublasLtOld; int cublasLtNew;")
    lt = f"{SITE}/nvidia/cublas/lib/libcublasLt.so.12"
    source = "extern int cublasLtNew; int *p = &cublasLtNew;"
    tree.build(f"{SITE}/nvidia/cublas/lib/libcublas.so.12", source, needs=[lt], flags=["-Wl,-rpath,$ORIGIN"])
    assert all(module["loads"] for module in tree.loading().details["modules"])
    tree.build("/opt/old/libcublasLt.so.12", "int cublasLtOld;")
    fact = tree.loading(LD_LIBRARY_PATH="/opt/old")
    (module,) = [one for one in fact.details["modules"] if one["path"].endswith("libcublas.so.12")]
    (one,) = module["undefined"]
    assert one["elsewhere"] == [lt]
    assert "is_open" not in one
    (copies,) = [one for one in fact.details["copies"] if one["taken"] == "/opt/old/libcublasLt.so.12"]
    assert copies["others"] == [lt]
    assert copies["by"] == "LD_LIBRARY_PATH"


def test_a_part_of_a_system_is_not_blamed_for_what_lies_outside(tree: Tree) -> None:
    source = "extern int somebody_has_this, _ZN3c104goneEv; int *p = &somebody_has_this, *q = &_ZN3c104goneEv;"
    needs = [f"{LIB}/libc.so.6", f"{SITE}/torch/lib/libtorch.so"]
    tree.build(f"{SITE}/vllm/_C.abi3.so", source, needs=needs)
    assert {one["symbol"] for one in tree.module("vllm")["undefined"]} == {"somebody_has_this", "_ZN3c104goneEv"}
    tree.host(f"{LIB}/libc.so.6").unlink()
    tree.host(PROGRAM).unlink()
    fact = tree.loading(program="")
    (found,) = [module for module in fact.details["modules"] if module["component"] == "vllm"]
    assert [one["symbol"] for one in found["undefined"]] == ["_ZN3c104goneEv"]
    assert fact.details["system"] is False


def test_a_module_for_another_python_is_told_and_one_for_both_is_not(tree: Tree) -> None:
    for version in ("310", "311"):
        tree.build(f"{SITE}/tensorrt_llm/bindings.cpython-{version}-x86_64-linux-gnu.so", "int b;")
    modules = [one for one in tree.loading().details["modules"] if one["component"] == "tensorrt_llm"]
    assert [(one["python"], one["interpreter"], one["loads"]) for one in modules] == [
        ("3.10", "3.12", False),
        ("3.11", "3.12", False),
    ]
    tree.build(f"{SITE}/tensorrt_llm/bindings.cpython-312-x86_64-linux-gnu.so", "int b;")
    assert tree.module("tensorrt_llm")["loads"]


def test_a_backend_of_triton_is_opened_by_the_server(tree: Tree) -> None:
    server = "/opt/tritonserver/bin/tritonserver"
    tree.build(server, "int TRITONSERVER_ApiVersion;", needs=[f"{LIB}/libc.so.6"])
    source = "extern int TRITONSERVER_ApiVersion; int *p = &TRITONSERVER_ApiVersion;"
    tree.build("/tmp/libdali.so", "int d;")
    backends = "/opt/tritonserver/backends"
    tree.build(f"{backends}/tensorrtllm/libtriton_tensorrtllm.so", source)
    tree.build(f"{backends}/dali/libtriton_dali.so", source, needs=["/tmp/libdali.so"])
    tree.host("/tmp/libdali.so").unlink()
    modules = [one for one in tree.loading().details["modules"] if one["component"] == "triton_server"]
    assert {one["path"].rpartition("/")[2]: (one["loads"], one["essential"]) for one in modules} == {
        "tritonserver": (True, True),
        "libtriton_tensorrtllm.so": (True, True),
        "libtriton_dali.so": (False, False),
    }


def test_another_c_library_is_not_judged(tree: Tree) -> None:
    tree.build("/lib/libc.musl-x86_64.so.1", "int c;")
    tree.build(PROGRAM, "int PyLong_Type;", needs=["/lib/libc.musl-x86_64.so.1"])
    assert tree.loading().state is State.NOT_PROBED


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"no library"])
def test_a_damaged_library_is_a_reason_and_no_crash(tree: Tree, damage: bytes) -> None:
    tree.file(f"{SITE}/torch/lib/libc10.so", damage)
    found = tree.module("torch")
    assert not found["loads"]
    assert found["missing"][0]["reason"]
