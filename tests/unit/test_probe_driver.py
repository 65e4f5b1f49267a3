"""The driver and the libcuda in use. A tiny library compiled here stands in for libcuda: no driver is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.child import ChildEnd
from pytest_trtcheck.probe.devices import probe_devices
from pytest_trtcheck.probe.driver import LibcudaReading, driver_cuda_fact, driver_fact, libcuda_fact, read_libcuda
from pytest_trtcheck.probe.nvml import NvmlReading
from pytest_trtcheck.probe.platforms import KernelDriver, jetson_fact, read_kernel_driver, wsl_fact
from pytest_trtcheck.probe.root import Root
from tests.fakeroot import root_with
from tests.native import compile_library, needs_gcc

PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder@U22-I3)\n"
JETSON = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.4.0  Release Build  (buildbrain@mobile)\n"
STAND_IN = """
#include <stdio.h>
#include <string.h>
int cuDriverGetVersion(int *version) { *version = VERSION; return 0; }
int cuInit(unsigned flags) { INIT; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) { strcpy(name, "Stand-in GPU"); return 0; }
int cuDeviceGetAttribute(int *value, int what, int device) { *value = what == 75 ? 9 : 0; return 0; }
"""


@pytest.mark.parametrize(
    ("text", "version", "kind"),
    [(PROPRIETARY, "550.54.15", "proprietary"), (OPEN, "580.65.06", "open"), (JETSON, "540.4.0", "open")],
)
def test_version_of_the_kernel_module(tmp_path: Path, text: str, version: str, kind: str) -> None:
    driver = read_kernel_driver(root_with(tmp_path, {"/proc/driver/nvidia/version": text + "GCC version:  12.3.0\n"}))
    assert (driver.version, driver.kind, driver.reason) == (version, kind, "")


@pytest.mark.parametrize("text", ["", "GCC version: gcc 12.3.0\n", "NVRM version: something new\n", "\0" * 100])
def test_version_file_in_other_words_is_shown(tmp_path: Path, text: str) -> None:
    driver = read_kernel_driver(root_with(tmp_path, {"/proc/driver/nvidia/version": text}))
    assert driver.version is None
    assert "expected a line 'NVRM version: …', found" in driver.reason
    assert not driver.is_absent
    assert driver_fact(driver, None).state is State.UNREADABLE


def test_no_version_file_is_no_driver_unless_a_device_node_says_otherwise(tmp_path: Path) -> None:
    assert driver_fact(read_kernel_driver(Root(tmp_path)), None).state is State.ABSENT
    behind = read_kernel_driver(root_with(tmp_path, {"/dev/nvidiactl": ""}))
    fact = driver_fact(behind, None)
    assert fact.state is State.UNREADABLE
    assert fact.reason == "/proc/driver/nvidia/version does not exist, though /dev/nvidiactl does"
    told = driver_fact(behind, NvmlReading(driver="580.1.1"))
    assert (told.value, told.where) == ("580.1.1", "NVML")


def test_agreement_of_kernel_module_and_nvml_needs_no_words() -> None:
    fact = driver_fact(KernelDriver("580.65.06", "open"), NvmlReading(driver="580.65.06"))
    assert (fact.value, fact.reason) == ("580.65.06", "")
    assert fact.details == {"kernel_module": "580.65.06", "nvml": "580.65.06", "kind": "open"}


Probe = Callable[..., dict[str, Fact]]


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Probe with a stand-in libcuda at the head of the loader's search; NVML is hidden."""

    def run(
        file: str, *, version: int = 13000, init: str = "return 0", kernel: str = OPEN, deadline_seconds: float = 20
    ) -> dict[str, Fact]:
        library = tmp_path / file
        flags = [f"-DVERSION={version}", f"-DINIT={init}", "-Wl,-soname,libcuda.so.1"]
        compile_library(library, STAND_IN, flags)
        (library.parent / "libcuda.so.1").symlink_to(library.name)
        (tmp_path / "pynvml.py").write_text("raise ImportError('hidden')\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
        root = root_with(tmp_path / "root", {"/proc/driver/nvidia/version": kernel})
        return probe_devices(root, level=Level.QUICK, env={}, deadline_seconds=deadline_seconds)[0]

    return run


@needs_gcc
def test_libcuda_of_the_driver_is_told_with_file_and_version(tmp_path: Path, probe: Probe) -> None:
    facts = probe("lib/libcuda.so.580.65.06")
    path = str((tmp_path / "lib/libcuda.so.580.65.06").resolve())
    assert facts["libcuda"].details == {"compat": False, "path": path, "version": "580.65.06"}
    assert facts["libcuda"].copies[0].path == path
    cuda = facts["driver_cuda"]
    assert (cuda.value, cuda.where, cuda.how, cuda.reason) == ("13.0", path, "cuDriverGetVersion", "")
    assert cuda.details["cu_init"]["name"] == "CUDA_SUCCESS"


@needs_gcc
def test_gpus_come_from_libcuda_when_nvml_is_not_there(probe: Probe) -> None:
    facts = probe("lib/libcuda.so.580.65.06")
    assert (facts["gpu"].value, facts["gpu"].how) == ("Stand-in GPU", "cuDeviceGetName")
    assert facts["gpu"].details["condition"] == "nvml_missing"
    assert (facts["sm"].value, facts["gpu_count"].value) == ("9.0", "1")


@needs_gcc
@pytest.mark.parametrize(
    ("file", "kernel"),
    [("compat/libcuda.so.580.65.06", OPEN), ("lib/libcuda.so.580.65.06", PROPRIETARY)],
    ids=["by its folder", "by its version"],
)
def test_compat_libcuda_is_recognised(probe: Probe, file: str, kernel: str) -> None:
    assert probe(file, kernel=kernel)["libcuda"].details["compat"] is True


@needs_gcc
def test_compat_libcuda_of_another_release_names_both(probe: Probe) -> None:
    fact = probe("lib/libcuda.so.580.65.06", kernel=PROPRIETARY)["libcuda"]
    assert fact.reason == "it is from release 580.65.06, the kernel module is 550.54.15"


@needs_gcc
def test_libcuda_named_as_on_wsl_has_no_version_and_is_no_compat(probe: Probe) -> None:
    fact = probe("lib/libcuda.so.1.1")["libcuda"]
    assert fact.is_found
    assert fact.details["version"] is None
    assert fact.details["compat"] is False


@needs_gcc
@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        (803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "libcuda and the kernel driver do not fit"),
        (804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "data-centre GPUs"),
        (100, "CUDA_ERROR_NO_DEVICE", "no GPU is visible to CUDA"),
        (802, "CUDA_ERROR_SYSTEM_NOT_READY", "fabric manager"),
        (4242, "CUresult 4242", "not a known result"),
    ],
)
def test_result_of_cu_init_is_named_and_the_version_stays(probe: Probe, code: int, name: str, words: str) -> None:
    fact = probe("lib/libcuda.so.580.65.06", init=f"return {code}")["driver_cuda"]
    assert fact.value == "13.0"
    assert (fact.details["cu_init"]["code"], fact.details["cu_init"]["name"]) == (code, name)
    assert words in fact.reason
    assert fact.details["devices"] == []


