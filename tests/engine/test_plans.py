"""Plans in files: read without TensorRT, judged by the matrix, loaded in a child, prediction against truth."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck._suites.engine.loading import Loaded, load_files
from pytest_trtcheck._suites.engine.plans import Prediction, answer, compare, read
from pytest_trtcheck.model.finding import Verdict
from tests.plugin.conftest import Trtcheck, trtcheck  # noqa: F401 - a fixture
from tests.stacks import dist, gpu, stack

LOADER = "tests.engine.loaders:Loader"


def plan_of(*release: int, rest: bytes = b"x" * 100) -> bytes:
    return b"ftrt" + bytes(20) + bytes(release) + rest


FILES = {
    "empty.engine": b"",
    "short.plan": b"ftrt" + bytes(9),
    "foreign.engine": b"\x7fELF" + bytes(60),
    "other.engine": plan_of(11, 0, 0, 114),
    "same.engine": plan_of(10, 9, 0, 34),
    "newer_format.plan": b"ftrt\x07" + bytes(60),
}


def run(pytester: pytest.Pytester, *args: str, tensorrt: str = "10.9.0.34") -> dict[str, Any]:
    here = stack(python="3.11.7", tensorrt=tensorrt, dists=[dist("tensorrt", tensorrt)])
    Trtcheck(pytester).judge(here if tensorrt else stack(python="3.11.7"))
    folder = Path(pytester.path, "engines")
    folder.mkdir(exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    llm = folder / "llm"
    llm.mkdir(exist_ok=True)
    (llm / "rank0.engine").write_bytes(plan_of(10, 9, 0, 34))
    (llm / "config.json").write_text(json.dumps({"version": "0.20.0", "pretrained_config": {}}))
    pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return report


def engine(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in report["results"] if entry["suite"] == "engine"}


def test_files_are_told_apart_by_their_headers_where_nothing_can_load_them(pytester: pytest.Pytester) -> None:
    report = run(pytester, "--trtcheck-engine", "engines", "--trtcheck-engine", "engines/llm/rank0.engine")
    found = {name.removeprefix("TRC-BLD-011-"): entry for name, entry in engine(report).items() if "011" in name}
    assert {name: entry["outcome"] for name, entry in found.items()} == {
        "empty.engine": "failed", "short.plan": "failed", "foreign.engine": "failed", "other.engine": "failed",
        "same.engine": "not_run", "newer_format.plan": "not_run", "llm-rank0.engine": "not_run",
    }  # fmt: skip
    words = {name: entry["message"] for name, entry in found.items()}
    assert "cut short: 0 bytes, a plan's header alone takes 28" in words["empty.engine"]
    assert "no TensorRT plan: it begins with 7f454c46" in words["foreign.engine"]
    assert "expected TensorRT 11.0.0.114, which built the engine, found TensorRT 10.9.0.34" in words["other.engine"]
    assert "a plan of header format 7" in words["newer_format.plan"]
    assert all("TensorRT loads plans on a GPU only" in said and "\n" not in said for said in words.values())
    assert found["same.engine"]["reason"] == "no_gpu"


def test_an_engine_folder_of_another_tensorrt_llm_is_told(pytester: pytest.Pytester) -> None:
    Trtcheck(pytester)
    report = run(pytester, "--trtcheck-engine", "engines/llm", tensorrt="")
    (entry,) = (entry for entry in engine(report).values())
    assert (entry["outcome"], entry["reason"]) == ("not_run", "missing_component")
    assert "no TensorRT here" in entry["message"]


def test_without_a_gpu_every_check_of_tensorrt_is_told_and_no_worker_starts(pytester: pytest.Pytester) -> None:
    report = run(pytester)
    idle = {name: entry for name, entry in engine(report).items() if "012" not in name}
    assert sorted(idle) == [f"TRC-BLD-{number:03}-tensorrt" for number in (*range(1, 9), 10)]
    assert {(entry["outcome"], entry["reason"]) for entry in idle.values()} == {("not_run", "no_gpu")}
    assert report["isolation"]["mode"] == "not_needed"
    # There is no such library here, which is the stack suite's to tell.
    registry = engine(report)["TRC-BLD-012-tensorrt"]
    assert (registry["outcome"], registry["reason"]) == ("not_run", "missing_component")
    assert "tensorrt does not import: No module named 'tensorrt'" in registry["message"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trtcheck-engine=absent"], "found nothing at absent"),
        (["--trtcheck-engine=."], "expected files ending in .engine or .plan, found none in ."),
        (["--trtcheck-engine=engines", "--trtcheck-level=static"], "level static and --trtcheck-stack load nothing"),
    ],
)
def test_what_cannot_be_loaded_is_a_bad_option(trtcheck: Trtcheck, args: list[str], words: str) -> None:  # noqa: F811
    trtcheck.judge(stack(python="3.11.7"))
    (trtcheck.pytester.path / "engines").mkdir()
    result = trtcheck.run(*args)
    assert result.ret == 4
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    assert words in lines[0]


def test_each_file_is_loaded_though_others_kill_the_child(tmp_path: Path) -> None:
    contents = (b"fine", b"crash", b"refuse", b"crash", b"fine")
    paths = [tmp_path / f"{number}.engine" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    found = load_files(LOADER, paths, 30)
    assert [one.died for one in found] == [False, True, False, True, False]
    assert found[0].problem == found[4].problem == ""
    assert "the child process was ended by SIGSEGV" in found[1].problem
    assert found[2].problem == "RuntimeError: the plan was built by another release"


def test_a_file_that_hangs_the_runtime_costs_its_deadline(tmp_path: Path) -> None:
    (tmp_path / "a.plan").write_bytes(b"hang")
    (one,) = load_files(LOADER, [tmp_path / "a.plan"], 2)
    assert one.died
    assert "hung and was killed" in one.problem


@pytest.mark.parametrize(
    ("verdict", "problem", "state", "words"),
    [
        (Verdict.COMPATIBLE, "", "passed", "it loads; p"),
        (Verdict.UNKNOWN, "", "passed", "it loads; p"),
        (Verdict.INCOMPATIBLE, "", "passed", "it loads, though by the matrix it should not load; p"),
        (Verdict.INCOMPATIBLE, "no", "failed", "it does not load, as predicted: no; p"),
        (Verdict.COMPATIBLE, "no", "failed", "it does not load, though by the matrix it should load: no; p"),
        (Verdict.UNKNOWN, "no", "failed", "it does not load, though by the matrix it may load: no; p"),
    ],
)
def test_what_happens_decides_and_what_was_predicted_is_told(
    verdict: Verdict, problem: str, state: str, words: str
) -> None:
    found = compare(Prediction(verdict, "p"), Loaded(problem))
    assert (found.state, found.words) == (state, words)


def test_a_file_goes_through_the_child_where_a_runtime_can_be_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.plan"
    path.write_bytes(plan_of(10, 9, 0, 34, rest=b"refuse"))
    assert answer(path, Prediction(Verdict.COMPATIBLE, "p"), "", LOADER).state == "failed"
    path.write_bytes(plan_of(10, 9, 0, 34))
    assert answer(path, Prediction(Verdict.COMPATIBLE, "p"), "", LOADER).state == "passed"


def test_flipped_bits_and_any_other_bytes_are_read_to_a_release_or_to_words(tmp_path: Path) -> None:
    draw, path = random.Random(4), tmp_path / "a.engine"
    whole = plan_of(10, 9, 0, 34)
    for _ in range(300):
        data = bytearray(whole[: draw.randrange(len(whole) + 1)])
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        plan, folder = read(path)
        assert folder is None
        assert bool(plan.tensorrt) != bool(plan.note)
        assert "\n" not in plan.note


def test_a_gpu_makes_the_runtime_the_judge(pytester: pytest.Pytester) -> None:
    # There is a GPU in the facts and no TensorRT to import: the child says so, and the run goes on.
    Trtcheck(pytester).judge(stack(python="3.11.7", tensorrt="10.9.0.34", gpus=[gpu("NVIDIA H200", "9.0")]))
    Path(pytester.path, "same.engine").write_bytes(plan_of(10, 9, 0, 34))
    pytester.runpytest_subprocess("--trtcheck", "-n0", "-k", "same.engine", "--trtcheck-engine", "same.engine")
    report = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    message = engine(report)["TRC-BLD-011-same.engine"]["message"]
    assert "it does not load, though by the matrix it should load: ModuleNotFoundError" in message
