"""Operating system, C and C++ libraries, Python and MPI, read from roots that are not this machine."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.probe import machine
from pytest_trtcheck.probe.machine import probe_machine
from pytest_trtcheck.probe.mpi import mpi_fact
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.probe.system import (
    arch_fact,
    glibc_fact,
    kernel_fact,
    libstdcxx_fact,
    os_fact,
    own_python_fact,
    python_fact,
    system_facts,
)
from tests.native import compile_library, needs_gcc

LIB = "/usr/lib/x86_64-linux-gnu"


def put(base: Path, path: str, data: str | bytes = b"") -> Path:
    target = base / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data.encode() if isinstance(data, str) else data)
    return target


def link(base: Path, path: str, target: str) -> None:
    place = base / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def elf(machine_number: int, order: int = 1) -> bytes:
    return b"\x7fELF\x02" + bytes([order]) + bytes(12) + machine_number.to_bytes(2, "big" if order == 2 else "little")


def test_os_is_read_from_os_release(tmp_path: Path) -> None:
    put(tmp_path, "/usr/lib/os-release", 'PRETTY_NAME="Ubuntu 24.04.2 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n')
    link(tmp_path, "/etc/os-release", "../usr/lib/os-release")
    fact = os_fact(Root(tmp_path))
    assert (fact.value, fact.where) == ("Ubuntu 24.04.2 LTS", "/etc/os-release")
    assert fact.details == {"id": "ubuntu", "version_id": "24.04"}


@pytest.mark.parametrize(
    ("text", "value"), [("ID=rocky\nVERSION_ID=9.4\n", "rocky 9.4"), ("", None), ("no equals sign\n\xff=\n", None)]
)
def test_os_without_a_pretty_name(tmp_path: Path, text: str, value: str | None) -> None:
    put(tmp_path, "/etc/os-release", text.encode("latin-1"))
    fact = os_fact(Root(tmp_path))
    assert (fact.state, fact.value) == (State.FOUND, value)


def test_os_release_that_is_missing_or_a_folder_is_told(tmp_path: Path) -> None:
    assert os_fact(Root(tmp_path)).state is State.ABSENT
    (tmp_path / "etc/os-release").mkdir(parents=True)
    fact = os_fact(Root(tmp_path))
    assert fact.state is State.UNREADABLE
    assert "/etc/os-release" in fact.reason


def test_kernel_runs_only_where_there_is_a_proc(tmp_path: Path) -> None:
    assert kernel_fact(Root(tmp_path)).state is State.NOT_PROBED
    put(tmp_path, "/proc/sys/kernel/osrelease", "6.8.0-45-generic\n")
    assert kernel_fact(Root(tmp_path)).value == "6.8.0-45-generic"


@pytest.mark.parametrize(
    ("data", "value"),
    [(elf(62), "x86_64"), (elf(183), "aarch64"), (elf(21, 2), "ppc64le"), (elf(999), "ELF machine 999")],
)
def test_architecture_is_that_of_the_programs(tmp_path: Path, data: bytes, value: str) -> None:
    put(tmp_path, "/bin/busybox", data)
    link(tmp_path, "/bin/sh", "busybox")
    fact = arch_fact(Root(tmp_path))
    assert (fact.value, fact.where) == (value, "/bin/sh")


def test_architecture_without_a_readable_program_is_not_that_of_this_machine(tmp_path: Path) -> None:
    put(tmp_path, "/bin/sh", b"\x7fELF")
    put(tmp_path, "/usr/bin/env", "#!/bin/sh\n")
    assert arch_fact(Root(tmp_path)).state is State.UNREADABLE


def test_glibc_is_read_from_the_text_in_the_library(tmp_path: Path) -> None:
    text = b"\0GNU C Library (Ubuntu GLIBC 2.39-0ubuntu8.4) stable release version 2.39.\nCopyright"
    put(tmp_path, f"{LIB}/libc.so.6", b"\x7fELF" + bytes(1000) + text)
    fact = glibc_fact(Root(tmp_path), ["/lib", LIB])
    assert (fact.value, fact.how) == ("2.39", "text in the file")


def test_glibc_of_old_systems_is_read_from_the_file_name(tmp_path: Path) -> None:
    put(tmp_path, "/lib64/libc-2.28.so", b"\x7fELF")
    link(tmp_path, "/lib64/libc.so.6", "libc-2.28.so")
    fact = glibc_fact(Root(tmp_path), ["/lib64"])
    assert (fact.value, fact.where) == ("2.28", "/lib64/libc-2.28.so")


def test_glibc_missing_or_without_its_text_is_told_and_musl_is_named(tmp_path: Path) -> None:
    assert glibc_fact(Root(tmp_path), ["/lib"]).state is State.ABSENT
    put(tmp_path, "/lib/ld-musl-x86_64.so.1")
    assert "musl" in glibc_fact(Root(tmp_path), ["/lib"]).reason
    put(tmp_path, "/usr/lib/libc.so.6", b"GNU C Library " + b"x" * 500)
    fact = glibc_fact(Root(tmp_path), ["/usr/lib"])
    assert fact.state is State.UNREADABLE
    assert "release version" in fact.reason


def test_glibc_of_this_machine_is_what_the_c_library_says() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("this Python runs on another C library")
    assert system_facts(Root(), os.environ)["glibc"].value == platform.libc_ver()[1]


@needs_gcc
def test_newest_nodes_of_the_first_libstdcxx_and_every_copy(tmp_path: Path) -> None:
    script = put(
        tmp_path, "/map", "GLIBCXX_3.4.9 { a; };\nGLIBCXX_3.4.30 { b; } GLIBCXX_3.4.9;\nCXXABI_1.3.13 { c; };\n"
    )
    source = "void a(void) {}\nvoid b(void) {}\nvoid c(void) {}\n"
    compile_library(tmp_path / "lib/libstdc++.so.6", source, [f"-Wl,--version-script={script}"])
    put(tmp_path, "/opt/libstdc++.so.6", "junk")
    link(tmp_path, "/again", "lib")
    fact = libstdcxx_fact(Root(tmp_path), ["/none", "/lib", "/again", "/opt"])
    assert (fact.value, fact.where) == ("3.4.30", "/lib/libstdc++.so.6")
    assert fact.details == {"GLIBCXX": "3.4.30", "CXXABI": "1.3.13"}
    assert [copy.path for copy in fact.copies] == ["/lib/libstdc++.so.6", "/opt/libstdc++.so.6"]
    assert "not an ELF file" in fact.copies[1].note


def test_broken_libstdcxx_that_comes_first_is_unreadable(tmp_path: Path) -> None:
    put(tmp_path, "/lib/libstdc++.so.6", "junk")
    fact = libstdcxx_fact(Root(tmp_path), ["/lib"])
    assert fact.state is State.UNREADABLE
    assert "not an ELF file" in fact.reason
    assert libstdcxx_fact(Root(tmp_path), []).state is State.ABSENT


@needs_gcc
def test_libstdcxx_of_an_active_conda_environment_comes_first(tmp_path: Path) -> None:
    script = put(tmp_path, "/map", "GLIBCXX_3.4.33 { a; };\n")
    compile_library(tmp_path / "conda/lib/libstdc++.so.6", "void a(void) {}\n", [f"-Wl,--version-script={script}"])
    put(tmp_path, f"{LIB}/libstdc++.so.6", "junk")
    env = {"CONDA_PREFIX": "/conda"}
    assert system_facts(Root(tmp_path), env)["libstdcxx"].where == f"{LIB}/libstdc++.so.6"
    (tmp_path / "conda/conda-meta").mkdir()
    assert system_facts(Root(tmp_path), env)["libstdcxx"].value == "3.4.33"


def test_python_is_this_interpreter_or_that_of_the_root(tmp_path: Path) -> None:
    own = own_python_fact()
    assert (own.value, own.details["executable"]) == (platform.python_version(), sys.executable)
    put(tmp_path, "/usr/bin/python3.12")
    link(tmp_path, "/usr/bin/python3", "python3.12")
    fact = python_fact(Root(tmp_path))
    assert (fact.value, fact.where) == ("3.12", "/usr/bin/python3.12")
    assert system_facts(Root(tmp_path), {}, own_interpreter=False)["python"].value == "3.12"


def test_python_of_a_root_without_one_or_with_an_odd_name(tmp_path: Path) -> None:
    assert python_fact(Root(tmp_path)).state is State.ABSENT
    put(tmp_path, "/usr/bin/python3")
    fact = python_fact(Root(tmp_path))
    assert (fact.state, fact.value) == (State.FOUND, None)


def test_open_mpi_is_known_by_its_files_and_pkgconfig(tmp_path: Path) -> None:
    put(tmp_path, f"{LIB}/libmpi.so.40.30.4")
    link(tmp_path, f"{LIB}/libmpi.so.40", "libmpi.so.40.30.4")
    link(tmp_path, f"{LIB}/libmpi.so", "libmpi.so.40")
    put(tmp_path, "/usr/bin/mpirun")
    fact = mpi_fact(Root(tmp_path), {"PATH": "relative:/usr/bin"})
    assert (fact.state, fact.value, len(fact.copies)) == (State.FOUND, None, 1)
    assert fact.details == {"soname": "libmpi.so.40", "implementation": "Open MPI", "launcher": "/usr/bin/mpirun"}
    put(tmp_path, f"{LIB}/pkgconfig/ompi.pc", "Name: Open MPI\nVersion: 4.1.4\nLibs: -lmpi\n")
    fact = mpi_fact(Root(tmp_path), {})
    assert (fact.value, fact.where) == ("4.1.4", f"{LIB}/pkgconfig/ompi.pc")


def test_mpi_of_an_ngc_image_lies_outside_the_loader_folders(tmp_path: Path) -> None:
    put(tmp_path, "/usr/local/mpi/lib/libmpi.so.40")
    put(tmp_path, "/usr/local/mpi/bin/mpirun")
    fact = mpi_fact(Root(tmp_path), {"PATH": "/usr/bin"})
    assert fact.where == "/usr/local/mpi/lib/libmpi.so.40"
    assert fact.details["launcher"] == "/usr/local/mpi/bin/mpirun"


def test_mpich_is_not_taken_for_open_mpi(tmp_path: Path) -> None:
    put(tmp_path, f"{LIB}/libmpich.so.12")
    link(tmp_path, f"{LIB}/libmpi.so.12", "libmpich.so.12")
    assert mpi_fact(Root(tmp_path), {}).details["implementation"] == "MPICH"


def test_launcher_alone_is_found_and_nothing_at_all_is_absent(tmp_path: Path) -> None:
    assert mpi_fact(Root(tmp_path), {"PATH": "/bin"}).state is State.ABSENT
    put(tmp_path, "/bin/mpiexec")
    fact = mpi_fact(Root(tmp_path), {"PATH": "/bin"})
    assert (fact.state, fact.copies, fact.details["launcher"]) == (State.FOUND, (), "/bin/mpiexec")


def test_all_probes_of_the_machine_give_their_facts(tmp_path: Path) -> None:
    facts, seconds = probe_machine(Root(tmp_path), env={}, is_host=False)
    assert {"os", "kernel", "arch", "glibc", "libstdcxx", "python", "container", "openmpi", "triton_server"} <= set(
        facts
    )
    assert all(fact.reason for fact in facts.values() if not fact.is_found)
    assert all(fact.key == key for key, fact in facts.items())
    assert set(seconds) == {"system", "container", "openmpi", "triton_server"}


def test_a_probe_that_breaks_costs_only_its_own_fact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(machine, "mpi_fact", broken)
    facts, _ = probe_machine(Root(tmp_path), env={})
    assert facts["openmpi"].state is State.UNREADABLE
    assert facts["openmpi"].reason == "the openmpi probe failed: ZeroDivisionError: oops"
    assert facts["triton_server"].state is State.ABSENT
