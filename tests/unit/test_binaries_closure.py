"""The model of the loader against the loader: small libraries, compiled here, opened for real in a child process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.closure import Process
from pytest_trtcheck.probe.ldso import loader_search
from pytest_trtcheck.probe.root import Root
from tests.native import compile_library, needs_gcc
from tests.real.loader import Step, dlopen, is_as_predicted, predict, process_of

pytestmark = needs_gcc


def _agree(file: Path, *, first: Sequence[Step] = (), library_path: str = "") -> list[str]:
    """Return the prediction, after the loader said the same."""
    truth = dlopen(sys.executable, first, str(file), library_path)
    predicted = predict(process_of(sys.executable, first, library_path), str(file))
    assert is_as_predicted(truth, predicted), (truth, predicted)
    return predicted


def _library(path: Path, source: str, *flags: str | Path, needs: Sequence[Path] = ()) -> Path:
    return compile_library(path, source, ["-Wl,--no-as-needed", *needs, "-Wl,--allow-shlib-undefined", *flags])


def test_library_that_needs_nothing_loads(tmp_path: Path) -> None:
    assert _agree(_library(tmp_path / "libx.so", "int x;")) == ["loads"]


def test_missing_libraries_are_named_in_the_order_of_the_loader(tmp_path: Path) -> None:
    inner = _library(tmp_path / "gone/libinner.so", "int inner;")
    outer = _library(tmp_path / "lib/libouter.so", "int outer;", needs=[inner])
    other = _library(tmp_path / "gone/libother.so", "int other;")
    file = _library(tmp_path / "libx.so", "int x;", f"-Wl,-rpath,{tmp_path}/lib", needs=[outer, other])
    assert _agree(file) == ["no libother.so", "no libinner.so"]


@pytest.mark.parametrize("kind", ["--enable-new-dtags", "--disable-new-dtags"])
def test_runpath_is_for_direct_needs_only_and_rpath_for_all(tmp_path: Path, kind: str) -> None:
    inner = _library(tmp_path / "lib/libinner.so", "int inner;")
    outer = _library(tmp_path / "lib/libouter.so", "int outer;", needs=[inner])
    file = _library(tmp_path / "libx.so", "int x;", f"-Wl,{kind},-rpath,$ORIGIN/lib", needs=[outer])
    assert _agree(file) == (["no libinner.so"] if kind == "--enable-new-dtags" else ["loads"])


@pytest.mark.parametrize(("kind", "wins"), [("--enable-new-dtags", "path"), ("--disable-new-dtags", "rpath")])
def test_library_path_stands_between_rpath_and_runpath(tmp_path: Path, kind: str, wins: str) -> None:
    for place in ("path", "rpath"):
        _library(tmp_path / place / "liby.so", f"int from_{place};")
    file = _library(
        tmp_path / "libx.so",
        f"extern int from_{wins}; int *x = &from_{wins};",
        f"-Wl,{kind},-rpath,$ORIGIN/rpath",
        needs=[tmp_path / wins / "liby.so"],
    )
    assert _agree(file, library_path=str(tmp_path / "path")) == ["loads"]
    model = process_of(sys.executable, (), str(tmp_path / "path"))
    taken = next(one for one in model.open(str(file)).scope if one.shared.soname == "liby.so")
    assert taken.path == str(tmp_path / wins / "liby.so")
    assert [Path(other).parent.name for other in taken.others] == [{"path": "rpath", "rpath": "path"}[wins]]


def test_library_that_is_mapped_already_answers_to_its_soname(tmp_path: Path) -> None:
    first = _library(tmp_path / "elsewhere/liby.so", "int y;")
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;", needs=[first])
    assert _agree(file) == ["no liby.so"]
    assert _agree(file, first=[(str(first), False)]) == ["loads"]


def test_older_copy_that_was_mapped_first_lacks_the_symbol(tmp_path: Path) -> None:
    new = _library(tmp_path / "new/liby.so", "int y; int z;")
    old = _library(tmp_path / "old/liby.so", "int y;")
    file = _library(tmp_path / "libx.so", "extern int z; int *x = &z;", f"-Wl,-rpath,{tmp_path}/new", needs=[new])
    assert _agree(file) == ["loads"]
    assert _agree(file, first=[(str(old), False)]) == ["undefined z in libx.so"]


def test_only_global_libraries_lend_their_symbols(tmp_path: Path) -> None:
    lender = _library(tmp_path / "liby.so", "int y;")
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;")
    assert _agree(file, first=[(str(lender), False)]) == ["undefined y in libx.so"]
    assert _agree(file, first=[(str(lender), True)]) == ["loads"]


def test_need_of_a_need_lends_its_symbols_too(tmp_path: Path) -> None:
    inner = _library(tmp_path / "libinner.so", "int y;")
    outer = _library(tmp_path / "libouter.so", "int o;", "-Wl,-rpath,$ORIGIN", needs=[inner])
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;", "-Wl,-rpath,$ORIGIN", needs=[outer])
    assert _agree(file) == ["loads"]


def test_weak_symbol_may_be_absent(tmp_path: Path) -> None:
    source = "extern int y __attribute__((weak)); int *x = &y;"
    assert _agree(_library(tmp_path / "libx.so", source)) == ["loads"]


def test_hidden_symbol_serves_nobody(tmp_path: Path) -> None:
    other = _library(tmp_path / "liby.so", '__attribute__((visibility("hidden"))) int y; int *z = &y;')
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;", "-Wl,-rpath,$ORIGIN", needs=[other])
    assert _agree(file) == ["undefined y in libx.so"]


def test_call_is_told_from_an_address(tmp_path: Path) -> None:
    file = _library(tmp_path / "libx.so", "void f(void); int v(void); extern int d; int *p = &d; void g(void) { f(); }")
    model = process_of(sys.executable, (), "")
    assert {one.symbol: one.is_call for one in model.open(str(file)).undefined} == {"f": True, "d": False}


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_hash_tables_of_every_style_are_understood(tmp_path: Path, style: str) -> None:
    names = " ".join(f"int name_{number}(void) {{ return {number}; }}" for number in range(300))
    _library(tmp_path / "liby.so", names, f"-Wl,--hash-style={style}")
    uses = " ".join(f"int name_{number}(void); int (*p{number})(void) = name_{number};" for number in (0, 7, 299, 300))
    file = _library(
        tmp_path / "libx.so", uses, "-Wl,-rpath,$ORIGIN", f"-Wl,--hash-style={style}", needs=[tmp_path / "liby.so"]
    )
    assert _agree(file) == ["undefined name_300 in libx.so"]


def _versioned(path: Path, source: str, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    map_file = path.with_suffix(".map")
    map_file.write_text(script)
    return _library(path, source, f"-Wl,--version-script={map_file}")


def test_version_node_that_the_library_lacks(tmp_path: Path) -> None:
    new = _versioned(tmp_path / "new/liby.so", "int y; int z;", "Y_1 { global: y; }; Y_2 { global: z; } Y_1;")
    _versioned(tmp_path / "old/liby.so", "int y;", "Y_1 { global: y; };")
    file = _library(tmp_path / "libx.so", "extern int z; int *x = &z;", needs=[new])
    assert _agree(file, library_path=str(tmp_path / "new")) == ["loads"]
    assert _agree(file, library_path=str(tmp_path / "old")) == ["no version Y_2 in liby.so for libx.so"]


def test_symbol_that_moved_to_another_version_node(tmp_path: Path) -> None:
    new = _versioned(tmp_path / "new/liby.so", "int y; int z;", "Y_1 { global: y; }; Y_2 { global: z; } Y_1;")
    _versioned(tmp_path / "old/liby.so", "int y; int z;", "Y_1 { global: z; }; Y_2 { global: y; } Y_1;")
    file = _library(tmp_path / "libx.so", "extern int z; int *x = &z;", needs=[new])
    assert _agree(file, library_path=str(tmp_path / "old")) == ["undefined z in libx.so"]


def test_library_without_versions_is_taken_for_one_with(tmp_path: Path) -> None:
    new = _versioned(tmp_path / "new/liby.so", "int y;", "Y_1 { global: y; };")
    _library(tmp_path / "old/liby.so", "int y;")
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;", needs=[new])
    assert _agree(file, library_path=str(tmp_path / "old")) == ["loads"]


def test_reference_without_version_takes_the_default_one(tmp_path: Path) -> None:
    plain = _library(tmp_path / "plain/liby.so", "int y;")
    _versioned(tmp_path / "new/liby.so", "int y;", "Y_1 { }; Y_2 { }; Y_3 { global: y; };")
    file = _library(tmp_path / "libx.so", "extern int y; int *x = &y;", needs=[plain])
    assert _agree(file, library_path=str(tmp_path / "new")) == ["loads"]


def test_old_version_of_a_symbol_is_not_for_new_references(tmp_path: Path) -> None:
    plain = _library(tmp_path / "plain/liby.so", "int y(void) { return 1; }")
    source = 'int old(void) { return 1; } __asm__(".symver old, y@Y_3");'
    _versioned(tmp_path / "new/liby.so", source, "Y_1 { }; Y_2 { }; Y_3 { };")
    file = _library(tmp_path / "libx.so", "int y(void); int (*x)(void) = y;", needs=[plain])
    assert _agree(file, library_path=str(tmp_path / "new")) == ["undefined y in libx.so"]


def test_file_of_another_kind_in_the_way_stops_the_loader(tmp_path: Path) -> None:
    good = _library(tmp_path / "good/liby.so", "int y;")
    bad = tmp_path / "bad/liby.so"
    bad.parent.mkdir()
    bad.write_text("/* GNU ld script */ INPUT(liby.so.1)" * 20)
    file = _library(tmp_path / "libx.so", "int x;", needs=[good])
    path = f"{bad.parent}:{good.parent}"
    assert "invalid ELF header" in dlopen(sys.executable, (), str(file), path)
    load = process_of(sys.executable, (), path).open(str(file))
    assert [(one.library, one.reason) for one in load.missing] == [("liby.so", f"{bad}: not an ELF file")]


def test_library_for_another_machine_is_passed_over(tmp_path: Path) -> None:
    good = _library(tmp_path / "good/liby.so", "int y;")
    foreign = bytearray(good.read_bytes())
    foreign[18] = 183
    other = tmp_path / "other/liby.so"
    other.parent.mkdir()
    other.write_bytes(foreign)
    file = _library(tmp_path / "libx.so", "int x;", needs=[good])
    assert _agree(file, library_path=f"{other.parent}:{good.parent}") == ["loads"]


def test_failed_load_leaves_nothing_behind(tmp_path: Path) -> None:
    lender = _library(tmp_path / "liby.so", "int y; extern int gone; int *z = &gone;")
    file = _library(tmp_path / "libx.so", "int x;", needs=[lender])
    model = process_of(sys.executable, (), "")
    before = len(model.mapped)
    assert not model.open(str(lender)).loads
    assert len(model.mapped) == before
    assert predict(model, str(file)) == ["no liby.so"]


def test_branches_of_a_process_go_their_own_way(tmp_path: Path) -> None:
    lender = _library(tmp_path / "liby.so", "int y;")
    file = _library(tmp_path / "libx.so", "int x;", needs=[lender])
    model = process_of(sys.executable, (), "")
    assert model.branch().open(str(lender)).loads
    assert predict(model, str(file)) == ["no liby.so"]


def test_libraries_of_the_driver_may_be_taken_as_present(tmp_path: Path) -> None:
    driver = _library(tmp_path / "stub/libcuda.so.1", "void cuInit(void) {}")
    file = _library(
        tmp_path / "libx.so",
        "void cuInit(void); void f(void) { cuInit(); } extern int gone; int *x = &gone;",
        needs=[driver],
    )
    root, env = Root("/"), {"LD_LIBRARY_PATH": ""}
    process = Process(root, loader_search(root, env), env, program=root.resolve(sys.executable))
    load = process.open(str(file))
    if any(one.answers_to("libcuda.so.1") for one in load.scope):
        pytest.skip("this machine has a driver: nothing is assumed of it")
    assert load.assumed == ("libcuda.so.1",)
    assert [one.symbol for one in load.undefined] == ["gone"]


def test_relocations_decide_and_not_what_is_merely_listed(tmp_path: Path) -> None:
    source = tmp_path / "listed.s"
    source.write_text('.globl unused\n.data\nx: .quad 0\n.section .note.GNU-stack,"",@progbits\n')
    file = tmp_path / "libx.so"
    command = ["gcc", "-shared", "-nostdlib", "-Wl,-u,unused", "-o", str(file), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    assert _agree(file) == ["loads"]


def test_process_starts_with_what_its_program_needs() -> None:
    model = process_of(sys.executable, (), "")
    assert model.start is not None
    assert model.start.loads
    assert any(one.answers_to("libc.so.6") for one in model.visible)
