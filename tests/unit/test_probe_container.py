"""The container: runtime, limits, and variables without their secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_trtcheck.model.facts import State
from pytest_trtcheck.probe.container import (
    MASK,
    container_fact,
    container_facts,
    cpus_fact,
    env_fact,
    memlock_fact,
    memory_fact,
    shm_fact,
)
from pytest_trtcheck.probe.root import Root
from tests.fakeroot import root_with


@pytest.mark.parametrize(
    ("files", "env", "runtime"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({"/.singularity.d/x": ""}, {}, "apptainer"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "x"}, {}, "kubernetes"),
        ({}, {"container": "oci"}, "oci"),
        ({"/proc/1/cgroup": "0::/kubepods.slice/x\n"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "12:cpu:/docker/abc\n"}, {}, "docker"),
        ({"/proc/1/cgroup": "0::/init.scope\n"}, {}, None),
        ({}, {}, None),
    ],
)
def test_runtime(tmp_path: Path, files: dict[str, str], env: dict[str, str], runtime: str | None) -> None:
    fact = container_fact(root_with(tmp_path, files), env)
    assert (fact.value, fact.is_found) == (runtime, runtime is not None)
    assert bool(fact.reason) != fact.is_found


def test_variables_of_the_stack_are_kept_and_others_are_not() -> None:
    env = {
        "CUDA_VERSION": "12.9.1",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "TENSORRT_VERSION": "10.11.0.33",
        "TRT_VERSION": "10.11",
        "CUDNN_VERSION": "9.10",
        "NCCL_VERSION": "2.27",
        "LD_LIBRARY_PATH": "/a:/b",
        "HOME": "/root",
        "MY_CUDA_THING": "x",
    }
    fact = env_fact(env)
    assert set(fact.details["variables"]) == set(env) - {"HOME", "MY_CUDA_THING"}
    assert fact.details["variables"]["CUDA_VERSION"] == "12.9.1"


@pytest.mark.parametrize(
    "name",
    ["NGC_API_KEY", "NGC_CLI_API_KEY", "NVIDIA_TOKEN", "TRITON_PASSWORD", "CUDA_SECRET_X", "NVIDIA_CREDENTIALS"],
)
def test_what_looks_like_a_secret_is_masked(name: str) -> None:
    fact = env_fact({name: "hunter2"})
    assert fact.details["variables"] == {name: MASK}
    assert "hunter2" not in repr(fact)


def test_password_inside_a_url_is_masked() -> None:
    fact = env_fact({"TRITON_REPOSITORY": "https://me:hunter2@host/models"})
    assert fact.details["variables"]["TRITON_REPOSITORY"] == f"https://{MASK}@host/models"


def test_hostile_value_is_bounded_and_printable() -> None:
    (value,) = env_fact({"CUDA_X": "\x1b[2J\udcff" + "y" * 10_000}).details["variables"].values()
    assert len(value) == 500
    assert value.isprintable()


@pytest.mark.parametrize(("value", "hidden"), [("void", True), ("none", True), ("all", False), ("0,1", False)])
def test_hidden_gpus_are_recorded(value: str, hidden: bool) -> None:
    assert env_fact({"NVIDIA_VISIBLE_DEVICES": value}).details["hides_all_gpus"] is hidden


def test_entrypoint_that_declared_cpu_only_is_recorded() -> None:
    assert env_fact({"NVIDIA_CPU_ONLY": "1"}).details["declared_cpu_only"] is True
    assert env_fact({}).details["declared_cpu_only"] is False
    assert env_fact({}).state is State.ABSENT
    assert env_fact({"CUDA_VISIBLE_DEVICES": ""}).details["cuda_visible_devices"] == ""


def test_monthly_tags_of_ngc_images(tmp_path: Path) -> None:
    env = {"NVIDIA_TRITON_SERVER_VERSION": "25.08", "NVIDIA_PYTORCH_VERSION": "main"}
    facts = container_facts(Root(tmp_path), env)
    assert facts["triton_container"].value == "25.08"
    assert facts["ngc_pytorch"].state is State.UNREADABLE
    assert "found 'main'" in facts["ngc_pytorch"].reason
    assert container_facts(Root(tmp_path), {})["triton_container"].state is State.ABSENT


@pytest.mark.parametrize(
    ("files", "state", "value"),
    [
        ({"/sys/fs/cgroup/memory.max": "17179869184\n"}, State.FOUND, "17179869184"),
        ({"/sys/fs/cgroup/memory.max": "max\n"}, State.ABSENT, None),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, State.FOUND, "4096"),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, State.ABSENT, None),
        ({"/sys/fs/cgroup/memory.max": "lots\n"}, State.UNREADABLE, None),
        ({"/sys/fs/cgroup/memory.max/x": ""}, State.UNREADABLE, None),
        ({}, State.ABSENT, None),
    ],
)
def test_memory_limit(tmp_path: Path, files: dict[str, str], state: State, value: str | None) -> None:
    fact = memory_fact(root_with(tmp_path, files))
    assert (fact.state, fact.value) == (state, value)


V1 = "/sys/fs/cgroup/cpu/cpu.cfs_{0}_us"


@pytest.mark.parametrize(
    ("files", "state", "value"),
    [
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, State.FOUND, "1.5"),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, State.ABSENT, None),
        ({V1.format("quota"): "800000\n", V1.format("period"): "100000\n"}, State.FOUND, "8"),
        ({V1.format("quota"): "-1\n", V1.format("period"): "100000\n"}, State.ABSENT, None),
        ({"/sys/fs/cgroup/cpu.max": "100000 0\n"}, State.UNREADABLE, None),
        ({V1.format("quota"): "800000\n"}, State.UNREADABLE, None),
        ({}, State.ABSENT, None),
    ],
)
def test_cpu_limit(tmp_path: Path, files: dict[str, str], state: State, value: str | None) -> None:
    fact = cpus_fact(root_with(tmp_path, files))
    assert (fact.state, fact.value) == (state, value)


def test_size_of_shared_memory(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    assert shm_fact(str(tmp_path)).value == str(found.f_blocks * found.f_frsize)
    missing = shm_fact(str(tmp_path / "none"))
    assert (missing.state, missing.reason) == (State.UNREADABLE, f"{tmp_path}/none: No such file or directory")


def test_memlock_is_a_number_or_unlimited() -> None:
    value = memlock_fact().value
    assert value is not None
    assert value == "unlimited" or value.isdecimal()


def test_limits_of_a_root_that_does_not_run_are_not_ours(tmp_path: Path) -> None:
    facts = container_facts(Root(tmp_path), {}, is_host=False)
    limits = ("shm_bytes", "memlock_bytes", "cgroup_memory_bytes", "cgroup_cpus")
    assert {facts[key].state for key in limits} == {State.NOT_PROBED}
