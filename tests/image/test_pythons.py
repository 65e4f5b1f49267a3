"""Which Python of an image the stack runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck.image.pythons import Pythons, find_pythons, python_facts
from pytest_trtcheck.image.survey import survey
from tests.fakeroot import FakeRoot

VENV = "/opt/venv/lib/python3.11/site-packages"
CONDA = "/opt/conda/lib/python3.10/site-packages"
DEBIAN = "/usr/lib/python3/dist-packages"
LOCAL = "/usr/local/lib/python3.12/dist-packages"
OFFICIAL = "/usr/local/lib/python3.13/site-packages"
PATH = {"PATH": "/opt/venv/bin:/opt/conda/bin:/usr/local/bin:/usr/bin"}


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    tree = FakeRoot(tmp_path)
    tree.file("/usr/bin/python3.12")
    tree.link("/usr/bin/python3", "python3.12")
    tree.dist("wheel", "0.42", site=DEBIAN)
    tree.dist("torch", "2.9.0", site=LOCAL)
    return tree


def found(tree: FakeRoot, env: dict[str, str] | None = None) -> Pythons:
    root = tree.root
    return find_pythons(root, survey(root).sites, PATH if env is None else env)


def test_debians_python_searches_local_before_its_own_packages(tree: FakeRoot) -> None:
    pythons = found(tree)
    assert pythons.sys_path == (LOCAL, DEBIAN)
    assert python_facts(pythons)["python"].value == "3.12"


def test_a_python_built_into_usr_local_is_another_one(tree: FakeRoot) -> None:
    tree.file("/usr/local/bin/python3.13")
    tree.link("/usr/local/bin/python3", "python3.13")
    tree.dist("vllm", "0.11.2", site=OFFICIAL)
    pythons = found(tree)
    assert pythons.sys_path == (OFFICIAL,)
    assert {prefix.path for prefix in pythons.prefixes} == {"/usr", "/usr/local"}


@pytest.mark.parametrize(("system", "path"), [("false", (VENV,)), ("true", (VENV, LOCAL, DEBIAN))])
def test_a_virtual_environment_on_path_comes_first(tree: FakeRoot, system: str, path: tuple[str, ...]) -> None:
    tree.link("/opt/venv/bin/python3", "/usr/bin/python3.12")
    text = f"home = /usr/bin\ninclude-system-site-packages = {system}\nversion = 3.11.9\n"
    tree.file("/opt/venv/pyvenv.cfg", text)
    tree.dist("tensorrt-llm", "1.2.1", site=VENV)
    pythons = found(tree)
    assert pythons.sys_path == path
    assert python_facts(pythons)["python"].value == "3.11.9"
    assert pythons.why == "its python3 comes first on PATH"


def test_a_prefix_that_alone_has_the_stack_is_taken_before_the_one_on_path(tree: FakeRoot) -> None:
    tree.link("/opt/venv/bin/python3", "/usr/bin/python3.12")
    tree.file("/opt/venv/pyvenv.cfg", "home = /usr/bin\n")
    tree.dist("black", "25.1", site=VENV)
    pythons = found(tree)
    assert pythons.sys_path == (LOCAL, DEBIAN)
    assert pythons.why == "it has the stack; python3 on PATH, in /opt/venv, has nothing of it"


def test_without_path_the_prefix_with_most_of_the_stack_is_taken(tree: FakeRoot) -> None:
    for name in ("torch", "vllm", "transformers"):
        tree.dist(name, "1.0", site=CONDA)
    pythons = found(tree, {"PATH": "/nowhere", "PYTHONPATH": "/app:relative:/opt/x"})
    assert pythons.sys_path == ("/app", "/opt/x", CONDA)
    facts = python_facts(pythons)
    assert facts["python_prefixes"].value == "2"
    assert facts["python"].value == "3.10"
    listed = {prefix["path"]: prefix["stack"] for prefix in facts["python_prefixes"].details["prefixes"]}
    assert listed == {"/opt/conda": ["torch", "transformers", "vllm"], "/usr": ["torch"]}


def test_an_image_without_python_says_so(tmp_path: Path) -> None:
    facts = python_facts(found(FakeRoot(tmp_path)))
    assert not facts["python"].is_found
    assert "no site-packages" in facts["python"].reason


def test_the_survey_finds_code_and_engines_and_leaves_the_hosts_kernel_out(tree: FakeRoot) -> None:
    tree.file("/usr/lib/libx.so.1")
    tree.link("/usr/lib/libx.so", "libx.so.1")
    tree.file("/opt/kernels/a.cubin")
    tree.file("/models/a.engine")
    tree.file("/proc/1/root/usr/lib/libdecoy.so")
    seen = survey(tree.root)
    assert seen.libraries == ["/usr/lib/libx.so.1"]
    assert (seen.gpu_code, seen.plans) == (["/opt/kernels/a.cubin"], ["/models/a.engine"])
