"""What the wheel holds, and what a venv with nothing else does with it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pytest_trtcheck import __version__
from tests.venvs import CHECKOUT, Venv

pytestmark = pytest.mark.install

INFO = f"pytest_trtcheck-{__version__}.dist-info"


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_claims_one_top_level_name(names: set[str]) -> None:
    assert {name.partition("/")[0] for name in names} == {"pytest_trtcheck", INFO}


def test_wheel_is_for_any_platform(wheel: Path) -> None:
    assert wheel.name == f"pytest_trtcheck-{__version__}-py3-none-any.whl"


def test_wheel_holds_every_data_file_of_the_matrix(names: set[str]) -> None:
    folder = CHECKOUT / "matrix"
    wanted = {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")}
    assert {"rows/torch.json", "profiles/auto.json", "checks.json"} <= wanted
    assert {f"pytest_trtcheck/_matrix/{name}" for name in wanted} <= names


def test_wheel_holds_every_file_of_the_probe_model(names: set[str]) -> None:
    folder = CHECKOUT / "suites" / "probe_llm"
    wanted = {path.relative_to(folder).as_posix() for path in (folder / "model").rglob("*") if path.is_file()}
    assert {"model/README.md", "model/checksums.json", "model/draft/model.safetensors"} <= wanted
    assert {f"pytest_trtcheck/_suites/probe_llm/{name}" for name in wanted} <= names


def test_wheel_holds_every_module(names: set[str]) -> None:
    package = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "pytest_trtcheck").rglob("*.py")}
    suites = {
        f"pytest_trtcheck/_{path.relative_to(CHECKOUT).as_posix()}" for path in (CHECKOUT / "suites").rglob("*.py")
    }
    assert package | suites <= names
    assert "pytest_trtcheck/py.typed" in names
    assert {f"pytest_trtcheck/report/html/{name}" for name in ("style.css", "script.js")} <= names


@pytest.mark.parametrize("part", ["sources", "derive", "tests", "bench", "reports"])
def test_wheel_leaves_out_what_only_the_checkout_needs(names: set[str], part: str) -> None:
    assert [name for name in names if part in name.split("/")[:3]] == []


def test_wheel_holds_code_and_data_only(names: set[str]) -> None:
    suffixes = {Path(name).suffix for name in names if not name.startswith(INFO)}
    assert suffixes == {".py", ".json", ".typed", ".safetensors", ".md", ".css", ".js", ".jinja"}


def test_run_from_an_empty_folder_finds_matrix_suites_and_a_verdict(fresh: Venv, tmp_path: Path) -> None:
    run = fresh.trtcheck("--trtcheck-level=static", folder=tmp_path)
    # Which verdict depends on what the machine holds beside the venv.
    assert run.status == {"accepted": 0, "rejected": 1, "inconclusive": 10}[run.report["verdict"]], run.stdout
    assert run.report["matrix"]["rows"] > 500
    assert "stack" in {result["suite"] for result in run.report["results"]}


def test_broken_stack_is_rejected_from_the_wheel(fresh: Venv, rejected_stack: Path) -> None:
    run = fresh.trtcheck("--trtcheck-level=static", folder=rejected_stack)
    assert run.status == 1
    assert run.results()["TRC-DNN-001-tensorrt"] == ("failed", None)


def test_console_script_and_module_explain_a_check(fresh: Venv, tmp_path: Path) -> None:
    module = fresh.run("-m", "pytest_trtcheck", "explain", "TRC-DRV-001", folder=tmp_path)
    script = fresh.run(str(fresh.folder / "bin" / "pytest-trtcheck"), "explain", "TRC-DRV-001", folder=tmp_path)
    assert (module.returncode, script.returncode) == (0, 0), module.stderr + script.stderr
    assert script.stdout == module.stdout
    assert script.stdout.startswith("TRC-DRV-001: ")


def test_bundled_suites_without_the_option_end_with_a_clear_message(fresh: Venv, tmp_path: Path) -> None:
    done = fresh.run("-m", "pytest", "--pyargs", "pytest_trtcheck._suites", folder=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "pytest --trtcheck" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_pytest_without_the_option_runs_as_ever(fresh: Venv, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("def test_mine(): pass\n", encoding="utf-8")
    done = fresh.run("-m", "pytest", "-q", "-p", "no:cacheprovider", folder=tmp_path)
    assert done.returncode == 0
    assert "1 passed" in done.stdout
    assert not (tmp_path / "trtcheck-report").exists()
