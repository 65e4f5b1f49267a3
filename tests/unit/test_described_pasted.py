"""What people paste: every fact with its line, nothing guessed."""

from __future__ import annotations

import pytest

from pytest_trtcheck.described.errors import DescribedError
from pytest_trtcheck.described.formats import FORMS
from pytest_trtcheck.described.pasted import READERS, read_pasted, recognise
from pytest_trtcheck.described.read import read_stacks
from pytest_trtcheck.model.facts import Stack

SMI = """\
Tue Mar  4 10:12:44 2025
+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.86.15              Driver Version: 570.86.15      CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  NVIDIA H100 80GB HBM3          On  |   00000000:1B:00.0 Off |                    0 |
| N/A   31C    P0             71W /  700W |       4MiB /  81559MiB |      0%      Default |
|                                         |                        |             Disabled |
+-----------------------------------------+------------------------+----------------------+
|   1  NVIDIA H100 80GB HBM3          On  |   00000000:43:00.0 Off |                   On |
| N/A   33C    P0             72W /  700W |       4MiB /  81559MiB |     N/A      Default |
|                                         |                        |              Enabled |
+-----------------------------------------+------------------------+----------------------+
"""

SMI_OLD = """\
+-----------------------------------------------------------------------------+
| NVIDIA-SMI 450.80.02    Driver Version: 450.80.02    CUDA Version: 11.0     |
|-------------------------------+----------------------+----------------------+
|   0  Tesla V100-SXM2...  Off  | 00000000:00:1E.0 Off |                    0 |
| N/A   40C    P0    38W / 300W |      0MiB / 16160MiB |      0%      Default |
|                               |                      |                  N/A |
+-------------------------------+----------------------+----------------------+
"""

SMI_LIST = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c1f0b1e-0000-4000-8000-000000000001)
  MIG 1g.5gb      Device  0: (UUID: MIG-5c1f0b1e-0000-4000-8000-000000000002)
"""

SMI_LOG = """\
==============NVSMI LOG==============

Timestamp                                 : Tue Mar  4 10:12:44 2025
Driver Version                            : 535.161.08
CUDA Version                              : 12.2

Attached GPUs                             : 1
GPU 00000000:3B:00.0
    Product Name                          : NVIDIA L40S
    Product Brand                         : NVIDIA
    MIG Mode
        Current                           : N/A
        Pending                           : N/A
    PCI
        Device Id                         : 0x26B910DE
    ECC Mode
        Current                           : Enabled
"""

COLLECT = """\
Collecting environment information...
PyTorch version: 2.6.0+cu124
Is debug build: False
CUDA used to build PyTorch: 12.4
ROCM used to build PyTorch: N/A

OS: Ubuntu 22.04.5 LTS (x86_64)
GCC version: (Ubuntu 11.4.0-1ubuntu1~22.04) 11.4.0
Clang version: Could not collect
Libc version: glibc-2.35

Python version: 3.10.12 (main, Jan 17 2025, 14:35:34) [GCC 11.4.0] (64-bit runtime)
Python platform: Linux-5.15.167.4-microsoft-standard-WSL2-x86_64-with-glibc2.35
Is CUDA available: True
CUDA runtime version: 12.6.85
GPU models and configuration:
GPU 0: NVIDIA GeForce RTX 4090
GPU 1: NVIDIA GeForce RTX 3090

Nvidia driver version: 566.36
cuDNN version: Probably one of the following:
/usr/lib/x86_64-linux-gnu/libcudnn.so.8.9.7
/usr/lib/x86_64-linux-gnu/libcudnn_ops_infer.so.8.9.7
Is XNNPACK available: True

CPU:
Architecture:                    x86_64

