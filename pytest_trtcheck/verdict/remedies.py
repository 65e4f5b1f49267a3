"""The next step for what is broken: one place that knows which package brings which library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import BY_KEY
from pytest_trtcheck.model.facts import ImportStatus

if TYPE_CHECKING:
    from pytest_trtcheck.model.components import Component
    from pytest_trtcheck.model.facts import ImportOutcome
    from pytest_trtcheck.verdict.base import Context

# Packages whose SONAME number is the major of their version; the others carry the CUDA major.
_SONAME_IS_VERSION = {"cudnn", "nccl", "tensorrt", "tensorrt_lean", "tensorrt_dispatch"}


def for_missing_library(context: Context, soname: str, provider: str) -> str:
    """Return the command that brings ``libcudnn.so.8``."""
    if provider in {"tensorrt_plugin", "tensorrt_onnx_parser"} and not context.has("tensorrt"):
        provider = "tensorrt"
    component = BY_KEY.get(provider)
    number = soname.rpartition(".so.")[2].partition(".")[0]
    if provider == "driver":
        return "Start the container with the NVIDIA runtime (--gpus all), or install the driver on the host."
    if provider == "torch" and context.value("torch_cuda") == "none":
        return f"Install a build of PyTorch for CUDA: the one that is installed is for the CPU and has no {soname}."
    if component is None or not number.isdigit():
        return f"Install the package that brings {soname}, or add its folder to LD_LIBRARY_PATH."
    if provider in {"tensorrt_plugin", "tensorrt_onnx_parser"} or (provider == "tensorrt" and _bindings_only(context)):
        release = context.stack.value("tensorrt") or f"{number}.*"
        return (
            "The Python bindings are installed without the libraries they wrap: install the whole of "
            f"TensorRT {number}, for example pip install tensorrt=={release}, or from the TensorRT archive."
        )
    if provider not in _SONAME_IS_VERSION:
        return f"Install {component.title} of CUDA {number}: pip install {_for_cuda(component, number)}"
    package = _for_cuda(component, _cuda_major(context))
    return f"Install {component.title} {number}: pip install '{package}>={number},<{int(number) + 1}'"


def for_package(component: Component, outcome: ImportOutcome) -> str:
    """Return the next step for a package that does not work although its libraries are there."""
    if outcome.status is ImportStatus.UNDEFINED_SYMBOL:
        who = (
            f"{BY_KEY[outcome.provider].title} " if outcome.provider in BY_KEY else "the library that should define it "
        )
        return f"Reinstall {component.title} in the build made for the installed {who.strip()}, or the other way round."
    if outcome.status is ImportStatus.HANG:
        return f"Import {component.module} by hand under py-spy or gdb to see where it waits."
    return f"Reinstall {outcome.distribution}; python -c 'import {component.module}' shows the full error."


def _bindings_only(context: Context) -> bool:
    return context.fact("tensorrt").details.get("library") == "missing"


def _cuda_major(context: Context) -> str:
    """Return the CUDA major of the Python side of the stack."""
    for key in ("tensorrt_package_cuda", "torch_cuda", "cuda_runtime"):
        version = context.dotted(key)
        if version:
            return str(version.major)
    return "12"


def _for_cuda(component: Component, major: str) -> str:
    """Return the distribution of a component for a CUDA major; from 13 on, most carry no suffix."""
    suffixed = [name for name in component.distributions if name.endswith(f"-cu{major}")]
    return suffixed[0] if suffixed else component.distributions[0]
