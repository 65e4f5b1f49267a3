"""Rule families. Each is a function from a context to answers; they know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from pytest_trtcheck.model.finding import Finding
from pytest_trtcheck.verdict.base import Context, Unasked
from pytest_trtcheck.verdict.families.abi import abi
from pytest_trtcheck.verdict.families.architecture import architecture
from pytest_trtcheck.verdict.families.containers import containers
from pytest_trtcheck.verdict.families.cudnn import cudnn
from pytest_trtcheck.verdict.families.device import device
from pytest_trtcheck.verdict.families.driver import driver
from pytest_trtcheck.verdict.families.engine import engine
from pytest_trtcheck.verdict.families.gpu_code import gpu_code
from pytest_trtcheck.verdict.families.host_driver import host_driver
from pytest_trtcheck.verdict.families.imports import imports
from pytest_trtcheck.verdict.families.kernels import kernels
from pytest_trtcheck.verdict.families.libraries import libraries
from pytest_trtcheck.verdict.families.loading import loading
from pytest_trtcheck.verdict.families.packages import packages
from pytest_trtcheck.verdict.families.pinned import pinned
from pytest_trtcheck.verdict.families.pins import pins
from pytest_trtcheck.verdict.families.precision import precision
from pytest_trtcheck.verdict.families.runtime import runtime
from pytest_trtcheck.verdict.families.system import system
from pytest_trtcheck.verdict.families.tensorrt_llm import tensorrt_llm

_Family = Callable[[Context], Iterator[Finding | Unasked]]

_BY_VERSION: Mapping[_Family, frozenset[str]] = {
    driver: frozenset({"driver", "driver_cuda", "cuda_runtime", "cuda_toolkit", "torch_cuda", "tensorrt_package_cuda",
                       "vllm_wheel_cuda", "tensorrt_llm", "libcuda"}),
    host_driver: frozenset({"driver", "driver_cuda", "required_cuda"}),
    architecture: frozenset({"cuda_toolkit", "torch", "torch_arch_list", "tensorrt", "tensorrt_llm"}),
    kernels: frozenset({"vllm", "flash_attn", "triton_container", "cudnn"}),
    precision: frozenset({"precision", "feature"}),
    tensorrt_llm: frozenset({"tensorrt_llm"}),
    containers: frozenset({"triton_container", "container", "backend_version", "tritonbackend_api_backend",
                           "dpkg_tensorrt"}),
    engine: frozenset({"engine_built_with_tensorrt", "engine_serialization", "engine_built_with_tensorrt_llm",
                       "engine_built_on_sm", "trt_container"}),
    abi: frozenset({"flash_attn", "flashinfer", "vllm", "torch_tensorrt", "triton_lang", "torch_cxx11_abi"}),
    runtime: frozenset({"tensorrt", "onnxruntime", "cudnn", "nccl", "nvidia_nccl_cu11", "nvidia_nccl_cu12",
                        "nvidia_wheels", "vllm_wheel_cuda", "vllm_flash_attn", "torch_cuda", "tensorrt_package_cuda",
                        "tensorrt_cu12"}),
    system: frozenset({"glibc", "libstdcxx", "os", "arch", "tensorrt_package_os", "jetpack", "libmpi_soname",
                       "wsl_kernel", "mig"}),
    pins: frozenset({"python", "wheel_tag", "python_packages_built_for", "numpy", "transformers", "cuda_python",
                     "mpi4py", "flashinfer", "pynvml", "vllm", "pybind11", "triton_lang", "nvidia_container_toolkit",
                     "tensorrt_cu12", "tensorrt_cu12_bindings", "transformers_required_by_tensorrt_llm"}),
    cudnn: frozenset({"cudnn"}),
}  # fmt: skip
"""What can be asked of versions alone; each family with the facts of which it needs at least one to ask anything."""

_BY_LOOKING: tuple[_Family, ...] = (device, libraries, loading, gpu_code, imports, packages, pinned)
"""What needs files, devices, metadata or imports of a stack that is there."""

FAMILIES = (*_BY_VERSION, *_BY_LOOKING)


def asked_of(context: Context) -> Iterator[_Family]:
    """Yield the families that may have something to ask of this stack."""
    if not context.is_described:
        yield from FAMILIES
        return
    for family, needs in _BY_VERSION.items():
        if context.has_any(needs):
            yield family
