"""Every form in which an image is saved reads the same as its files in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import Target
from pytest_trtcheck.model.facts import Fact, Stack
from pytest_trtcheck.rules.load import load_matrix
from tests.fakeroot import LIB, FakeRoot
from tests.images import REFERENCE, Built, digest, serving_tree, tar_of

OWN = {"image", "container"}
"""Facts in which a folder and an image differ by nature."""

FORMS: Mapping[str, Callable[[Built, Path, str], Path]] = {
    "docker-legacy": lambda built, path, outer: built.docker_legacy(path / "image.tar", outer),
    "docker-blobs": lambda built, path, outer: built.docker_blobs(path / "image.tar", outer),
    "oci-archive": lambda built, path, outer: built.oci_archive(path / "image.tar", outer),
    "oci-folder": lambda built, path, outer: built.oci_folder(path / "image"),
}


def stack_of(path: Path | str) -> Stack:
    with open_image(str(path)) as image:
        return probe_image(image, Target(), load_matrix(()))


def facts_of(stack: Stack) -> dict[str, Fact]:
    return {key: fact for key, fact in stack.facts.items() if key not in OWN}


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    tree = serving_tree(tmp_path / "root")
    tree.file("/etc/environment", 'PATH="/usr/local/bin:/usr/bin:/bin"\nLD_LIBRARY_PATH=/usr/local/cuda/lib64\n')
    return tree


@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("form", FORMS)
def test_an_image_reads_the_same_as_its_folder(tree: FakeRoot, tmp_path: Path, form: str, packed: str) -> None:
    upper = FakeRoot(tmp_path / "upper")
    upper.file("/opt/app/run.sh", "#!/bin/sh\n")
    built = Built([tar_of(tree), tar_of(upper)], packed=packed)
    found = stack_of(FORMS[form](built, tmp_path, "plain"))
    tree.file("/opt/app/run.sh", "#!/bin/sh\n")
    expected = stack_of(tree.path)
    assert facts_of(found) == facts_of(expected)
    assert found.distributions == expected.distributions
    assert found.value("torch") == "2.9.0"
    assert found.value("cudnn") == "9.10.2.21"


@pytest.mark.parametrize("outer", ["gzip", "zstd"])
@pytest.mark.parametrize("packed", ["plain", "gzip"])
@pytest.mark.parametrize("form", ["docker-legacy", "docker-blobs", "oci-archive"])
def test_a_packed_archive_reads_the_same(tree: FakeRoot, tmp_path: Path, form: str, packed: str, outer: str) -> None:
    built = Built([tar_of(tree)], packed=packed)
    assert facts_of(stack_of(FORMS[form](built, tmp_path, outer))) == facts_of(stack_of(tree.path))


def test_an_exported_root_file_system_is_an_image_without_config(tree: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "export.tar"
    path.write_bytes(tar_of(tree))
    found = stack_of(path)
    assert facts_of(found) == facts_of(stack_of(tree.path))
    assert found.get("image").details["kind"] == "root archive"


def test_the_image_is_known_by_the_digest_of_its_config(tree: FakeRoot, tmp_path: Path) -> None:
    built = Built([tar_of(tree)], labels={"org.opencontainers.image.version": "25.10", "api-token": "hunter2"})
    image = stack_of(built.docker_legacy(tmp_path / "image.tar")).get("image")
    assert image.value == f"sha256:{digest(built.config)}"
    assert image.details["references"] == [REFERENCE]
    assert image.details["entrypoint"] == ["/entry.sh"]
    assert image.details["labels"]["org.opencontainers.image.version"] == "25.10"
    assert "hunter2" not in str(image)


def test_a_password_in_the_entrypoint_is_masked(tmp_path: Path) -> None:
    layer = tar_of(serving_tree(tmp_path / "root"))
    built = Built([layer], entrypoint=["/serve", "--store=s3://user:hunter2@host/models"])
    told = str(stack_of(built.docker_legacy(tmp_path / "image.tar")).get("image").details["entrypoint"])
    assert "hunter2" not in told
    assert "@host/models" in told


def test_a_library_of_the_host_is_never_reported(tree: FakeRoot, tmp_path: Path) -> None:
    decoy = tmp_path / "host"
    FakeRoot(decoy).library("/libnvrtc.so.12.9.86")
    for name, target in (("libnvrtc.so.12", f"{decoy}/libnvrtc.so.12.9.86"), ("libcublas.so.12", "../" * 40 + "x")):
        tree.link(f"{LIB}/{name}", target)
    for path in (tree.path, Built([tar_of(tree)]).docker_legacy(tmp_path / "image.tar")):
        stack = stack_of(path)
        assert not stack.get("nvrtc").is_found, "its link leads to a file of the host"
        assert not stack.get("cublas").is_found
        assert str(decoy) not in str([fact.copies for fact in stack.facts.values()])
