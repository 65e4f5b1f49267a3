"""The words of loaders and libraries are read for what they say."""

from __future__ import annotations

import pytest

from pytest_trtcheck.model.components import BY_KEY, PLATFORM_TITLES
from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.probe import providers
from pytest_trtcheck.probe.import_errors import ImportFailure, classify, classify_chain

S = ImportStatus


@pytest.mark.parametrize(
    ("text", "status", "library", "provider"),
    [
        (
            "libcudnn.so.8: cannot open shared object file: No such file or directory",
            S.MISSING_LIBRARY, "libcudnn.so.8", "cudnn",
        ),
        (
            "Could not load library libcudnn_cnn_infer.so.8. Error: libcuda.so: cannot open shared object file: x",
            S.MISSING_LIBRARY, "libcuda.so", "driver",
        ),
        (
            "/opt/x/libnvonnxparser.so.11: cannot open shared object file: Permission denied",
            S.MISSING_LIBRARY, "/opt/x/libnvonnxparser.so.11", "tensorrt_onnx_parser",
        ),
        ("/x/libnvinfer.so.10: file too short", S.PYTHON_ERROR, "/x/libnvinfer.so.10", "tensorrt"),
        ("/x/y.so: invalid ELF header", S.PYTHON_ERROR, "/x/y.so", ""),
        (
            "libtorch_cpu.so: cannot enable executable stack as shared object requires: Invalid argument",
            S.PYTHON_ERROR, "libtorch_cpu.so", "torch",
        ),
        ("The NVIDIA driver on your system is too old (found version 11040).", S.DRIVER_TOO_OLD, "", "driver"),
        ("CUDA driver version is insufficient for CUDA runtime version", S.DRIVER_TOO_OLD, "", "driver"),
        ("CUDA initialization failure with error: 35", S.DRIVER_TOO_OLD, "", "driver"),
        ("CUDA initialization failure with error: 100. Please check", S.NO_DEVICE, "", "driver"),
        ("No CUDA GPUs are available", S.NO_DEVICE, "", "driver"),
        ("RuntimeError: no CUDA-capable device is detected", S.NO_DEVICE, "", "driver"),
        ("No module named 'tensorrt_libs'", S.MISSING_MODULE, "tensorrt_libs", "tensorrt"),
        ("No module named 'mpi4py.MPI'", S.MISSING_MODULE, "mpi4py.MPI", "mpi4py"),
        ("No module named 'blinker'", S.MISSING_MODULE, "blinker", ""),
        (
            "cannot import name 'AutoModel' from 'transformers' (/x/transformers/__init__.py)",
            S.PYTHON_ERROR, "transformers", "transformers",
        ),
        ("something else broke", S.PYTHON_ERROR, "", ""),
    ],
)  # fmt: skip
def test_kind_of_failure(text: str, status: ImportStatus, library: str, provider: str) -> None:
    failure = classify(text, "ImportError")
    assert (failure.status, failure.library, failure.provider) == (status, library, provider)
    assert failure.message


def test_undefined_symbol_names_who_asks_and_who_should_define_it() -> None:
    failure = classify("/x/vllm/_C.abi3.so: undefined symbol: _ZNK3c1017SymbolicShapeMeta18init_is_contiguousEv")
    assert failure.status is S.UNDEFINED_SYMBOL
    assert failure.needed_by == "/x/vllm/_C.abi3.so"
    assert failure.symbol == "_ZNK3c1017SymbolicShapeMeta18init_is_contiguousEv"
    assert failure.provider == "torch"


def test_undefined_symbol_with_a_version_names_the_library_of_the_version() -> None:
    text = "/x/libcusparse.so.12: undefined symbol: __nvJitLinkComplete_12_4, version libnvJitLink.so.12"
    failure = classify(text)
    assert failure.status is S.UNDEFINED_SYMBOL
    assert (failure.symbol, failure.library) == ("__nvJitLinkComplete_12_4", "libnvJitLink.so.12")
    plain = classify("/x/a.so: undefined symbol: foo, version LIBFOO_1")
    assert (plain.status, plain.symbol, plain.library) == (S.UNDEFINED_SYMBOL, "foo", "")
    assert plain.message.endswith("version LIBFOO_1")


def test_missing_version_node_names_node_library_and_who_requires_it() -> None:
    failure = classify(
        "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /x/y.so)", "ImportError"
    )
    assert failure == ImportFailure(
        S.VERSION_NODE_MISSING,
        "/lib/x86_64-linux-gnu/libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by /x/y.so)",
        library="/lib/x86_64-linux-gnu/libstdc++.so.6",
        symbol="GLIBCXX_3.4.32",
        needed_by="/x/y.so",
        provider="libstdcxx",
    )
    glibc = classify("/lib64/libm.so.6: version `GLIBC_2.32' not found (required by /x/_C.abi3.so)")
    assert (glibc.symbol, glibc.provider) == ("GLIBC_2.32", "glibc")
    cublas = classify("/x/libcublas.so.12: version `libcublas.so.12' not found (required by /x/z.so)")
    assert cublas.provider == "cublas"


