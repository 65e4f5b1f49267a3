"""GPUs, and every reason why there are none, told apart. NVML is a stand-in here: no GPU is needed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.model.facts import Fact, Gpu, State
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe import child_pool
from pytest_trtcheck.probe.child import ChildEnd
from pytest_trtcheck.probe.devices import probe_devices
from pytest_trtcheck.probe.nvml import cuda_text, read_nvml
from pytest_trtcheck.probe.root import Root

H200 = {
    "name": "NVIDIA H200",
    "uuid": "GPU-1",
    "capability": [9, 0],
    "memory": [150_000_000_000, 149_000_000_000],
    "bus": "00000000:19:00.0",
    "ecc": [1, 1],
    "ecc_errors": 2,
    "mig": [0, 0],
}
PROC_580 = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22)\n"
    "GCC version:  gcc version 12.3.0\n"
)
Probed = tuple[dict[str, Fact], tuple[Gpu, ...]]
Probe = Callable[..., Probed]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of a fake root that has a kernel and no driver."""
    base = tmp_path / "root"
    put(base, "/proc/sys/kernel/osrelease", "6.8.0-generic\n")
    return base


def put(base: Path, path: str, text: str = "") -> None:
    target = base / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def put_proc_gpu(base: Path, minor: int, *, has_node: bool = True) -> None:
    put(
        base,
        f"/proc/driver/nvidia/gpus/0000:{minor}9:00.0/information",
        f"Model: \t\t NVIDIA L4\nIRQ:   \t\t 12\nGPU UUID: \t GPU-{minor}\nBus Type: \t PCIe\n"
        f"Bus Location: \t 0000:{minor}9:00.0\nDevice Minor: \t {minor}\n",
    )
    if has_node:
        put(base, f"/dev/nvidia{minor}")


