"""Opening images: which one of several, what is no image, what is hostile. Each failure is one line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import limits, store
from pytest_trtcheck.image.facts import environment, probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.target import Target
from pytest_trtcheck.rules.load import load_matrix
from tests.fakeroot import FakeRoot
from tests.images import REFERENCE, Built, digest, entry, folder, link, serving_tree, tar, tar_of

LAYER = tar(folder("etc"), entry("etc/name", "first"))
OTHER = tar(folder("etc"), entry("etc/name", "second"))


def refused(path: Path | str) -> str:
    """Return the one line with which an image is refused."""
    with pytest.raises(ImageError) as caught, open_image(str(path)) as image:
        probe_image(image, Target(), load_matrix(()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def two_images(path: Path) -> Path:
    configs = [Built([layer]).config for layer in (LAYER, OTHER)]
    manifest = [
        {"Config": f"{digest(config)}.json", "RepoTags": [f"app:{number}"], "Layers": [f"{number}.tar"]}
        for number, config in enumerate(configs, 1)
    ]
    entries = [entry(f"{digest(config)}.json", config) for config in configs]
    entries += [entry("1.tar", LAYER), entry("2.tar", OTHER), entry("manifest.json", json.dumps(manifest))]
    path.write_bytes(tar(*entries))
    return path


def test_one_of_several_images_is_named_by_its_reference(tmp_path: Path) -> None:
    path = two_images(tmp_path / "both.tar")
    assert "expected one image, found 2; there are: app:1; app:2; name one as PATH@REFERENCE" in refused(path)
    assert "no image is app:3; there are: app:1; app:2" in refused(f"{path}@app:3")
    for number, text in (("1", "first"), ("2", "second")):
        with open_image(f"{path}@app:{number}") as image:
            assert image.root.read_text("/etc/name") == text
            assert image.name.startswith(f"app:{number} (sha256:")


def test_one_of_several_platforms_is_named_and_attestations_are_no_images(tmp_path: Path) -> None:
    manifests = []
    for architecture, layer in (("amd64", LAYER), ("arm64", OTHER)):
        index = json.loads(Built([layer]).oci_folder(tmp_path / "image").joinpath("index.json").read_text())
        manifests.append({**index["manifests"][0], "platform": {"os": "linux", "architecture": architecture}})
    manifests.append({**manifests[0], "platform": {"os": "unknown", "architecture": "unknown"}})
    inner = json.dumps({"manifests": manifests}).encode()
    (tmp_path / "image/blobs/sha256" / digest(inner)).write_bytes(inner)
    nested = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest(inner)}"}
    (tmp_path / "image/index.json").write_text(json.dumps({"manifests": [nested]}))
    assert "linux/amd64" in refused(tmp_path / "image")
    with open_image(f"{tmp_path}/image@linux/arm64") as image:
        assert image.root.read_text("/etc/name") == "second"


def nested(path: Path, depth: int) -> Path:
    """Write a layout whose index lies in an index, ``depth`` times."""
    Built([LAYER]).oci_folder(path)
    index = (path / "index.json").read_bytes()
    for _ in range(depth):
        (path / "blobs/sha256" / digest(index)).write_bytes(index)
        entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": f"sha256:{digest(index)}"}
        index = json.dumps({"manifests": [entry]}).encode()
    (path / "index.json").write_bytes(index)
    return path


def test_indexes_within_indexes_are_followed_so_far(tmp_path: Path) -> None:
    with open_image(str(nested(tmp_path / "some", 8))) as image:
        assert image.root.read_text("/etc/name") == "first"
    assert "indexes within indexes, more than 8 deep" in refused(nested(tmp_path / "many", 9))


@pytest.mark.parametrize(
    "mark",
    [
        {"platform": {"os": "unknown", "architecture": "unknown"}},
        {"platform": {"os": "linux"}, "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
    ],
)
def test_an_image_with_an_attestation_is_one_image(tmp_path: Path, mark: dict[str, Any]) -> None:
    path = Built([LAYER]).oci_folder(tmp_path / "image")
    index = json.loads((path / "index.json").read_text())
    index["manifests"].append({"digest": f"sha256:{'0' * 64}", **mark})
    (path / "index.json").write_text(json.dumps(index))
    with open_image(str(path)) as image:
        assert image.root.read_text("/etc/name") == "first"


def test_a_huge_document_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_DOCUMENT_BYTES", 100)
    assert "larger than the 100 bytes" in refused(Built([LAYER]).docker_blobs(tmp_path / "image.tar"))


def test_a_path_may_hold_an_at_sign(tmp_path: Path) -> None:
    path = Built([LAYER]).docker_blobs(tmp_path / "a@b.tar")
    for given in (path, f"{path}@{REFERENCE}"):
        with open_image(str(given)) as image:
            assert image.references == (REFERENCE,)


def test_layers_that_images_share_are_linked(tmp_path: Path) -> None:
    with open_image(str(Built([LAYER, OTHER, LAYER]).docker_legacy(tmp_path / "image.tar"))) as image:
        assert image.layers == 3
        assert image.root.read_text("/etc/name") == "first"


def test_a_runtime_bundle_has_the_variables_of_its_process(tmp_path: Path) -> None:
    tree = FakeRoot(tmp_path / "bundle/rootfs")
    tree.file("/etc/name", "bundle")
    (tmp_path / "bundle/config.json").write_text(json.dumps({"process": {"env": ["A=b", "broken"]}}))
    with open_image(str(tmp_path / "bundle")) as image:
        assert image.kind == "runtime bundle"
        assert image.env == {"A": "b"}
        assert image.root.read_text("/etc/name") == "bundle"


def test_a_running_process_is_read_through_its_root_with_its_variables() -> None:
    env = {"NVIDIA_VISIBLE_DEVICES": "all", "PATH": os.defpath}
    process = subprocess.Popen(["cat"], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        # Once it answers, the kernel has its variables in place.
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"x\n")
        process.stdin.flush()
        process.stdout.readline()
        with open_image(f"/proc/{process.pid}/root") as image:
            assert image.kind == "running container"
            assert image.env["NVIDIA_VISIBLE_DEVICES"] == "all"
            assert image.root.is_dir("/etc")
    finally:
        process.kill()
        process.communicate()


def test_variables_of_the_config_come_before_those_of_etc(tmp_path: Path) -> None:
    tree = FakeRoot(tmp_path / "root")
    tree.file("/etc/environment", '# comment\nexport A="etc"\nB=etc\nnonsense\n')
    path = Built([tar_of(tree)], env=["A=config"]).docker_blobs(tmp_path / "image.tar")
    with open_image(str(path)) as image:
        assert environment(image) == {"A": "config", "B": "etc"}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path / "none.tar", "no such file or folder"),
        (lambda path: "docker://nvcr.io/nvidia/pytorch", "save an image to one with docker save"),
        (lambda path: "x\0y", "x\\x00y: "),
        (lambda path: path, "expected an OCI layout or the root of a file system, found another folder"),
        (lambda path: file(path, b""), "expected an archive of an image"),
        (lambda path: file(path, b"hello" * 1000), "expected an archive of an image"),
        (lambda path: file(path, b"\x1f\x8b" + b"x" * 1000), "damaged gzip data"),
        (lambda path: file(path, tar(entry("notes.txt", "x"))), "no image: neither manifest.json nor index.json"),
        (lambda path: file(path, tar(entry("repositories", "{}"))), "without manifest.json; save it anew"),
        (lambda path: file(path, tar(entry("manifest.json", "{"))), "expected a JSON document"),
        (lambda path: file(path, tar(entry("manifest.json", "[" * 100_000))), "expected a JSON document"),
        (lambda path: file(path, tar(entry("manifest.json", "[]"))), "expected one image, found 0; there are: none"),
        (lambda path: manifest(path, {}), "expected Config and Layers"),
        (lambda path: manifest(path, {"Config": 1, "Layers": []}), "expected Config and Layers"),
        (lambda path: manifest(path, {"Config": "../../etc/passwd", "Layers": []}), "etc/passwd: missing"),
        (lambda path: manifest(path, {"Config": "config.json", "Layers": ["gone.tar"]}), "gone.tar: a layer that"),
        (lambda path: manifest(path, {"Config": "config.json", "Layers": ["loop"]}), "the links of loop form a loop"),
        (lambda path: manifest(path, {"Config": "config.json", "Layers": ["config.json"]}), "expected a tar archive"),
        (lambda path: manifest(path, {"Config": f"{'0' * 64}.json", "Layers": []}), "the image is damaged"),
        (lambda path: oci(path, "manifests", [{"digest": "sha256:../../../etc/passwd"}]), "expected a digest sha256:"),
        (lambda path: oci(path, "manifests", [{"digest": f"sha256:{'0' * 64}"}]), "missing from the image"),
        (lambda path: oci(path, "manifests", 7), "expected one image, found 0"),
        (lambda path: oci(path, "manifests", ["x"]), "expected a JSON object"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused_in_one_line(
    tmp_path: Path, make: Callable[[Path], Path | str], words: str
) -> None:
    assert words in refused(make(tmp_path))


def file(path: Path, data: bytes) -> Path:
    (path / "image.tar").write_bytes(data)
    return path / "image.tar"


def manifest(path: Path, fields: dict[str, Any]) -> Path:
    entries = [entry("manifest.json", json.dumps([fields])), entry(f"{'0' * 64}.json", "{}")]
    return file(path, tar(*entries, entry("config.json", "{}"), link("loop", "loop")))


def oci(path: Path, key: str, value: Any) -> Path:
    Built([LAYER]).oci_folder(path / "layout")
    (path / "layout/index.json").write_text(json.dumps({key: value}))
    return path / "layout"


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "expected an archive or a folder, found neither" in refused(tmp_path / "pipe")


def test_blobs_that_lead_out_of_a_layout_are_not_followed(tmp_path: Path) -> None:
    layout = Built([LAYER]).oci_folder(tmp_path / "layout")
    outside = tmp_path / "outside.tar"
    outside.write_bytes(LAYER)
    blob = layout / "blobs/sha256" / digest(LAYER)
    blob.unlink()
    blob.symlink_to(outside)
    assert "a layer that is not in the archive" in refused(layout)


@pytest.mark.parametrize("form", ["docker_legacy", "docker_blobs", "oci_archive"])
@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_a_truncated_archive_is_refused_unless_nothing_of_it_is_missing(tmp_path: Path, form: str, packed: str) -> None:
    layer = tar(entry("etc/a", os.urandom(20_000)), entry("etc/b", os.urandom(20_000)))
    path: Path = getattr(Built([layer], packed=packed), form)(tmp_path / "image.tar")
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for length in range(0, end, 997):
        path.write_bytes(whole[:length])
        with contextlib.suppress(ImageError), open_image(str(path)) as image:
            # All that the image needs stands before the cut; that it may be cut is told.
            assert "the archive has no end mark" in image.notes[0]
            assert image.root.size("/etc/b") == 20_000


def test_ten_thousand_layers_are_read_and_more_are_refused(tmp_path: Path) -> None:
    config = b"{}"
    names = [f"{number}.tar" for number in range(10_000)]
    entries = [entry(name, tar(entry(f"etc/{name}", name))[:1536]) for name in names]
    fields = {"Config": "config.json", "Layers": names}
    path = file(tmp_path, tar(*entries, entry("config.json", config), entry("manifest.json", json.dumps([fields]))))
    with open_image(str(path)) as image:
        assert len(image.root.listdir("/etc")) == 10_000
        assert image.root.read_text("/etc/9999.tar") == "9999.tar"
        assert len(image.notes) < 50
    fields["Layers"] = [*names, "1.tar"]
    path = file(tmp_path, tar(entry("config.json", config), entry("manifest.json", json.dumps([fields]))))
    assert "10001 layers; at most 10000 are read" in refused(path)


def test_too_many_files_and_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Built([tar(*(entry(f"etc/{number}") for number in range(50)))]).docker_blobs(tmp_path / "image.tar")
    monkeypatch.setattr(limits, "MAX_FILES", 49)
    assert "more than 49 files up to this layer" in refused(path)
    monkeypatch.setattr(limits, "MAX_FILES", 1000)
    monkeypatch.setattr(limits, "MAX_NAME_BYTES", 100)
    assert "more than 100 bytes of names" in refused(path)


def test_what_is_passed_over_is_told_in_the_report(tmp_path: Path) -> None:
    layer = tar(entry("../escape", "x"), entry("dev/null", type=tarfile.CHRTYPE), entry("etc/ok"))
    with open_image(str(Built([layer]).docker_blobs(tmp_path / "image.tar"))) as image:
        stack = probe_image(image, Target(), load_matrix(()))
    (problem,) = stack.get("image").details["problems"]
    assert "passed over '../escape'" in problem


def test_a_serving_image_is_known_by_its_prefixes_and_engines(tmp_path: Path) -> None:
    tree = serving_tree(tmp_path / "root")
    with open_image(str(tree.path)) as image:
        stack = probe_image(image, Target(), load_matrix(()))
    assert stack.value("python") == "3.12"
    assert stack.value("engine_built_with_tensorrt") == "10.14.1.48"
    assert stack.value("engine_built_with_tensorrt_llm") == "1.2.1"
    (folder_told,) = stack.get("engines").details["tensorrt_llm"]
    assert (folder_told["path"], folder_told["architecture"], folder_told["ranks"]) == (
        "/models/llm", "LlamaForCausalLM", 1,
    )  # fmt: skip
