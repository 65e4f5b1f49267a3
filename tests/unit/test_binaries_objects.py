from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.objects import SharedObject, python_of, read_object
from pytest_trtcheck.probe.elf import ElfError
from pytest_trtcheck.probe.root import Root
from tests.fakeroot import elf32_bytes
from tests.native import compile_library, needs_gcc

SOURCE = """
#include <stdio.h>
extern int imported;
extern int maybe __attribute__((weak));
int exported(void) { return imported + (&maybe ? maybe : 0) + puts("x"); }
static int internal(void) { return 1; }
int (*pointer)(void) = internal;
"""


def _read(path: Path) -> SharedObject:
    return read_object(Root("/"), str(path))


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return compile_library(tmp_path / "libx.so.1", SOURCE, ["-Wl,-rpath,$ORIGIN/../lib"])


@needs_gcc
def test_names_needs_and_symbols(library: Path) -> None:
    shared = _read(library)
    assert (shared.soname, shared.elf.runpath) == ("libx.so.1", ("$ORIGIN/../lib",))
    imports = {one.name.decode(): one for one in shared.symbols.imports}
    assert imports["imported"].is_weak is False
    assert imports["maybe"].is_weak is True
    puts = imports["puts"].need
    assert puts is not None
    assert (puts.library, puts.node.startswith("GLIBC_2.")) == ("libc.so.6", True)
    assert puts in shared.needs
    exported = set(shared.symbols.exported())
    assert {b"exported", b"pointer"} <= exported
    assert exported.isdisjoint({b"internal", b"imported"})


@needs_gcc
def test_every_definition_is_found_by_hash_and_nothing_else(library: Path) -> None:
    symbols = _read(library).symbols
    assert all(symbols.defines(name, None) for name in symbols.exported())
    assert not any(symbols.defines(one.name, None) for one in symbols.imports)
    assert not symbols.defines(b"nobody", None)


@needs_gcc
def test_symbols_are_those_that_nm_lists(library: Path) -> None:
    listed = subprocess.run(
        ["nm", "-D", "--without-symbol-versions", library], capture_output=True, text=True, check=True
    )
    undefined = {line.split()[-1] for line in listed.stdout.splitlines() if line.split()[-2] in {"U", "w", "v"}}
    assert {one.name.decode() for one in _read(library).symbols.imports} == undefined


@needs_gcc
def test_nodes_are_defined_with_the_objects_own_name(tmp_path: Path) -> None:
    script = tmp_path / "x.map"
    script.write_text("X_1 { global: f; local: *; }; X_2 { global: g; } X_1;")
    shared = _read(compile_library(tmp_path / "libx.so", "int f; int g;", [f"-Wl,--version-script={script}"]))
    assert shared.nodes == {"libx.so", "X_1", "X_2"}
    assert (shared.symbols.nodes_of(b"g"), shared.symbols.nodes_of(b"h")) == (("X_2",), ())


@needs_gcc
def test_library_that_exports_nothing_still_tells_what_it_uses(tmp_path: Path) -> None:
    script = tmp_path / "x.map"
    script.write_text("{ local: *; };")
    source = "extern int imported; int f(void) { return imported; }"
    path = compile_library(tmp_path / "libx.so", source, [f"-Wl,--version-script={script}", "-Wl,--hash-style=gnu"])
    data = bytearray(path.read_bytes())
    for has_sections in (True, False):
        if not has_sections:
            struct.pack_into("<Q", data, 0x28, 0)
            struct.pack_into("<HHH", data, 0x3A, 0, 0, 0)
            path.write_bytes(data)
        assert b"imported" in {one.name for one in _read(path).symbols.imports}


def test_32_bit_library_tells_its_names_only(tmp_path: Path) -> None:
    path = tmp_path / "libx.so"
    path.write_bytes(elf32_bytes())
    shared = _read(path)
    assert (shared.elf.bits, shared.symbols.imports) == (32, ())


@needs_gcc
@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (5, "outside the file"),
        (6, "outside the file"),
        (0x6FFFFEF5, "outside the file"),
        (0x6FFFFFFE, "outside the file"),
    ],
    ids=["names", "symbols", "hash", "versions"],
)
def test_table_that_lies_nowhere_is_an_error(library: Path, tag: int, words: str) -> None:
    data = bytearray(library.read_bytes())
    entry = next(at for at in range(0, len(data) - 16, 8) if struct.unpack_from("<Q", data, at)[0] == tag)
    struct.pack_into("<Q", data, entry + 8, 1 << 40)
    library.write_bytes(data)
    with pytest.raises(ElfError, match="broken ELF file"):
        _read(library)


@pytest.mark.parametrize(
    ("name", "python"),
    [
        ("tensorrt.cpython-310-x86_64-linux-gnu.so", "3.10"),
        ("bindings.cpython-312-x86_64-linux-gnu.so", "3.12"),
        ("_C.cpython-313t-x86_64-linux-gnu.so", "3.13t"),
        ("_C.abi3.so", "abi3"),
        ("_x.pypy310-pp73-x86_64-linux-gnu.so", "PyPy"),
        ("tensorrt.so", ""),
        ("libtorch_python.so", ""),
    ],
)
def test_python_that_an_extension_is_built_for(name: str, python: str) -> None:
    assert python_of(f"/site/{name}") == python