@pytest.fixture
def probe(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Probe the fake root with the stand-in for pynvml that plays what it is told."""
    modules = tmp_path / "modules"
    modules.mkdir()
    shutil.copy(Path(__file__).parents[1] / "fake_nvml.py", modules / "pynvml.py")
    monkeypatch.setenv("PYTHONPATH", str(modules))
    # An empty file first in the search keeps the libcuda of a machine with a driver out of these tests.
    (modules / "libcuda.so.1").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(modules))

    def run(
        play: Mapping[str, Any], env: Mapping[str, str] | None = None, deadline_seconds: float = 20
    ) -> tuple[dict[str, Fact], tuple[Gpu, ...]]:
        monkeypatch.setenv("FAKE_NVML", json.dumps(play))
        facts, gpus, seconds = probe_devices(
            Root(root), level=Level.QUICK, env=env or {}, deadline_seconds=deadline_seconds
        )
        assert set(seconds) == {"driver files", "NVML", "libcuda"}
        return facts, gpus

    return run


def condition(facts: Mapping[str, Fact]) -> str:
    return str(facts["gpu"].details["condition"])


def test_sound_gpus_are_told_in_full(probe: Probe) -> None:
    other = H200 | {"name": b"x".decode(), "uuid": "GPU-2", "capability": [8, 9]}
    facts, gpus = probe({"driver": "580.65.06", "cuda": 13000, "gpus": [H200, other]})
    assert gpus[0] == Gpu(
        index=0,
        name="NVIDIA H200",
        uuid="GPU-1",
        compute_capability="9.0",
        memory_total_bytes=150_000_000_000,
        memory_free_bytes=149_000_000_000,
        pci_bus_id="00000000:19:00.0",
        mig_mode="disabled",
        ecc="enabled",
        ecc_uncorrected_errors=2,
    )
    assert (facts["gpu"].value, condition(facts), facts["gpu"].reason) == ("NVIDIA H200", "ok", "")
    assert (facts["sm"].value, facts["sm"].details["all"]) == ("9.0", ["9.0", "8.9"])
    assert facts["gpu_count"].value == "2"
    assert facts["mig"].value == "disabled"
    assert facts["driver"].value == "580.65.06"
    assert facts["driver_cuda"].value == "13.0"


def test_what_a_gpu_does_not_have_is_no_problem(probe: Probe) -> None:
    _, (gpu,) = probe({"driver": "1.1", "cuda": 12040, "gpus": [{"name": "RTX", "uuid": "u", "capability": [8, 9]}]})
    assert (gpu.ecc, gpu.mig_mode, gpu.memory_total_bytes, gpu.note) == ("", "", None, "")


def test_field_that_could_not_be_read_is_noted(probe: Probe) -> None:
    _, (gpu,) = probe({"driver": "1.1", "cuda": 12040, "gpus": [H200 | {"memory": {"error": 4}}]})
    assert gpu.memory_total_bytes is None
    assert gpu.note == "memory: fake error 4"


@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        (18, "nvml_mismatch", "NVML error 18 (fake error 18): the kernel module is of another release"),
        (9, "driver_not_loaded", "no kernel module answers; modprobe nvidia"),
        (4, "not_permitted", "not ours to open"),
        (15, "gpu_lost", "see dmesg for Xid"),
        (16, "gpu_lost", "reset the GPU"),
        (12, "no_driver", "no kernel module and no libnvidia-ml.so.1"),
        (999, "error", "NVML error 999"),
    ],
)
def test_errors_of_nvml_are_told_apart(probe: Probe, code: int, name: str, words: str) -> None:
    facts, gpus = probe({"init": code})
    assert (condition(facts), gpus) == (name, ())
    assert words in facts["gpu"].reason
    expected = State.ABSENT if name == "no_driver" else State.UNREADABLE
    assert {facts[key].state for key in ("gpu", "sm", "gpu_count", "mig")} == {expected}
    assert facts["gpu"].details["nvml_error"] == code


def test_mismatch_names_the_version_of_the_kernel_module(root: Path, probe: Probe) -> None:
    put(root, "/proc/driver/nvidia/version", PROC_580)
    facts, _ = probe({"init": 18, "driver": "575.1.1"})
    assert "the kernel module is 580.65.06 and libnvidia-ml is not" in facts["gpu"].reason
    assert facts["driver"].value == "580.65.06"
    assert (facts["driver"].details["kernel_module"], facts["driver"].details["nvml"]) == ("580.65.06", "575.1.1")
    assert "NVML tells 575.1.1, the kernel module 580.65.06" in facts["driver"].reason


def test_driver_of_the_host_without_its_library_is_a_container_without_gpu_access(root: Path, probe: Probe) -> None:
    put(root, "/proc/driver/nvidia/version", PROC_580)
    facts, _ = probe({"init": 12})
    assert condition(facts) == "nvml_missing"
    assert "the kernel module 580.65.06 is loaded but libnvidia-ml.so.1 is not here" in facts["gpu"].reason
    assert "--gpus all" in facts["gpu"].reason


def test_loaded_module_without_device_nodes_is_told(root: Path, probe: Probe) -> None:
    put(root, "/proc/driver/nvidia/version", PROC_580)
    facts, _ = probe({"init": 9})
    assert condition(facts) == "driver_not_loaded"
    assert "its device nodes are not here" in facts["gpu"].reason


def test_variable_that_hides_all_gpus_is_named(probe: Probe) -> None:
    facts, _ = probe({"driver": "1.1", "cuda": 12040, "gpus": []}, env={"NVIDIA_VISIBLE_DEVICES": "void"})
    assert condition(facts) == "no_device"
    assert "NVIDIA_VISIBLE_DEVICES=void" in facts["gpu"].reason
    assert facts["gpu"].state is State.ABSENT


def test_wsl_without_nvml_has_its_own_words(root: Path, probe: Probe) -> None:
    put(root, "/proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    put(root, "/dev/dxg")
    facts, _ = probe({"init": 12})
    assert condition(facts) == "wsl"
    assert "/usr/lib/wsl/lib" in facts["gpu"].reason
    assert facts["wsl_kernel"].value == "5.15.153.1-microsoft-standard-WSL2"


def test_jetson_without_nvml_has_its_own_words(root: Path, probe: Probe) -> None:
    put(root, "/etc/nv_tegra_release", "# R36 (release), REVISION: 4.0, GCID: 37537400, BOARD: generic\n")
    facts, _ = probe({"init": 12})
    assert condition(facts) == "jetson"
    assert facts["jetson"].value == "36.4.0"


def test_missing_python_module_is_its_own_reason(root: Path, tmp_path: Path, probe: Probe) -> None:
    (tmp_path / "modules" / "pynvml.py").write_text("raise ImportError('it is gone')\n")
    facts, _ = probe({})
    assert condition(facts) == "nvml_missing"
    assert "the Python module pynvml cannot be imported (it is gone): pip install nvidia-ml-py" in facts["gpu"].reason


def test_lost_gpu_beside_a_sound_one_is_named(probe: Probe) -> None:
    lost = {"handle": {"error": 15}}
    facts, gpus = probe({"driver": "1.1", "cuda": 12040, "gpus": [H200, lost]})
    assert condition(facts) == "gpu_lost"
    assert "GPU 1 is lost" in facts["gpu"].reason
    assert [gpu.name for gpu in gpus] == ["NVIDIA H200", ""]
    assert gpus[1].note == "handle: fake error 15"
    assert facts["sm"].value == "9.0"


def test_gpus_we_may_not_open_are_told(probe: Probe) -> None:
    facts, _ = probe({"driver": "1.1", "cuda": 12040, "gpus": [{"handle": {"error": 4}}]})
    assert condition(facts) == "not_permitted"
    assert facts["sm"].state is State.UNREADABLE
    assert "handle: fake error 4" in facts["sm"].reason


def test_mig_with_instances_lists_them(probe: Probe) -> None:
    instances = [{"uuid": "MIG-1", "name": "H200 MIG 1g.18gb", "memory": [18_000, 17_000]}, {"uuid": "MIG-2"}]
    facts, (gpu,) = probe({"driver": "1.1", "cuda": 12040, "gpus": [H200 | {"mig": [1, 1], "instances": instances}]})
    assert (gpu.mig_mode, gpu.mig_devices) == ("enabled", ("MIG-1", "MIG-2"))
    assert (condition(facts), facts["mig"].value) == ("ok", "enabled")
    assert facts["mig"].details["instances"][0] == {
        "gpu": 0,
        "uuid": "MIG-1",
        "name": "H200 MIG 1g.18gb",
        "memory_total_bytes": 18_000,
    }


def test_mig_without_instances_cannot_compute(probe: Probe) -> None:
    facts, gpus = probe({"driver": "1.1", "cuda": 12040, "gpus": [H200 | {"mig": [1, 1]}]})
    assert condition(facts) == "mig_without_instances"
    assert "nvidia-smi mig" in facts["gpu"].reason
    assert gpus[0].name == "NVIDIA H200"


def test_gpu_that_hangs_costs_only_itself(probe: Probe) -> None:
    play = {"driver": "1.1", "cuda": 12040, "gpus": [H200, H200 | {"name": "hang"}]}
    facts, gpus = probe(play, deadline_seconds=2)
    assert [gpu.name for gpu in gpus] == ["NVIDIA H200"]
    assert condition(facts) == "error"
    assert "NVML told of 1 of 2 GPUs, then the child process hung" in facts["gpu"].reason
    assert facts["sm"].value == "9.0"


def test_nvml_that_never_answers_is_an_error_in_words(tmp_path: Path, probe: Probe) -> None:
    (tmp_path / "modules" / "pynvml.py").write_text("import ctypes\nctypes.string_at(0)\n")
    facts, _ = probe({})
    assert condition(facts) == "error"
    assert facts["gpu"].reason == "NVML gave no answer: the child process was ended by SIGSEGV"


def static(base: Path, env: Mapping[str, str] | None = None) -> Probed:
    facts, gpus, seconds = probe_devices(Root(base), level=Level.STATIC, env=env or {})
    assert set(seconds) == {"driver files"}
    return facts, gpus


def test_level_static_reads_files_and_starts_no_child(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(child_pool, "run_child", refuse)
    put(root, "/proc/driver/nvidia/version", PROC_580)
    put_proc_gpu(root, 0)
    facts, gpus = static(root)
    assert gpus == (Gpu(0, "NVIDIA L4", "GPU-0", "", pci_bus_id="0000:09:00.0"),)
    assert (facts["gpu"].value, condition(facts), facts["gpu_count"].value) == ("NVIDIA L4", "ok", "1")
    assert {facts[key].state for key in ("sm", "mig", "driver_cuda")} == {State.NOT_PROBED}
    assert facts["sm"].reason
    assert "libcuda" not in facts


def test_level_static_sees_a_container_without_device_nodes(root: Path) -> None:
    put(root, "/proc/driver/nvidia/version", PROC_580)
    put_proc_gpu(root, 0, has_node=False)
    put_proc_gpu(root, 1, has_node=False)
    facts, gpus = static(root)
    assert condition(facts) == "no_device"
    assert "lists 2 GPUs and no device node of them is here" in facts["gpu"].reason
    assert gpus[1].note == "its device node /dev/nvidia1 is not here"


@pytest.mark.parametrize(
    ("files", "name", "state"),
    [
        ({}, "no_driver", State.ABSENT),
        ({"/proc/driver/nvidia/version": PROC_580}, "no_device", State.ABSENT),
        ({"/dev/nvidiactl": ""}, "error", State.UNREADABLE),
        ({"/dev/dxg": ""}, "wsl", State.UNREADABLE),
        ({"/proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"}, "jetson", State.UNREADABLE),
    ],
)
def test_level_static_without_gpus_tells_why(root: Path, files: dict[str, str], name: str, state: State) -> None:
    for path, text in files.items():
        put(root, path, text)
    facts, gpus = static(root)
    assert (condition(facts), facts["gpu"].state, gpus) == (name, state, ())
    assert facts["gpu"].reason


def test_broken_files_of_the_kernel_are_noted(root: Path) -> None:
    put(root, "/proc/driver/nvidia/version", PROC_580)
    (root / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    put(root, "/proc/driver/nvidia/gpus/0000:02:00.0/information", "no colon here\n: : :\n")
    _, gpus = static(root)
    assert "information: does not exist" in gpus[0].note
    assert (gpus[1].name, gpus[1].pci_bus_id) == ("", "0000:02:00.0")


@pytest.mark.parametrize(
    ("number", "text"), [(12040, "12.4"), (13000, "13.0"), (11080, "11.8"), (0, None), (None, None), ("x", None)]
)
def test_number_of_the_cuda_api_as_a_version(number: object, text: str | None) -> None:
    assert cuda_text(number) == text


def test_records_of_odd_types_are_no_crash() -> None:
    end = ChildEnd(
        records=(
            {"kind": "system", "driver": 5, "cuda": "x", "count": "two"},
            {"kind": "gpu", "index": 0, "name": None, "memory_total_bytes": "big"},
        )
    )
    reading = read_nvml(end)
    assert (reading.driver, reading.cuda, reading.count) == (None, None, None)
    assert reading.gpus[0].name == ""