@needs_gcc
def test_cu_init_that_hangs_costs_its_deadline_and_keeps_the_version(probe: Probe) -> None:
    fact = probe("lib/libcuda.so.580.65.06", init="for(;;)", deadline_seconds=1)["driver_cuda"]
    assert fact.value == "13.0"
    assert fact.reason.startswith("cuInit did not return: the child process hung")
    assert fact.details["cu_init"]["code"] is None


@needs_gcc
def test_cu_init_that_crashes_keeps_the_version(probe: Probe) -> None:
    fact = probe("lib/libcuda.so.580.65.06", init="return *(volatile int *)0")["driver_cuda"]
    assert (fact.value, fact.reason) == ("13.0", "cuInit did not return: the child process was ended by SIGSEGV")


def test_missing_and_unusable_libcuda_are_told_apart() -> None:
    words = "libcuda.so.1: cannot open shared object file: No such file or directory"
    absent = read_libcuda(ChildEnd(records=({"kind": "missing", "text": words},)))
    assert libcuda_fact(absent, KernelDriver(None)).state is State.ABSENT
    assert driver_cuda_fact(absent, None).state is State.ABSENT
    broken = read_libcuda(ChildEnd(records=({"kind": "missing", "text": "libcuda.so.1: file too short"},)))
    assert libcuda_fact(broken, KernelDriver(None)).state is State.UNREADABLE
    crashed = read_libcuda(ChildEnd(signal="SIGBUS", returncode=-7))
    assert "could not be loaded: the child process was ended by SIGBUS" in driver_cuda_fact(crashed, None).reason


def test_nvml_stands_in_for_a_libcuda_that_told_nothing() -> None:
    fact = driver_cuda_fact(LibcudaReading(problem="gone", missing=True), NvmlReading(cuda="12.4"))
    assert (fact.value, fact.where, fact.reason) == ("12.4", "NVML", "gone")


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ({"/proc/sys/kernel/osrelease": "5.15.90.1-microsoft-standard-WSL2"}, State.FOUND),
        ({"/proc/sys/kernel/osrelease": "4.4.0-19041-Microsoft"}, State.FOUND),
        ({"/proc/sys/kernel/osrelease": "6.1.0", "/dev/dxg": ""}, State.FOUND),
        ({"/proc/sys/kernel/osrelease": "6.8.0-generic"}, State.ABSENT),
        ({}, State.UNREADABLE),
    ],
)
def test_wsl_kernel(tmp_path: Path, files: dict[str, str], state: State) -> None:
    assert wsl_fact(root_with(tmp_path, files)).state is state


@pytest.mark.parametrize(
    ("files", "state", "value"),
    [
        ({"/etc/nv_tegra_release": "# R35 (release), REVISION: 4.1, GCID: 1"}, State.FOUND, "35.4.1"),
        ({"/proc/device-tree/model": "NVIDIA Jetson Orin Nano\0"}, State.FOUND, None),
        ({"/proc/device-tree/model": "Raspberry Pi 5\0"}, State.ABSENT, None),
        ({"/etc/nv_tegra_release": "garbage"}, State.ABSENT, None),
        ({}, State.ABSENT, None),
    ],
)
def test_jetson(tmp_path: Path, files: dict[str, str], state: State, value: str | None) -> None:
    fact = jetson_fact(root_with(tmp_path, files))
    assert (fact.state, fact.value) == (state, value)