Versions of relevant libraries:
[pip3] numpy==1.26.4
[pip3] nvidia-cublas-cu12==12.4.5.8
[pip3] nvidia-cudnn-cu12==9.1.0.70
[pip3] nvidia-nccl-cu12==2.21.5
[pip3] torch==2.6.0
[pip3] triton==3.2.0
[conda] Could not collect
"""

VLLM = COLLECT.replace("PyTorch version: ", "PyTorch version              : ").replace(
    "[conda] Could not collect\n",
    "[pip3] transformers==4.49.0\n[conda] numpy   1.26.4   pypi_0   pypi\n"
    "ROCM Version: Could not collect\nvLLM Version: 0.8.1\nvLLM Build Flags:\nCUDA Archs: Not Set\n",
)

PIP_LIST = """\
Package                  Version              Editable project location
------------------------ -------------------- -------------------------
flash_attn               2.7.4.post1
numpy                    2.1.3
nvidia-cuda-runtime-cu12 12.4.127
nvidia-cudnn-cu12        9.1.0.70
nvidia-nccl-cu12         2.21.5
nvidia-nccl-cu11         2.21.5
pynvml                   11.5.3
tensorrt_cu12            10.7.0.post1
tensorrt_cu12_bindings   10.7.0.post1
tensorrt_cu12_libs       10.7.0.post1
tensorrt-llm             0.16.0               /src/tensorrt_llm
torch                    2.5.1
[notice] A new release of pip is available: 24.0 -> 25.0
"""

FREEZE = """\
-e git+ssh://git@host/team/serve.git@0a1b2c#egg=serve
numpy==1.26.4
torch @ file:///wheels/torch-2.4.0%2Bcu118-cp310-cp310-linux_x86_64.whl#sha256=00
mpi4py @ file:///croot/mpi4py_1671223370575/work
onnxruntime-gpu==1.19.2
"""

FORM = """\
### System Info

- CPU architecture: x86_64
- CPU/Host memory size: 512 GB
- GPU properties
  - GPU name: 4x NVIDIA A100-SXM4-80GB, NVLink
  - GPU memory size: 80GB
- Libraries
  - TensorRT-LLM branch or tag: v0.9.0
  - TensorRT-LLM commit: 250d9c2
  - TensorRT: 9.3.0.post12.dev1
  - CUDA: 12.3
  - Container used: nvcr.io/nvidia/tritonserver:24.04-trtllm-python-py3
- NVIDIA driver version: 535.161.08
- OS: Ubuntu 22.04 (in the container)

