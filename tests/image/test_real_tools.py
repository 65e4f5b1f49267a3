"""Images made by skopeo, buildah and umoci, held against their unpacked roots; skipped where the tool is missing."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import Target
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.rules.load import load_matrix
from tests.fakeroot import LIB, SITE, FakeRoot
from tests.image.listing import listing
from tests.image.test_sources import facts_of, stack_of
from tests.images import Built, serving_tree, tar_of


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed; apt-get install {tool}")


def run(*command: str | Path) -> None:
    env = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    tree = serving_tree(tmp_path / "root")
    tree.file("/usr/share/noise", random.Random(1).randbytes(3_000_000))
    os.link(tree.host("/usr/share/noise"), tree.host("/usr/share/same"))
    tree.file(f"/opt/{'long' * 50}/{'name' * 40}", "long")
    return tree


FORMATS = {
    "docker-archive": ("docker-archive:{}/image.tar", []),
    "oci-archive-gzip": ("oci-archive:{}/image.tar", ["--dest-compress-format=gzip"]),
    "oci-archive-zstd": ("oci-archive:{}/image.tar", ["--dest-compress-format=zstd"]),
    "oci-folder-plain": ("oci:{}/image", ["--dest-oci-accept-uncompressed-layers"]),
    "oci-folder-gzip": ("oci:{}/image", ["--dest-compress"]),
}


@pytest.mark.parametrize("form", FORMATS)
def test_what_skopeo_saves_reads_as_the_unpacked_root(tree: FakeRoot, tmp_path: Path, form: str) -> None:
    needs("skopeo")
    upper = FakeRoot(tmp_path / "upper")
    upper.file("/opt/app/.wh.nothing")
    upper.file("/opt/app/run", "x")
    source = Built([tar_of(tree), tar_of(upper)]).oci_folder(tmp_path / "source")
    target, options = FORMATS[form]
    run("skopeo", "--insecure-policy", "copy", *options, f"oci:{source}", target.format(tmp_path))
    tree.file("/opt/app/run", "x")
    saved = tmp_path / ("image.tar" if "archive" in form else "image")
    with open_image(str(saved)) as image:
        assert listing(image.root) == listing(tree.root)
        stack = probe_image(image, Target(), load_matrix(()))
    assert stack.value("cudnn") == "9.10.2.21"
    assert image.digest.startswith("sha256:")


def test_what_docker_would_load_from_skopeo_has_its_reference(tree: FakeRoot, tmp_path: Path) -> None:
    needs("skopeo")
    source = Built([tar_of(tree)]).oci_folder(tmp_path / "source")
    target = f"docker-archive:{tmp_path}/image.tar:registry.example/team/app:1.0"
    run("skopeo", "--insecure-policy", "copy", f"oci:{source}", target)
    with open_image(f"{tmp_path}/image.tar@registry.example/team/app:1.0") as image:
        assert image.references == ("registry.example/team/app:1.0",)


def test_layers_that_umoci_repacked_read_as_umoci_unpacks_them(tree: FakeRoot, tmp_path: Path) -> None:
    needs("umoci")
    Built([tar_of(tree)], references=["base"]).oci_folder(tmp_path / "image")
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/image:base", tmp_path / "bundle")
    changed = FakeRoot(tmp_path / "bundle/rootfs")
    shutil.rmtree(changed.host(f"{SITE}/torch"))
    changed.host(f"{LIB}/libnccl.so.2").unlink()
    changed.file(f"{LIB}/libnccl.so.2.28.3", "new")
    changed.link(f"{LIB}/libnccl.so.2", "libnccl.so.2.28.3")
    shutil.rmtree(changed.host("/models/llm"))
    changed.file("/models/llm", "a file now")
    run("umoci", "repack", "--image", f"{tmp_path}/image:changed", tmp_path / "bundle")
    # Unpacked afresh: what umoci itself makes of the layers that it wrote.
    run("umoci", "unpack", "--rootless", "--image", f"{tmp_path}/image:changed", tmp_path / "fresh")
    truth = Root(tmp_path / "fresh/rootfs")
    with open_image(f"{tmp_path}/image@changed") as image:
        assert image.layers == 2
        assert listing(image.root) == listing(truth)
        found = probe_image(image, Target(), load_matrix(()))
    assert not found.get("torch_cuda").is_found
    bundle = stack_of(tmp_path / "fresh")
    assert {k: f.value for k, f in facts_of(found).items()} == {k: f.value for k, f in facts_of(bundle).items()}


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_what_buildah_commits_reads_as_its_root(tree: FakeRoot, tmp_path: Path, form: str) -> None:
    needs("buildah")
    storage: list[str | Path] = [
        "buildah",
        "--root",
        tmp_path / "storage",
        "--runroot",
        tmp_path / "run",
        "--storage-driver",
        "vfs",
    ]
    run(*storage, "from", "--name", "work", "scratch")
    run(*storage, "copy", "work", tree.path, "/")
    run(*storage, "config", "--env", "LD_LIBRARY_PATH=/usr/local/cuda/lib64", "--label", "team=serving", "work")
    run(*storage, "commit", "--disable-compression=false", "work", f"{form}:{tmp_path}/image.tar")
    with open_image(str(tmp_path / "image.tar")) as image:
        expected = {path: what for path, what in listing(tree.root).items() if path != "/usr/share/same"}
        found = listing(image.root)
        assert {path: what for path, what in found.items() if path in expected} == expected
        assert found["/usr/share/same"] == found["/usr/share/noise"]
        assert image.env["LD_LIBRARY_PATH"] == "/usr/local/cuda/lib64"
        stack = probe_image(image, Target(), load_matrix(()))
    assert stack.get("image").details["labels"]["team"] == "serving"
    assert stack.value("tensorrt") == "10.14.1.48"
