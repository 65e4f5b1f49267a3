"""GPU code by component: of a root, of an image held against its targets, and of a live host in a child process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_trtcheck.binaries.audit import component_of, probe_gpu_code
from pytest_trtcheck.binaries.host import gpu_code_of_host
from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import read_target
from pytest_trtcheck.model.facts import State
from pytest_trtcheck.model.finding import Finding, Verdict
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.rules.catalogue import load_catalogue
from pytest_trtcheck.rules.load import load_matrix
from pytest_trtcheck.verdict import evaluate
from tests.fakeroot import SITE, FakeRoot
from tests.images import Built, serving_tree, tar_of
from tests.stacks import gpu, stack

LINKED = Path(__file__).parents[1] / "data" / "binaries" / "linked.so"
"""Made by nvcc for sm_75, sm_80, sm_90a, sm_100f, sm_120 and compute_120."""
MATRIX, CATALOGUE = load_matrix(), load_catalogue()


@pytest.mark.parametrize(
    ("path", "component"),
    [
        (f"{SITE}/torch/lib/libtorch_cuda.so", "torch"),
        (f"{SITE}/torchaudio/lib/libtorchaudio.so", ""),
        (f"{SITE}/nvidia/cudnn/lib/libcudnn_ops.so.9", "cudnn"),
        (f"{SITE}/tensorrt_libs/libnvinfer.so.10", "tensorrt"),
        (f"{SITE}/flash_attn_2_cuda.cpython-312-x86_64-linux-gnu.so", "flash_attn"),
        (f"{SITE}/vllm/_C.abi3.so", "vllm"),
        ("/usr/lib/x86_64-linux-gnu/libnccl.so.2.27.5", "nccl"),
        ("/opt/tritonserver/backends/dali/libdali.so", "triton_server"),
        ("/opt/mine/libplugin.so", ""),
    ],
)
def test_files_belong_to_the_package_that_brings_them(path: str, component: str) -> None:
    assert component_of(path) == component


def test_packages_of_other_pythons_are_left_out(tmp_path: Path) -> None:
    tree = FakeRoot(tmp_path / "root")
    other = "/opt/other/lib/python3.11/site-packages/vllm/_C.abi3.so"
    for path in (f"{SITE}/vllm/_C.abi3.so", other, "/opt/mine/libplugin.so"):
        tree.file(path, LINKED.read_bytes())
    tree.file("/opt/mine/broken.so", b"\x7fELF broken")
    paths = [f"{SITE}/vllm/_C.abi3.so", other, "/opt/mine/libplugin.so", "/opt/mine/broken.so", "/gone.so"]
    fact = probe_gpu_code(tree.root, paths, sites=(SITE,))
    assert [(one["component"], one["path"]) for one in fact.details["files"]] == [
        ("vllm", f"{SITE}/vllm/_C.abi3.so"),
        ("", "/opt/mine/libplugin.so"),
    ]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("H100", Verdict.COMPATIBLE), ("L40S", Verdict.COMPATIBLE), ("B200", Verdict.COMPATIBLE),
     ("V100", Verdict.INCOMPATIBLE), ("Jetson AGX Orin", Verdict.INCOMPATIBLE)],
)  # fmt: skip
@pytest.mark.parametrize("packed", ["plain", "gzip"])
def test_an_image_is_held_against_its_target_gpus(tmp_path: Path, name: str, verdict: Verdict, packed: str) -> None:
    tree = serving_tree(tmp_path / "root")
    tree.file(f"{SITE}/vllm/_C.abi3.so", LINKED.read_bytes())
    path = Built([tar_of(tree)], packed=packed).docker_blobs(tmp_path / "image.tar")
    with open_image(str(path)) as image:
        facts = probe_image(image, read_target(name, "580.65.06", MATRIX), MATRIX)
    found = evaluate(facts, MATRIX, CATALOGUE, level=Level.STATIC).by_key()["TRC-GPU-001-vllm"]
    assert isinstance(found, Finding)
    assert found.verdict is verdict
    assert name in found.expected
    json.dumps(dict(facts.facts["gpu_code"].details))


def test_a_live_host_is_read_in_a_child(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    (site / "vllm").mkdir(parents=True)
    (site / "vllm" / "_C.abi3.so").write_bytes(LINKED.read_bytes())
    fact = gpu_code_of_host(stack(gpus=[gpu()]), [str(site), str(tmp_path / "gone" / "site-packages")])
    assert fact.state is State.FOUND, fact.reason
    assert [one["component"] for one in fact.details["files"] if one["path"].startswith(str(site))] == ["vllm"]


def test_without_a_gpu_a_live_host_is_not_read() -> None:
    assert gpu_code_of_host(stack(), ["/usr/lib/python3/dist-packages"]).state is State.NOT_PROBED
