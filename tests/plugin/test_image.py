"""``--trtcheck-image``: an image is judged by reading it; nothing of it runs, and no process is started."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakeroot import LIB, SITE, FakeRoot
from tests.images import REFERENCE, Built, digest, serving_tree, tar_of

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck

TARGET = ("--trtcheck-target-gpu=H100,L40S", "--trtcheck-target-driver=580.65.06")


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return serving_tree(tmp_path / "root")


def image_of(tree: FakeRoot, trtcheck: Trtcheck, name: str = "image.tar") -> Built:
    built = Built([tar_of(tree)])
    built.docker_blobs(trtcheck.pytester.path / name)
    return built


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
def test_a_sound_image_is_accepted_and_every_report_names_its_digest(
    trtcheck: Trtcheck, tree: FakeRoot, workers: list[str]
) -> None:
    built = image_of(tree, trtcheck)
    result = trtcheck.run("--trtcheck-image=image.tar", *TARGET, *workers)
    assert result.ret == 0, result.stdout.str()
    name = f"{REFERENCE} (sha256:{digest(built.config)})"
    stack = trtcheck.report["stack"]
    assert (stack["kind"], stack["name"]) == ("image", name)
    assert trtcheck.report["level"] == "static"
    assert {entry["suite"] for entry in trtcheck.report["results"]} == {"stack"}
    assert not [entry for entry in trtcheck.results() if entry.startswith(("TRC-IMP", "TRC-DEV"))]
    folder = trtcheck.report_folder
    for file in ("TEST-trtcheck.xml", "report.md"):
        assert digest(built.config) in (folder / file).read_text(), file
    assert digest(built.config) in result.stdout.str().replace("\n", "").replace(" ", "")


def test_a_frozen_image_accepts_itself_and_rejects_another_with_the_difference(
    trtcheck: Trtcheck, tree: FakeRoot
) -> None:
    image_of(tree, trtcheck)
    assert trtcheck.run("--trtcheck-image=image.tar", *TARGET, "--trtcheck-freeze=pins.yaml").ret == 0
    pins = ("--trtcheck-pins=pins.yaml", *TARGET)
    assert trtcheck.run("--trtcheck-image=image.tar", *pins).ret == 0
    assert trtcheck.results()["TRC-IMG-001-versions"] == ("passed", None)
    tree.host(f"{LIB}/libnccl.so.2.27.5").rename(tree.host(f"{LIB}/libnccl.so.2.28.3"))
    tree.host(f"{LIB}/libnccl.so.2").unlink()
    tree.link(f"{LIB}/libnccl.so.2", "libnccl.so.2.28.3")
    image_of(tree, trtcheck, "other.tar")
    result = trtcheck.run("--trtcheck-image=other.tar", *pins)
    assert result.ret == 1
    (finding,) = [one for one in trtcheck.report["findings"] if one["verdict"] == "incompatible"]
    assert finding["found"] == "nccl is 2.28.3, pinned 2.27.5"
    assert finding["components"] == ["nccl"]
    assert trtcheck.results()["TRC-IMG-001-packages"] == ("passed", None)


def test_a_rejected_image_is_not_written_down_as_known_good(trtcheck: Trtcheck, tree: FakeRoot) -> None:
    image_of(tree, trtcheck)
    args = ("--trtcheck-image=image.tar", "--trtcheck-target-driver=450.80.02", "--trtcheck-freeze=pins.yaml")
    result = trtcheck.run(*args)
    assert result.ret == 1
    assert not (trtcheck.pytester.path / "pins.yaml").exists()
    result.stdout.fnmatch_lines(["*pins.yaml was not written: the image was rejected"])


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--trtcheck-image=none.tar"], "none.tar: no such file or folder"),
        (["--trtcheck-image=image.tar", "--trtcheck-target-gpu=H1000"], "--trtcheck-target-gpu: expected names"),
        (["--trtcheck-image=image.tar", "--trtcheck-level=quick"], "an image is judged at level static"),
        (["--trtcheck-image=image.tar", "--trtcheck-stack=image.tar"], "two things to judge"),
        (["--trtcheck-image=image.tar", "--trtcheck-pins=none.yaml"], "none.yaml: expected a file that can be read"),
        (["--trtcheck-pins=pins.yaml"], "--trtcheck-pins has no effect without --trtcheck-image"),
        (["--trtcheck-image=cut.tar"], "cut.tar"),
    ],
)
def test_bad_options_and_images_are_one_line_and_exit_4(
    trtcheck: Trtcheck, tree: FakeRoot, args: list[str], words: str
) -> None:
    image_of(tree, trtcheck)
    whole = (trtcheck.pytester.path / "image.tar").read_bytes()
    (trtcheck.pytester.path / "cut.tar").write_bytes(whole[:20_000])
    result = trtcheck.run(*args)
    assert result.ret == 4
    lines = [line for line in result.stderr.lines if line.strip()]
    assert len(lines) == 1, lines
    assert words in lines[0]


def inspect(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pytest_trtcheck", "inspect", *args], capture_output=True, text=True)


def test_inspect_prints_the_facts_alone(trtcheck: Trtcheck, tree: FakeRoot) -> None:
    image_of(tree, trtcheck)
    path = str(trtcheck.pytester.path / "image.tar")
    text = inspect(path)
    assert text.returncode == 0
    assert "9.10.2.21" in text.stdout
    assert "engine path /models/llama/1/model.plan, size_bytes 128, tensorrt 10.14.1.48" in text.stdout
    document: dict[str, Any] = json.loads(inspect(path, "--format=json").stdout)
    assert document["facts"]["torch"]["value"] == "2.9.0"
    assert {entry["name"] for entry in document["distributions"]} >= {"torch", "requests"}


def test_inspect_of_no_image_is_one_line_and_exit_4(tmp_path: Path) -> None:
    result = inspect(str(tmp_path / "none"))
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.count("\n") == 1


AUDIT = """
import sys
from pathlib import Path
allowed = tuple(sys.argv[2:])
on = False
def hook(event, args):
    if not on:
        return
    if event.startswith(("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.", "socket.")):
        print("STARTED", event, args)
    if event == "open" and not str(args[0]).startswith(allowed) and not isinstance(args[0], int):
        print("OPENED", args[0])
    if event in {"os.listdir", "os.scandir"} and not str(args[0]).startswith(allowed):
        print("LISTED", args[0])
