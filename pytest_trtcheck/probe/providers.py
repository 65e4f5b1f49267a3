"""Who brings a library, defines a symbol or owns a version node: data from names to keys of the stack vocabulary."""

from __future__ import annotations

import re

from pytest_trtcheck.model.components import COMPONENTS

_LIBRARY_STEMS = {
    library.removesuffix(".so"): component.key for component in COMPONENTS for library in component.libraries
}
_MODULES = {component.module.partition(".")[0]: component.key for component in COMPONENTS if component.module} | {
    "tensorrt_bindings": "tensorrt",
    "tensorrt_libs": "tensorrt",
    "tensorrt_lean_bindings": "tensorrt_lean",
    "tensorrt_lean_libs": "tensorrt_lean",
    "tensorrt_dispatch_bindings": "tensorrt_dispatch",
    "tensorrt_dispatch_libs": "tensorrt_dispatch",
}

# First match wins; tried after the exact names of the component table.
_LIBRARY_PATTERNS = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (r"libcuda$|libnvidia-|libnvcuvid$|libcudadebugger$", "driver"),
        (r"libcudart", "cuda_runtime"),
        (r"libcublas|libnvblas", "cublas"),
        (r"libnvrtc", "nvrtc"),
        (r"libcudnn", "cudnn"),
        (r"libnccl", "nccl"),
        (r"libtensorrt_llm|libnvinfer_plugin_tensorrt_llm|libth_common", "tensorrt_llm"),
        (r"libnvinfer_lean", "tensorrt_lean"),
        (r"libnvinfer_dispatch", "tensorrt_dispatch"),
        (r"libnvinfer_(?:vc_)?plugin", "tensorrt_plugin"),
        (r"libnvinfer", "tensorrt"),
        (r"libnvonnxparser|libnvcaffeparser|libnvparsers", "tensorrt_onnx_parser"),
        (r"libtorchtrt", "torch_tensorrt"),
        (r"libtorch|libc10|libcaffe2", "torch"),
        (r"libtriton", "triton_server"),
        (r"libonnxruntime", "onnxruntime"),
        (r"libmpi|libopen-(?:rte|pal)|libmpich", "openmpi"),
        (r"libstdc\+\+$|libgcc_s$", "libstdcxx"),
        (r"lib(?:c|m|dl|rt|pthread|resolv|util)$|ld-linux", "glibc"),
        (r"libpython", "python"),
    )
)

_NAMESPACES = {
    "at": "torch",
    "c10": "torch",
    "torch": "torch",
    "caffe2": "torch",
    "nvinfer1": "tensorrt",
    "nvonnxparser": "tensorrt_onnx_parser",
    "tensorrt_llm": "tensorrt_llm",
    "torch_tensorrt": "torch_tensorrt",
    "onnxruntime": "onnxruntime",
    "flashinfer": "flashinfer",
    "vllm": "vllm",
    "std": "libstdcxx",
    "__cxxabiv1": "libstdcxx",
    "__gnu_cxx": "libstdcxx",
}

# C symbols. ``cuda…`` is the runtime and stands before ``cu[A-Z]…``, the driver; ``cublas``, ``cudnn`` too.
_SYMBOL_PATTERNS = tuple(
    (re.compile(pattern), key)
    for pattern, key in (
        (r"p?nccl[A-Z]", "nccl"),
        (r"cublas", "cublas"),
        (r"cudnn", "cudnn"),
        (r"nvrtc[A-Z]", "nvrtc"),
        (r"(?:__)?cuda[A-Z]", "cuda_runtime"),
        (r"cu[A-Z]", "driver"),
        (r"nvml[A-Z]", "driver"),
        (r"createNvOnnxParser", "tensorrt_onnx_parser"),
        (r"initLibNvInferPlugins", "tensorrt_plugin"),
        (r"createInfer|getInferLib|getPluginRegistry|getBuilderPluginRegistry", "tensorrt"),
        (r"aoti_torch_|THP[A-Z]", "torch"),
        (r"TRITON(?:SERVER|BACKEND|REPOAGENT|CACHE)_", "triton_server"),
        (r"P?MPI_|ompi_|opal_|orte_", "openmpi"),
        (r"_?Py[A-Z_]", "python"),
        (r"__cxa_|__gxx_", "libstdcxx"),
    )
)

_NODES = (("GLIBCXX_", "libstdcxx"), ("CXXABI_", "libstdcxx"), ("GCC_", "libstdcxx"), ("GLIBC_", "glibc"))

# An Itanium C++ name starts with its outermost namespace: a length, then that many characters.
_MANGLED = re.compile(r"_Z(?:T[VTIS]|Thn?\d+_|GV)?(?:N[rVK]{0,3}[RO]?(\d{1,3})(\w+)|N?[rVKRO]{0,4}(S[tasbiod]))")
_DEMANGLED = re.compile(r"(?:vtable for |typeinfo for |typeinfo name for |guard variable for )?(?:\w+ )?(\w+)::")


def provider_of_library(name: str) -> str:
    """Return the component that brings a library, from its SONAME, file name or path; empty when unknown."""
    stem = name.rpartition("/")[2].partition(".so")[0]
    if stem in _LIBRARY_STEMS:
        return _LIBRARY_STEMS[stem]
    return next((key for pattern, key in _LIBRARY_PATTERNS if pattern.match(stem)), "")


def provider_of_symbol(symbol: str) -> str:
    """Return the component that should define a symbol, mangled or not; empty when the name does not tell."""
    namespace = _namespace(symbol)
    if namespace:
        return _NAMESPACES.get(namespace, "")
    return next((key for pattern, key in _SYMBOL_PATTERNS if pattern.match(symbol)), "")


def provider_of_node(node: str, library: str) -> str:
    """Return the component that should have a version node: by its name, else by the library it belongs to."""
    return next((key for prefix, key in _NODES if node.startswith(prefix)), "") or provider_of_library(library)


def provider_of_module(module: str) -> str:
    """Return the component that a Python module belongs to; empty when it is none of ours."""
    return _MODULES.get(module.partition(".")[0], "")


def _namespace(symbol: str) -> str:
    mangled = _MANGLED.match(symbol)
    if mangled:
        return "std" if mangled[3] else mangled[2][: int(mangled[1])]
    demangled = _DEMANGLED.match(symbol)
    return demangled[1] if demangled else ""