### Who can help?
"""


def read(text: str, *forms_: str) -> Stack:
    return read_pasted(text, "paste", forms_ or recognise(text))


def values(stack: Stack) -> dict[str, str | None]:
    return {key: fact.value for key, fact in stack.facts.items() if key != "extra"}


def left_out(stack: Stack) -> str:
    return "\n".join(stack.get("extra").details.get("left_out", ()))


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (SMI, "nvidia-smi"),
        (SMI_OLD, "nvidia-smi"),
        (SMI_LIST, "nvidia-smi"),
        (SMI_LOG, "nvidia-smi"),
        (COLLECT, "collect-env"),
        (VLLM, "collect-env"),
        (PIP_LIST, "pip-list"),
        (FREEZE, "pip-list"),
        (FORM, "issue-form"),
    ],
)
def test_each_text_is_recognised_and_as_nothing_else(text: str, form: str) -> None:
    assert recognise(text) == (form,)


@pytest.mark.parametrize("text", ["driver: 550\ngpu: H100\n", '{"torch": "2.9.0"}', "", "hello", "a==b", "GPU name: x"])
def test_a_described_stack_is_not_taken_for_pasted_text(text: str) -> None:
    assert recognise(text) == ()


def test_nvidia_smi_gives_driver_cuda_gpus_and_mig() -> None:
    stack = read(SMI)
    assert values(stack) == {
        "driver": "570.86.15",
        "driver_cuda": "12.8",
        "gpu": "NVIDIA H100 80GB HBM3",
        "gpu_count": "2",
        "mig": "enabled",
    }
    assert stack.facts["driver"].where == "paste, line 3"
    assert stack.facts["gpu"].where == "paste, line 9"


def test_a_name_that_nvidia_smi_cut_short_keeps_its_dots() -> None:
    assert values(read(SMI_OLD)) == {
        "driver": "450.80.02",
        "driver_cuda": "11.0",
        "gpu": "Tesla V100-SXM2...",
        "gpu_count": "1",
    }


def test_a_list_of_gpus_completes_a_table() -> None:
    stack = read(SMI_OLD.replace("V100-SXM2...", "V100-SXM2...") + "GPU 0: Tesla V100-SXM2-16GB (UUID: GPU-1)\n")
    assert stack.value("gpu") == "Tesla V100-SXM2-16GB"


def test_nvidia_smi_list_gives_the_mig_profile() -> None:
    assert values(read(SMI_LIST)) == {"gpu": "NVIDIA A100-SXM4-40GB", "gpu_count": "1", "mig": "1g.5gb"}


def test_nvidia_smi_log_gives_the_pci_id_and_no_mode_of_another_section() -> None:
    assert values(read(SMI_LOG)) == {
        "driver": "535.161.08",
        "driver_cuda": "12.2",
        "gpu": "NVIDIA L40S",
        "gpu_count": "1",
        "pci_id": "10de:26b9",
    }


def test_nvidia_smi_under_windows_has_a_driver_model() -> None:
    row = "|   0  NVIDIA GeForce RTX 4070 ...  WDDM  |   00000000:01:00.0  On |                  N/A |"
    assert read(SMI_OLD + row).facts["gpu"].details["all"] == ["Tesla V100-SXM2...", "NVIDIA GeForce RTX 4070 ..."]


def test_collect_env_gives_torch_and_what_is_around_it() -> None:
    stack = read(COLLECT)
    assert values(stack) == {
        "torch": "2.6.0+cu124",
        "torch_cuda": "12.4",
        "os": "Ubuntu 22.04.5 LTS",
        "arch": "x86_64",
        "glibc": "2.35",
        "python": "3.10.12",
        "wsl_kernel": "5.15.167.4-microsoft-standard-WSL2",
        "cuda_toolkit": "12.6.85",
        "driver": "566.36",
        "gpu": "NVIDIA GeForce RTX 4090",
        "gpu_count": "2",
        "cudnn": "9.1.0.70",
        "nccl": "2.21.5",
        "numpy": "1.26.4",
        "triton_lang": "3.2.0",
        "nvidia_nccl_cu12": "2.21.5",
        "nvidia_wheels": "nvidia-cublas-cu12==12.4.5.8 nvidia-cudnn-cu12==9.1.0.70 nvidia-nccl-cu12==2.21.5",
    }
    assert stack.facts["gpu"].details["all"] == ["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 3090"]
    assert stack.facts["cudnn"].where == "paste, line 32"


def test_the_cudnn_that_collect_env_guesses_is_no_fact_for_an_index_build_of_torch() -> None:
    alone = COLLECT.replace("[pip3] nvidia-cudnn-cu12==9.1.0.70\n", "")
    stack = read(alone)
    assert "cudnn" not in stack.facts
    assert "cuDNN 8.9.7 of the system; torch may load another one" in left_out(stack)
    assert read(alone.replace("2.6.0+cu124", "2.6.0a0+ecf3bae40a.nv25.01")).value("cudnn") == "8.9.7"


def test_what_collect_env_could_not_collect_is_no_fact() -> None:
    text = (
        COLLECT.replace("566.36", "Could not collect")
        .replace("12.6.85", "Could not collect")
        .replace("12.4\n", "None\n")
    )
    assert not {"driver", "cuda_toolkit", "torch_cuda"} & values(read(text)).keys()


def test_vllm_collect_env_adds_vllm() -> None:
    stack = read(VLLM)
    assert stack.value("vllm") == "0.8.1"
    assert stack.value("torch") == "2.6.0+cu124"
    assert stack.value("transformers") == "4.49.0"
    assert stack.value("numpy") == "1.26.4"


def test_pip_list_gives_the_packages_of_the_vocabulary() -> None:
    stack = read(PIP_LIST)
    found = values(stack)
    assert found.pop("nvidia_wheels") is not None
    assert found == {
        "cuda_runtime": "12.4.127",
        "cudnn": "9.1.0.70",
        "tensorrt": "10.7.0.post1",
        "tensorrt_package_cuda": "12",
        "torch": "2.5.1",
        "tensorrt_llm": "0.16.0",
        "flash_attn": "2.7.4.post1",
        "numpy": "2.1.3",
        "tensorrt_cu12": "10.7.0.post1",
        "tensorrt_cu12_bindings": "10.7.0.post1",
        "pynvml": "11.5.3",
        "nvidia_nccl_cu11": "2.21.5",
        "nvidia_nccl_cu12": "2.21.5",
    }
    assert stack.facts["torch"].where == "paste, line 14"
    assert "nvidia-nccl-cu12 2.21.5 and nvidia-nccl-cu11 2.21.5 are both installed" in left_out(stack)


def test_bindings_without_their_library_are_not_tensorrt() -> None:
    stack = read("tensorrt-cu12-bindings==10.7.0\n")
    assert values(stack) == {"tensorrt_cu12_bindings": "10.7.0"}


def test_pip_freeze_reads_wheels_by_their_file_name_and_other_origins_as_unspecified() -> None:
    stack = read(FREEZE)
    assert values(stack) == {"torch": "2.4.0+cu118", "numpy": "1.26.4", "onnxruntime": "1.19.2", "mpi4py": None}
    assert stack.facts["mpi4py"].is_found


def test_an_issue_form_gives_what_its_labels_say() -> None:
    stack = read(FORM)
    assert values(stack) == {
        "arch": "x86_64",
        "gpu": "NVIDIA A100-SXM4-80GB",
        "gpu_count": "4",
        "tensorrt_llm": "0.9.0",
        "tensorrt": "9.3.0.post12.dev1",
        "triton_container": "24.04-trtllm-python-py3",
        "driver": "535.161.08",
        "os": "Ubuntu 22.04",
    }
    assert stack.facts["tensorrt_llm"].where == "paste, line 9"
    assert left_out(stack) == "line 12: CUDA 12.3: of the toolkit, the runtime or the driver?"


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("- GPU: A10", "gpu", "A10"),
        ("GPU name: NVIDIA TITAN RTX 24GB", "gpu", "NVIDIA TITAN RTX 24GB"),
        ("* **GPU**: 2 x L40S", "gpu", "L40S"),
        ("- TensorRT-LLM version: 0.8.0.dev2024012302", "tensorrt_llm", "0.8.0.dev2024012302"),
        ("TensorRT-LLM v0.7.1", "tensorrt_llm", "0.7.1"),
        ("- tensorrt_llm==0.12.0", "tensorrt_llm", "0.12.0"),
        ("- Nvida driver version: 545.23.08", "driver", "545.23.08"),
        ("- Driver: 550.54.15", "driver", "550.54.15"),
        ("- Docker image: nvcr.io/nvidia/pytorch:24.02-py3", "container", "nvcr.io/nvidia/pytorch:24.02-py3"),
        ("- CPU architecture: arm64", "arch", "aarch64"),
        ("- Python version: 3.10.12", "python", "3.10.12"),
        ("- PyTorch: 2.2.1+cu121", "torch", "2.2.1+cu121"),
    ],
)
def test_a_labelled_line_may_be_written_in_many_ways(line: str, key: str, value: str) -> None:
    assert read(line, "issue-form").value(key) == value


@pytest.mark.parametrize(
    "line",
    [
        "- TensorRT-LLM branch or tag (e.g., main, v0.7.1)",
        "- GPU name (e.g., NVIDIA H100, NVIDIA A100, NVIDIA L40S)",
        "- GPU memory size: 80GB",
        "- TensorRT-LLM commit: 250d9c2",
        "- NVIDIA driver version",
        "- OS (Ubuntu 22.04, CentOS 7, Windows 10)",
        "- Versions of TensorRT, AMMO, CUDA, cuBLAS, etc. used",
        "- GPU: some card",
    ],
)
def test_a_question_without_an_answer_is_no_fact(line: str) -> None:
    with pytest.raises(DescribedError, match="nothing was understood"):
        read(line, "issue-form")


def test_a_form_with_a_table_in_it_gives_both_and_tells_what_disagrees() -> None:
    stack = read(FORM + "\n" + SMI)
    assert recognise(FORM + SMI) == ("nvidia-smi", "issue-form")
    assert stack.value("driver") == "570.86.15"
    assert stack.value("tensorrt_llm") == "0.9.0"
    assert "driver 535.161.08: line 21 says 570.86.15" in left_out(stack)


def test_quoted_text_is_read_like_the_text() -> None:
    quoted = "\n".join(f"> {line}" for line in COLLECT.splitlines())
    assert values(read(quoted)) == values(read(COLLECT))


def test_windows_line_ends_change_nothing() -> None:
    assert values(read(SMI.replace("\n", "\r\n"))) == values(read(SMI))


def test_from_names_a_format_and_a_suffix_rules_pasted_text_out() -> None:
    assert ("auto", "yaml", *READERS) == FORMS
    (stack,) = read_stacks(PIP_LIST, "x", "pip-freeze")
    assert isinstance(stack, Stack)
    (wrong,) = read_stacks("driver: 550", "x", "nvidia-smi")
    assert str(wrong) == "x: expected output of nvidia-smi, found a text of which nothing was understood"
    assert all(isinstance(broken, DescribedError) for broken in read_stacks(SMI, "x.yaml"))
    (auto,) = read_stacks(SMI, "x.txt")
    assert isinstance(auto, Stack)
    assert auto.facts["driver"].how == "output of nvidia-smi"


def test_hostile_text_is_read_in_time() -> None:
    for text in ("| " * 500_000, "- GPU: " + "a (" * 100_000, "a" * 1_000_000 + "==1", "GPU 0: " + "x " * 300_000):
        for form in FORMS:
            list(read_stacks(text, "x", form))
        list(read_stacks(text, "x"))
