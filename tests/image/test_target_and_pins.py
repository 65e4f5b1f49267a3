"""What an image is judged for, and what it is held against."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck.errors import OptionError, TrtcheckError
from pytest_trtcheck.image.facts import probe_image
from pytest_trtcheck.image.opened import open_image
from pytest_trtcheck.image.pins import Contents, contents_of, differences, read_pins, to_text
from pytest_trtcheck.image.target import Target, read_target, target_facts
from pytest_trtcheck.rules.load import load_matrix
from tests.fakeroot import stanza
from tests.images import serving_tree

MATRIX = load_matrix(())


@pytest.mark.parametrize(
    ("names", "capabilities"),
    [
        ("H100,L40S", ["9.0", "8.9"]),
        ("NVIDIA H100 80GB HBM3", ["9.0"]),
        (" RTX 5090 , B200", ["12.0", "10.0"]),
        ("L4,L4", ["8.9"]),
    ],
)
def test_gpus_are_resolved_by_the_matrix(names: str, capabilities: list[str]) -> None:
    facts = target_facts(read_target(names, "", MATRIX), MATRIX)
    assert facts["sm"].details["all"] == capabilities
    assert facts["sm"].where.startswith("gpu/")
    assert facts["gpu"].how == "assumed"


@pytest.mark.parametrize(
    ("gpus", "driver", "words"),
    [
        ("H1000", "", "--trtcheck-target-gpu: expected names of GPUs that the matrix knows"),
        ("x\x1b[31m", "", r"found 'x\\x1b[31m'"),
        ("L" * 5000, "", "found 'LLL"),
        (",".join(f"H{number}" for number in range(65)), "", "at most 64 GPUs"),
        ("H100", "latest", "--trtcheck-target-driver: expected a driver version such as 580.65.06, found 'latest'"),
        ("", "580..1", "found '580..1'"),
    ],
)
def test_a_target_that_means_nothing_is_refused_in_one_line(gpus: str, driver: str, words: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_target(gpus, driver, MATRIX)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_an_assumed_driver_tells_the_cuda_that_came_with_it() -> None:
    facts = target_facts(read_target("", "580.65.06", MATRIX), MATRIX)
    assert (facts["driver"].value, facts["driver_cuda"].value) == ("580.65.06", "13.0")
    assert facts["driver_cuda"].how == "implied"


def test_what_is_not_said_of_the_target_is_not_probed_and_says_how_to_say_it() -> None:
    facts = target_facts(Target(), MATRIX)
    assert not any(fact.is_found for fact in facts.values())
    assert "--trtcheck-target-driver" in facts["driver"].reason
    assert "--trtcheck-target-gpu" in facts["gpu"].reason


def contents(path: Path) -> Contents:
    with open_image(str(path)) as image:
        return contents_of(probe_image(image, Target(), MATRIX), image.root)


def test_what_was_frozen_reads_back_and_does_not_differ(tmp_path: Path) -> None:
    frozen = contents(serving_tree(tmp_path / "root").path)
    path = tmp_path / "pins.yaml"
    path.write_text(to_text(frozen))
    pins = read_pins(path, "pins.yaml")
    assert pins.groups == frozen.groups
    assert pins.groups["versions"]["cudnn"] == "9.10.2.21"
    assert pins.groups["python"]["requests"] == "2.32.3"
    assert pins.groups["packages"]["libnccl2"] == "2.27.5-1+cuda12.9"
    assert differences(pins, frozen) == {"versions": [], "python": [], "packages": []}


def test_every_difference_is_named(tmp_path: Path) -> None:
    tree = serving_tree(tmp_path / "root")
    pins = contents(tree.path)
    tree.dist("requests", "2.32.4")
    tree.host("/usr/local/lib/python3.12/dist-packages/requests-2.32.3.dist-info").rename(tmp_path / "old")
    tree.dist("flashinfer-python", "0.5.2")
    tree.dpkg(stanza("libcudnn9-cuda-12", "9.11.0.98-1"), libcudnn9__cuda__12=[])
    found = differences(pins, contents(tree.path))
    assert found["python"] == ["flashinfer-python 0.5.2 is new", "requests is 2.32.4, pinned 2.32.3"]
    assert found["packages"] == [
        "libcudnn9-cuda-12 is 9.11.0.98-1, pinned 9.10.2.21-1", "libnccl2 2.27.5-1+cuda12.9 is missing",
    ]  # fmt: skip
    assert "flashinfer 0.5.2 is new" in found["versions"]


def test_a_group_that_was_deleted_from_the_pins_may_change(tmp_path: Path) -> None:
    pins = Contents("", "", {"versions": {"torch": "2.9.0"}})
    assert list(differences(pins, contents(serving_tree(tmp_path / "root").path))) == ["versions"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected one document with format"),
        ("format: 2\nversions: {a: b}", "expected one document with format: '1'"),
        ("format: 1\nversion: {a: b}", "found 'version'"),
        ("format: 1\nversions: [a]", "pins.yaml: versions: expected names with versions"),
        ("format: 1\nversions: {a: [b]}", "expected names with versions"),
        ("format: 1\nversions: {}", "expected at least one version, found none"),
        ("a: [", "expected YAML or JSON"),
        ("- x", "expected one document"),
        ("format: 1\nversions: {a: &x b, c: *x}", "anchor"),
    ],
)
def test_pins_that_are_none_are_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "pins.yaml"
    path.write_text(text)
    with pytest.raises(TrtcheckError) as caught:
        read_pins(path, "pins.yaml")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