sys.addaudithook(hook)
from pytest_trtcheck.cli import main
import pytest_trtcheck.image.facts, pytest_trtcheck.image.opened, pytest_trtcheck.probe.elf, elftools.elf.elffile
on = True
print("status", main(["inspect", sys.argv[1]]))
"""


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_nothing_outside_the_image_is_read_and_nothing_is_started(tmp_path: Path, tree: FakeRoot, form: str) -> None:
    tree.link("/etc/passwd", "/etc/passwd")
    tree.link("/etc/environment", "../../../../../../../../etc/hosts")
    tree.link(f"{LIB}/libcublas.so.12", "/usr/lib/libcublas.so.12")
    tree.link(f"{SITE}/vllm-0.11.2.dist-info", "/usr/lib/python3")
    tree.file("/usr/bin/python3.12", "#!/bin/sh\ntouch /tmp/started-by-the-image\n")
    tree.host("/usr/bin/python3.12").chmod(0o755)
    path = tree.path
    if form == "archive":
        path = Built([tar_of(tree)], packed="gzip").docker_legacy(tmp_path / "image.tar")
    own = [str(Path(sys.prefix)), str(Path(sys.base_prefix)), str(Path(__file__).parents[2])]
    result = subprocess.run([sys.executable, "-c", AUDIT, str(path), str(path), *own], capture_output=True, text=True)
    assert "status 0" in result.stdout, result.stderr
    astray = [line for line in result.stdout.splitlines() if line.startswith(("STARTED", "OPENED", "LISTED"))]
    assert not astray
