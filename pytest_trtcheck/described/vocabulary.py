"""The stack vocabulary: every key by which a stack may be described, and what its value is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

UNSPECIFIED = "unspecified"
"""Value of what is there without its version being known."""

EXTRA = "extra"
"""Key whose content is kept and never judged."""


class Kind(str, Enum):
    """What a value is."""

    DOTTED = "dotted version"
    PACKAGE = "package version"
    CAPABILITY = "compute capability"
    TAG = "container tag"
    GPU = "GPU name"
    FLAG = "on or off"
    INT = "whole number"
    LIST = "list"
    TEXT = "text"

    @property
    def is_version(self) -> bool:
        """True for kinds that may be given as a bound such as ``>=12.1``."""
        return self in {Kind.DOTTED, Kind.PACKAGE}


@dataclass(frozen=True)
class Entry:
    """One key of the vocabulary."""

    key: str
    kind: Kind
    title: str
    meaning: str
    example: str
    many: bool = False
    """True when a list of values is taken too, as for two GPU models in one machine."""
    words: tuple[str, str] | None = None
    """How true and false are kept; None where they mean nothing."""


def _entries() -> tuple[Entry, ...]:
    dotted, package, capability, tag = Kind.DOTTED, Kind.PACKAGE, Kind.CAPABILITY, Kind.TAG
    flag, number, many, text = Kind.FLAG, Kind.INT, Kind.LIST, Kind.TEXT
    return (
        Entry("gpu", Kind.GPU, "GPU", "Product name of the GPU as nvidia-smi writes it", "NVIDIA H100 80GB HBM3", True),
        Entry("sm", capability, "Compute capability", "Compute capability of the GPU", "9.0", True),
        Entry("gpu_count", number, "Number of GPUs", "How many GPUs the stack sees", "8"),
        Entry("mig", text, "MIG", "MIG mode, or the profile of the instance", "1g.10gb", words=("enabled", "disabled")),
        Entry("pci_id", text, "PCI id", "PCI vendor and device id of the GPU", "10de:2330"),
        Entry("arch", text, "Architecture", "Processor architecture of host and programs", "x86_64"),
        Entry("driver", dotted, "NVIDIA driver", "Version of the driver package on the host", "580.65.06"),
        Entry("driver_cuda", dotted, "Driver CUDA version", "Newest CUDA that the loaded libcuda supports", "13.0"),
        Entry("cuda_runtime", dotted, "CUDA runtime", "The libcudart that is loaded", "12.9"),
        Entry("cuda_toolkit", dotted, "CUDA toolkit", "The toolkit on disk, as nvcc tells it", "12.9.86"),
        Entry("required_cuda", dotted, "Required CUDA", "CUDA that a message or manifest asks for", "12.4"),
        Entry("cudnn", dotted, "cuDNN", "The cuDNN that is loaded", "9.10.2"),
        Entry("cudnn_expected_by_torch", dotted, "cuDNN of torch", "cuDNN that torch was compiled with", "8.7.0"),
        Entry("nccl", dotted, "NCCL", "The NCCL that is loaded", "2.27.5"),
        Entry("nccl_built_against", dotted, "NCCL of the build", "NCCL whose headers a component used", "2.27.0"),
        Entry("tensorrt", dotted, "TensorRT", "The TensorRT library or package", "10.14.1.48"),
        Entry("tensorrt_package_cuda", dotted, "CUDA of TensorRT", "CUDA that the TensorRT package is for", "12.9"),
        Entry("tensorrt_package_os", text, "OS of TensorRT", "Distribution that its package is for", "ubuntu2204"),
        Entry("tensorrt_cu12", package, "tensorrt-cu12", "Python package tensorrt-cu12", "10.14.1.48"),
        Entry(
            "tensorrt_cu12_bindings",
            package,
            "tensorrt-cu12-bindings",
            "Python package tensorrt-cu12-bindings",
            "10.14.1.48",
        ),
        Entry("dpkg_tensorrt", text, "TensorRT (dpkg)", "Version of the Debian package tensorrt", "8.6.3.1-1+cuda12.0"),
        Entry("torch", package, "PyTorch", "PyTorch with its local label", "2.9.0+cu128"),
        Entry("torch_cuda", dotted, "CUDA of torch", "CUDA that torch was built with", "12.8"),
        Entry("torch_arch_list", many, "SM list of torch", "Targets that torch is compiled for", "sm_80 sm_90 sm_120"),
        Entry("torch_cxx11_abi", flag, "C++11 ABI of torch", "C++11 ABI of the torch build", "on", words=("on", "off")),
        Entry("torch_tensorrt", package, "Torch-TensorRT", "Python package torch-tensorrt", "2.9.0"),
        Entry("tensorrt_llm", package, "TensorRT-LLM", "Python package tensorrt-llm", "1.2.1"),
        Entry("triton_container", tag, "Triton container", "Tag of the Triton Inference Server image", "25.08-py3"),
        Entry("triton_server", dotted, "Triton server", "Version of tritonserver", "2.60.0"),
        Entry(
            "tritonbackend_api_server",
            dotted,
            "Backend API of the server",
            "TRITONBACKEND API version of the server",
            "1.19",
        ),
        Entry(
            "tritonbackend_api_backend",
            dotted,
            "Backend API of the backend",
            "TRITONBACKEND API version the backend wants",
            "1.17",
        ),
        Entry("backend", text, "Triton backend", "Name of the Triton backend in use", "tensorrtllm", True),
        Entry("backend_version", text, "Backend version", "Version or release branch of that backend", "0.20.0"),
        Entry("trt_container", tag, "TensorRT container", "Tag of the NGC TensorRT image", "25.08-py3"),
        Entry("container", text, "Container", "Image that the stack runs in", "nvcr.io/nvidia/pytorch:25.08-py3"),
        Entry(
            "container_min_driver",
            dotted,
            "Container's driver",
            "Driver that the image was built for",
            "580.65",
        ),
        Entry(
            "engine_built_with_tensorrt",
            dotted,
            "TensorRT of the engine",
            "TensorRT that built the engine",
            "10.14.1.48",
        ),
        Entry(
            "engine_built_with_tensorrt_llm",
            package,
            "TensorRT-LLM of the engine",
            "TensorRT-LLM that built the engine",
            "0.20.0",
        ),
        Entry("engine_built_on_sm", capability, "SM of the engine", "Capability the engine was built on", "8.9", True),
        Entry("runtime_sm", capability, "SM at run time", "Capability the engine is loaded on", "9.0", True),
        Entry("engine_serialization", number, "Serialization of the engine", "Number stored in the plan", "237"),
        Entry("runtime_serialization", number, "Serialization of the runtime", "Number the runtime reads", "228"),
        Entry("vllm", package, "vLLM", "Python package vllm", "0.11.2"),
        Entry("vllm_wheel_cuda", dotted, "CUDA of vLLM", "CUDA that the vLLM wheel was built with", "12.8"),
        Entry("vllm_flash_attn", package, "vllm-flash-attn", "Python package vllm-flash-attn", "2.6.1"),
        Entry("flash_attn", package, "FlashAttention", "Python package flash-attn", "2.8.3"),
        Entry("flashinfer", package, "FlashInfer", "Python package flashinfer-python", "0.5.2"),
        Entry("transformers", package, "Transformers", "Python package transformers", "4.57.1"),
        Entry(
            "transformers_required_by_tensorrt_llm",
            package,
            "Transformers of TensorRT-LLM",
            "What TensorRT-LLM requires of transformers",
            "==4.56.0",
        ),
        Entry(
            "transformers_required_by_vllm",
            package,
            "Transformers of vLLM",
            "What vLLM requires of transformers",
            ">=4.56.0",
        ),
        Entry("numpy", package, "NumPy", "Python package numpy", "1.26.4"),
        Entry("pynvml", package, "pynvml", "Python package that brings the module pynvml", "11.5.0"),
        Entry("cuda_python", package, "CUDA Python", "Python package cuda-python", "12.9.2"),
        Entry("mpi4py", package, "mpi4py", "Python package mpi4py", "4.1.0"),
        Entry("openmpi", dotted, "Open MPI", "Version of Open MPI", "4.1.7"),
        Entry("libmpi_soname", text, "SONAME of libmpi", "SONAME of the MPI library that is asked for", "libmpi.so.40"),
        Entry("pybind11", package, "pybind11", "Python package pybind11", "2.13.6"),
        Entry("onnxruntime", package, "ONNX Runtime", "Python package onnxruntime-gpu or onnxruntime", "1.23.2"),
        Entry("triton_lang", package, "Triton language", "Python package triton, the kernel language", "3.5.0"),
        Entry("python", dotted, "Python", "Version of the Python interpreter", "3.12.3"),
        Entry(
            "wheel_tag", text, "Wheel tag", "Tag of the wheel to be installed", "cp310-cp310-linux_x86_64", many=True
        ),
        Entry(
            "python_packages_built_for",
            dotted,
            "Python of the packages",
            "Python that the packages were installed for",
            "3.10",
        ),
        Entry("glibc", dotted, "glibc", "Version of the C library", "2.39"),
        Entry("libstdcxx", text, "libstdc++", "GCC major or newest GLIBCXX node of libstdc++", "GLIBCXX_3.4.32"),
        Entry("os", text, "Operating system", "Distribution and release", "Ubuntu 24.04"),
        Entry("jetpack", dotted, "JetPack", "JetPack release of a Jetson board", "6.2.1"),
        Entry("wsl_kernel", text, "WSL kernel", "Kernel release under WSL", "5.15.167.4-microsoft-standard-WSL2"),
        Entry(
            "nvidia_container_toolkit",
            dotted,
            "NVIDIA Container Toolkit",
            "Version of nvidia-container-toolkit",
            "1.17.8",
        ),
        Entry("nvidia_nccl_cu11", package, "nvidia-nccl-cu11", "Python package nvidia-nccl-cu11", "2.21.5"),
        Entry("nvidia_nccl_cu12", package, "nvidia-nccl-cu12", "Python package nvidia-nccl-cu12", "2.27.5"),
        Entry("nvidia_wheels", many, "NVIDIA wheels", "Installed nvidia-* wheels", "nvidia-cudnn-cu12==9.10.2"),
        Entry("precision", text, "Precision", "Number format in use", "fp8", many=True),
        Entry("feature", text, "Feature", "Feature in use or asked for", "fp8 context FMHA", many=True),
        Entry("install", text, "Install route", "How the part in question was installed", "pip wheel", many=True),
        Entry("model", text, "Model", "Model that is served", "llama2", many=True),
    )


VOCABULARY: Mapping[str, Entry] = MappingProxyType({entry.key: entry for entry in _entries()})
"""Every key, in the order of the documentation."""
