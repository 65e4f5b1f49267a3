"""GPU code is told as the compiler was asked for it; the files under tests/data/binaries are nvcc's own."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.fatbin import MAGIC, Kind
from pytest_trtcheck.binaries.gpucode import GpuCode, Where, read_gpu_code
from pytest_trtcheck.probe.elf import ElfError
from pytest_trtcheck.probe.root import MissingError, Root
from tests.native import compile_library, needs_gcc

DATA = Path(__file__).parents[1] / "data" / "binaries"
SOURCE = """
__global__ void scale(float *data, float factor) { data[threadIdx.x] *= factor; }
extern "C" void launch(float *data) { scale<<<1, 32>>>(data, 2.0f); }
"""

needs_nvcc = pytest.mark.skipif(
    shutil.which("nvcc") is None, reason="nvcc is not installed: only the files that it made before are read"
)


def _read(path: Path, *, is_deep: bool = False) -> GpuCode:
    return read_gpu_code(Root("/"), str(path), is_deep=is_deep)


def _texts(code: GpuCode) -> list[str]:
    """All code, PTX without its version."""
    return sorted(one.partition(":")[0] for kind in Kind for one in code.texts(kind))


@pytest.mark.parametrize(
    ("name", "sass", "ptx", "compressions"),
    [
        (
            "linked.so",
            ("sm_75", "sm_80", "sm_90a", "sm_100f", "sm_120"),
            ("compute_120:9.0",),
            {"none", "zstd"},
        ),
        ("relocatable.so", ("sm_86", "sm_120f"), ("compute_86:9.0",), {"none", "zstd"}),
        ("none.fatbin", ("sm_75", "sm_90a", "sm_121a"), ("compute_90a:9.0", "compute_120f:9.0"), {"none"}),
        ("size.fatbin", ("sm_75", "sm_90a", "sm_121a"), ("compute_90a:9.0", "compute_120f:9.0"), {"zstd"}),
        ("speed.fatbin", ("sm_75", "sm_90a", "sm_121a"), ("compute_90a:9.0", "compute_120f:9.0"), {"none", "lz4"}),
        ("lto.fatbin", (), ("compute_80:9.0",), {"zstd"}),
        ("sm_75.cubin", ("sm_75",), (), set()),
        ("sm_90.cubin", ("sm_90",), (), set()),
        ("sm_90a.cubin", ("sm_90a",), (), set()),
        ("sm_100.cubin", ("sm_100",), (), set()),
        ("sm_100a.cubin", ("sm_100a",), (), set()),
        ("sm_100f.cubin", ("sm_100f",), (), set()),
        ("compute_103a.ptx", (), ("compute_103a:9.0",), set()),
    ],
)
def test_files_of_nvcc_are_read_as_it_was_asked(
    name: str, sass: tuple[str, ...], ptx: tuple[str, ...], compressions: set[str]
) -> None:
    code = _read(DATA / name)
    assert (code.texts(Kind.SASS), code.texts(Kind.PTX)) == (sass, ptx)
    assert set(code.compressions) == compressions
    assert not code.problems


def test_link_time_code_is_told_apart_from_machine_code() -> None:
    assert _read(DATA / "lto.fatbin").texts(Kind.LTO) == ("lto_89",)


def test_linked_and_relocatable_pieces_are_told_apart() -> None:
    groups = {group.where: {code.text for code in group.codes} for group in _read(DATA / "relocatable.so").groups}
    assert groups == {
        Where.LINKED: {"sm_86", "sm_120f"},
        Where.RELOCATABLE: {"sm_86", "sm_120f", "compute_86:9.0"},
    }


def test_what_the_last_link_adds_without_a_kernel_is_left_out() -> None:
    code = _read(DATA / "linked.so")
    assert code.registered == 2
    assert [group.pieces for group in code.groups] == [1]


@needs_gcc
def test_library_without_gpu_code(tmp_path: Path) -> None:
    assert _read(compile_library(tmp_path / "libx.so", "int x;"), is_deep=True) == GpuCode()


@needs_gcc
def test_code_among_the_data_is_found_by_reading_deep(tmp_path: Path) -> None:
    assembly = tmp_path / "data.s"
    lines = [f'.incbin "{DATA / name}"\n.balign 64\n' for name in ("sm_90a.cubin", "size.fatbin", "sm_100f.cubin")]
    assembly.write_text(f'.section .rodata\n.balign 64\n{"".join(lines)}.section .note.GNU-stack,"",@progbits\n')
    library = compile_library(tmp_path / "libx.so", "int x;", [assembly])
    assert _read(library) == GpuCode()
    code = _read(library, is_deep=True)
    assert {group.where for group in code.groups} == {Where.EMBEDDED}
    assert code.texts(Kind.SASS) == ("sm_75", "sm_90a", "sm_100f", "sm_121a")


def test_object_without_section_table_is_searched_through(tmp_path: Path) -> None:
    data = bytearray((DATA / "linked.so").read_bytes())
    struct.pack_into("<Q", data, 0x28, 0)
    struct.pack_into("<HHH", data, 0x3A, 0, 0, 0)
    stripped = tmp_path / "libx.so"
    stripped.write_bytes(data)
    assert _read(stripped).texts(Kind.SASS) == ("sm_75", "sm_80", "sm_90a", "sm_100f", "sm_120")


def test_damage_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    good = (DATA / "size.fatbin").read_bytes()
    broken = bytearray(good)
    struct.pack_into("<Q", broken, 8, 1 << 60)
    path = tmp_path / "two.fatbin"
    path.write_bytes(bytes(broken[:16]) + good)
    code = _read(path)
    assert code.texts(Kind.SASS) == ("sm_75", "sm_90a", "sm_121a")
    assert code.problems == (f"a container at byte 0 should end at {16 + (1 << 60)}, its section at {len(good) + 16}",)


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [
        (16 + 4, struct.pack("<I", 8), "has lengths 8"),
        (16 + 8, struct.pack("<Q", 1 << 50), "has lengths"),
        (16 + 28, struct.pack("<I", 70_000), "is for architecture 70000"),
    ],
)
def test_impossible_entries_are_told(tmp_path: Path, offset: int, value: bytes, words: str) -> None:
    data = bytearray((DATA / "size.fatbin").read_bytes())
    data[offset : offset + len(value)] = value
    path = tmp_path / "x.fatbin"
    path.write_bytes(data)
    assert words in " ".join(_read(path).problems)


def test_container_that_is_cut_short_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.fatbin"
    path.write_bytes((DATA / "size.fatbin").read_bytes()[:1000])
    assert "should end at" in _read(path).problems[0]


def test_section_that_lies_behind_the_file_is_passed_over(tmp_path: Path) -> None:
    from elftools.elf.elffile import ELFFile

    data = bytearray((DATA / "linked.so").read_bytes())
    with (DATA / "linked.so").open("rb") as file:
        elf = ELFFile(file)
        numbers = [elf.get_section_index(name) for name in (".nv_fatbin", ".nvFatBinSegment")]
    table = struct.unpack_from("<Q", data, 0x28)[0]
    for number in numbers:
        assert number is not None
        struct.pack_into("<Q", data, table + 64 * number + 24, (1 << 64) - 8)
    path = tmp_path / "libx.so"
    path.write_bytes(data)
    assert _read(path) == GpuCode()


def test_registered_binaries_that_are_nowhere_are_a_problem(tmp_path: Path) -> None:
    data = (DATA / "linked.so").read_bytes().replace(MAGIC, b"\0" * len(MAGIC))
    path = tmp_path / "libx.so"
    path.write_bytes(data)
    assert _read(path).problems == ("registers 2 fat binaries, and none was found in it",)


def test_cubin_without_an_architecture_is_an_error(tmp_path: Path) -> None:
    data = bytearray((DATA / "sm_90.cubin").read_bytes())
    struct.pack_into("<I", data, 48, 0)
    path = tmp_path / "x.cubin"
    path.write_bytes(data)
    with pytest.raises(ElfError, match="flags name no architecture"):
        _read(path)


def test_cubin_of_older_compilers_is_read_by_its_flags(tmp_path: Path) -> None:
    data = bytearray((DATA / "sm_90.cubin").read_bytes())
    data[7:9] = bytes([0x33, 7])
    struct.pack_into("<I", data, 48, 0x5A << 16 | 0x800 | 0x500 | 0x5A)
    path = tmp_path / "x.cubin"
    path.write_bytes(data)
    assert _read(path).texts(Kind.SASS) == ("sm_90a",)


def test_family_that_a_cubin_does_not_tell_is_left_open(tmp_path: Path) -> None:
    data = (DATA / "sm_100f.cubin").read_bytes().replace(b"-arch sm_100f", b"-xxxx sm_100f")
    path = tmp_path / "x.cubin"
    path.write_bytes(data)
    assert _read(path).texts(Kind.SASS) == ("sm_100?",)


def test_file_that_is_not_there() -> None:
    with pytest.raises(MissingError):
        _read(DATA / "nothing.so")


ASKED = [
    ("75", "86", "90", "120"),
    ("80", "compute_80"),
    ("87", "88", "89", "90a", "compute_90a"),
    ("100", "100a", "103f", "compute_103f"),
    ("110f", "120a", "121", "121a", "compute_120f"),
    ("compute_75",),
]


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "size", "speed", "balance"])
@pytest.mark.parametrize("asked", ASKED, ids="+".join)
def test_fatbin_of_this_nvcc_holds_what_was_asked(asked: tuple[str, ...], mode: str, tmp_path: Path) -> None:
    fatbin = _nvcc(tmp_path / "x.fatbin", asked, "-fatbin", f"-compress-mode={mode}", "-Xfatbin", "-compress-all")
    assert _texts(_read(fatbin)) == _wanted(asked)


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["static", "shared"])
@pytest.mark.parametrize("rdc", ["false", "true"])
@pytest.mark.parametrize("asked", ASKED[:2] + ASKED[3:5], ids="+".join)
def test_library_of_this_nvcc_holds_what_was_asked(
    asked: tuple[str, ...], rdc: str, runtime: str, tmp_path: Path
) -> None:
    flags = ("-shared", "-Xcompiler", "-fPIC", f"-rdc={rdc}", "-cudart", runtime)
    code = _read(_nvcc(tmp_path / "libx.so", asked, *flags))
    assert _texts(code) == _wanted(asked)
    assert (Where.RELOCATABLE in {group.where for group in code.groups}) == (rdc == "true")


def _wanted(asked: tuple[str, ...]) -> list[str]:
    return sorted(one if one.startswith("compute_") else f"sm_{one}" for one in asked)


def _nvcc(path: Path, asked: tuple[str, ...], *flags: str) -> Path:
    source = path.with_suffix(".cu")
    source.write_text(SOURCE)
    codes = [one if one.startswith("compute_") else f"sm_{one}" for one in asked]
    for code in codes:
        flags += ("-gencode", f"arch=compute_{code.partition('_')[2]},code={code}")
    subprocess.run(["nvcc", *flags, "-o", str(path), str(source)], check=True, capture_output=True, cwd=path.parent)
    return path