def test_plain_python_error_keeps_its_type_and_first_line() -> None:
    assert classify("\nfactory function returned nullptr\nsecond", "TypeError") == ImportFailure(
        S.PYTHON_ERROR, "TypeError: factory function returned nullptr"
    )
    assert classify("", "KeyError").message == "KeyError"


def test_message_is_one_printable_line_of_bounded_length() -> None:
    failure = classify("a\x1b[31m\x00b\tc " + "x" * 5000, "OSError")
    assert failure.message.startswith("OSError: a [31m b c xxx")
    assert failure.message.isprintable()
    assert len(failure.message) == 500


def test_wrapper_and_fallback_do_not_hide_the_native_cause() -> None:
    native = ("ImportError", "libnccl.so.2: cannot open shared object file: No such file or directory")
    wrapped = classify_chain([("RuntimeError", "Failed to import transformers.x"), native])
    assert (wrapped.status, wrapped.library) == (S.MISSING_LIBRARY, "libnccl.so.2")
    fallback = classify_chain([("ModuleNotFoundError", "No module named 'slow_path'"), native])
    assert fallback.status is S.MISSING_LIBRARY


def test_chain_without_native_cause_prefers_what_names_something() -> None:
    chain = [("RuntimeError", "it failed"), ("ModuleNotFoundError", "No module named 'blinker'")]
    assert classify_chain(chain).library == "blinker"
    assert classify_chain([("ValueError", "a"), ("KeyError", "b")]).message == "ValueError: a"
    assert classify_chain([]).status is S.PYTHON_ERROR


@pytest.mark.parametrize(
    ("symbol", "provider"),
    [
        ("_ZN2at4_ops5zeros4callEN3c108ArrayRefINS2_6SymIntEEE", "torch"),
        ("_ZN5torch3jit6ModuleE", "torch"),
        ("_ZTIN3c105ErrorE", "torch"),
        ("_ZN12tensorrt_llm8executor25SpeculativeDecodingConfigE", "tensorrt_llm"),
        ("_ZN8nvinfer12v15IGpuE", "tensorrt"),
        ("_ZNSt7__cxx1112basic_stringE", "libstdcxx"),
        ("_ZSt4cout", "libstdcxx"),
        ("at::Tensor::add(at::Tensor const&)", "torch"),
        ("vtable for nvinfer1::ILogger", "tensorrt"),
        ("_Z11getErrorMsgv", ""),
        ("ncclCommWindowRegister", "nccl"),
        ("cuTensorMapEncodeTiled", "driver"),
        ("cublasLtMatmul", "cublas"),
        ("cudnnGetVersion", "cudnn"),
        ("cudaGetDriverEntryPointByVersion", "cuda_runtime"),
        ("__cudaRegisterFatBinary", "cuda_runtime"),
        ("nvmlDeviceGetMemoryInfo_v2", "driver"),
        ("createInferRuntime_INTERNAL", "tensorrt"),
        ("createNvOnnxParser_INTERNAL", "tensorrt_onnx_parser"),
        ("PyUnicode_FromString", "python"),
        ("_PyThreadState_UncheckedGet", "python"),
        ("TRITONSERVER_ErrorNew", "triton_server"),
        ("MPI_Init", "openmpi"),
        ("current_time", ""),
        ("cupti", ""),
    ],
)
def test_provider_of_a_symbol(symbol: str, provider: str) -> None:
    assert providers.provider_of_symbol(symbol) == provider


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("/a/b/libcudart.so.12", "cuda_runtime"),
        ("libcudart-1e2f3a.so.12.4.127", "cuda_runtime"),
        ("libcuda.so.1", "driver"),
        ("libnvidia-ml.so.1", "driver"),
        ("libcublasLt.so.12", "cublas"),
        ("libcudnn_engines_precompiled.so.9", "cudnn"),
        ("libnvinfer_plugin.so.10", "tensorrt_plugin"),
        ("libnvinfer_builder_resource.so.8.6.0", "tensorrt"),
        ("libnvinfer_plugin_tensorrt_llm.so", "tensorrt_llm"),
        ("libtorch_cuda.so", "torch"),
        ("libmpi.so.40", "openmpi"),
        ("libstdc++.so.6", "libstdcxx"),
        ("libm.so.6", "glibc"),
        ("libpython3.11.so.1.0", "python"),
        ("libz.so.1", ""),
    ],
)
def test_provider_of_a_library(name: str, provider: str) -> None:
    assert providers.provider_of_library(name) == provider


def test_every_provider_is_a_key_of_the_vocabulary() -> None:
    used = {key for _, key in (*providers._LIBRARY_PATTERNS, *providers._SYMBOL_PATTERNS, *providers._NODES)}
    used |= {*providers._NAMESPACES.values(), *providers._MODULES.values(), *providers._LIBRARY_STEMS.values()}
    assert used <= {*BY_KEY, *PLATFORM_TITLES}
