"""The providers of torch: on a CPU what runs there, and how they word and cut what needs a GPU."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from pytest_trtcheck._suites.attention.cases import cases
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers import AttentionCase, Refused, Where
from pytest_trtcheck.providers.attention import AttentionProvider, compilation_of, padding_of

FOLDER = "pytest_trtcheck._suites.attention.providers"
MODULES = ("torch_sdpa", "torch_flex", "flash_attn", "flashinfer", "xformers")
PROVIDERS: dict[str, Any] = {
    provider.name: provider for name in MODULES for provider in importlib.import_module(f"{FOLDER}.{name}").PROVIDERS
}
ON_CPU = ("torch_math", "torch_flash")
CPU = Where("cpu", versions={"torch": "2.13.0+cpu"})
H200 = Where("cuda", "9.0", {"torch": "2.11.0+cu130"})
QUICK = cases(Level.QUICK)
needs_torch = pytest.mark.torch


def _case(phase: str, mask: str, layout: str, lengths: tuple[int, ...] = (40, 9, 1), **other: Any) -> AttentionCase:
    before = {"context": 0, "generation": 30, "chunked": 30}[phase]
    queries = (1,) * len(lengths) if phase == "generation" else lengths
    keys = tuple(length + before * (index + 1) for index, length in enumerate(queries))
    settings = {"heads": 8, "kv_heads": 2, "head_size": 64, "dtype": "fp32", **other}
    return AttentionCase(phase, mask, layout, queries, keys, **settings)


FLEX_CASES = (
    *(_case("context", mask, layout) for mask in ("full", "causal") for layout in ("padded", "packed")),
    *(_case("context", "sliding_window", layout, window=8) for layout in ("padded", "packed")),
    _case("context", "causal", "dense", (50, 50), kv_heads=8, soft_cap=10.0, softmax_scale=0.2),
    _case("context", "full", "dense", (50, 50), alibi=True),
    _case("chunked", "causal", "packed", alibi=True),
    _case("chunked", "sliding_window", "paged", page_size=16, window=20, alibi=True, soft_cap=20.0),
    _case("generation", "causal", "paged", page_size=32, kv_heads=1, nan_query=True),
)


@cache
def reference(case: AttentionCase, seed: int) -> Any:
    """Return the reference of a case; what is beyond a sequence's end, where providers differ, is no part of it."""
    from pytest_trtcheck._suites.attention.inputs import make_inputs
    from pytest_trtcheck._suites.attention.reference import make_reference

    return make_reference(case, make_inputs(case, seed, "cpu"))


def run(provider: AttentionProvider, case: AttentionCase, seed: int = 0) -> None:
    """Run a case, and fail unless the answer is right and the inputs are as they were."""
    from pytest_trtcheck._suites.attention.inputs import make_inputs

    inputs = make_inputs(case, seed, "cpu", padding_of(provider))
    inputs.remember()
    inputs.poison()
    answer = provider.run(case, inputs)
    assert (answer.shape, answer.dtype) == (inputs.q.shape, inputs.q.dtype)
    assert inputs.changed() == []
    comparison = reference(case, seed).judge(case, answer)
    assert comparison.is_within, comparison.describe()


@needs_torch
@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_every_quick_case_within_reach_on_a_cpu_comes_out_right(case: AttentionCase, name: str) -> None:
    if not PROVIDERS[name].why_not(case, CPU):
        run(PROVIDERS[name], case)


@pytest.mark.parametrize("name", ON_CPU)
def test_on_a_cpu_only_the_soft_cap_and_rotary_embedding_are_out_of_reach(name: str) -> None:
    able = [case for case in QUICK if not PROVIDERS[name].why_not(case, CPU)]
    missing = set().union(*(case.features for case in QUICK)) - set().union(*(case.features for case in able))
    assert missing == {"soft_cap", "rotary"}
    assert {case.dtype for case in able} == {"fp32", "fp16", "bf16"}


@pytest.mark.parametrize(("keys", "out_of_reach"), [(15, True), (16, False)])
@needs_torch
def test_flash_on_a_cpu_is_spared_the_nan_that_it_loses_and_no_other(keys: int, out_of_reach: bool) -> None:
    case = _case("context", "full", "dense", (keys,), nan_query=True)
    assert bool(PROVIDERS["torch_flash"].why_not(case, CPU)) is out_of_reach
    assert PROVIDERS["torch_flash"].why_not(replace(case, nan_query=False), CPU) == ""
    assert PROVIDERS["torch_math"].why_not(case, CPU) == ""
    if not out_of_reach:
        run(PROVIDERS["torch_flash"], case)


@needs_torch
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("case", FLEX_CASES, ids=lambda case: case.name)
def test_the_mask_and_score_functions_of_flex_say_what_the_case_asks(
    case: AttentionCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.attention import flex_attention

    flex = PROVIDERS["torch_flex"]

    monkeypatch.setattr(flex, "kernel", lambda: flex_attention.flex_attention)
    # Uncompiled, torch still traces every case for a second, but for this switch of torch 2.9 and later.
    monkeypatch.setattr(flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True, raising=False)
    run(flex, case)


@needs_torch
@pytest.mark.parametrize("alibi", [False, True])
def test_a_score_function_of_flex_holds_tensors_and_no_number(alibi: bool) -> None:
    import torch

    from pytest_trtcheck._suites.attention.inputs import make_inputs

    case = _case("context", "causal", "packed", alibi=alibi, soft_cap=10.0)
    inputs = make_inputs(case, 0, "cpu", "finite")
    module = importlib.import_module(f"{FOLDER}.torch_flex")
    held = []
    functions = [module._score_mod(case, inputs, module._places(case, inputs, 50))]
    for function in functions:
        contents = [cell.cell_contents for cell in function.__closure__]
        functions += [content for content in contents if callable(content) and not isinstance(content, torch.Tensor)]
        held += [content for content in contents if not callable(content) or isinstance(content, torch.Tensor)]
    assert len(functions) == (3 if alibi else 1)
    assert held
    assert all(isinstance(content, torch.Tensor | type(torch)) for content in held)


FEW = _case("generation", "causal", "paged", page_size=16)


@needs_torch
@pytest.mark.parametrize(
    ("case", "is_main"),
    [
        (FEW, False),
        (_case("generation", "causal", "paged", (1,) * 32, page_size=16), False),
        # 33 queries of 4 heads: more than fit into a block of the mask.
        (_case("generation", "causal", "paged", (1,) * 33, page_size=16), True),
        (_case("generation", "causal", "paged", (1,) * 33, page_size=16, kv_heads=8), False),
        (_case("generation", "causal", "paged", heads=12, kv_heads=4, page_size=16), True),
        (_case("chunked", "causal", "paged", page_size=16), True),
        (_case("context", "causal", "dense", (50, 50)), True),
    ],
)
def test_flex_is_kept_to_its_main_kernel_where_the_one_for_few_queries_has_no_tile(
    case: AttentionCase, is_main: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pytest_trtcheck._suites.attention.inputs import make_inputs

    asked: list[Any] = []

    def kernel(*_: Any, kernel_options: Any, **__: Any) -> None:
        asked.append(kernel_options)
        raise RuntimeError("NoValidChoicesError: No choices to select")

    monkeypatch.setattr(PROVIDERS["torch_flex"], "kernel", lambda: kernel)
    with pytest.raises(Refused, match="No choices to select"):
        PROVIDERS["torch_flex"].run(case, make_inputs(case, 0, "cpu", "finite"))
    assert asked == [{"FORCE_USE_FLEX_ATTENTION": True} if is_main else None]


@needs_torch
def test_torch_still_knows_the_option_of_flex_that_is_used() -> None:
    from torch.nn.attention.flex_attention import FlexKernelOptions

    assert "FORCE_USE_FLEX_ATTENTION" in FlexKernelOptions.__annotations__


def _variant(case: AttentionCase) -> str:
    found = compilation_of(PROVIDERS["torch_flex"], case, H200)
    assert found is not None
    assert 2 <= found[1] <= 20
    return found[0]


def test_flex_compiles_one_variant_for_whatever_differs_in_lengths_and_mask_alone() -> None:
    packed = _case("context", "causal", "packed", dtype="bf16")
    window = _case("context", "sliding_window", "packed", (7, 3), window=2, dtype="bf16")
    assert _variant(packed) == _variant(window) == "packed-8x2-d64-bf16"
    assert _variant(FEW) == _variant(_case("generation", "causal", "paged", (1, 1), page_size=64))
    assert _variant(_case("context", "full", "dense", (9, 9))) == _variant(_case("context", "causal", "padded"))


def test_flex_compiles_another_variant_for_whatever_changes_the_kernel() -> None:
    packed = _case("context", "causal", "packed")
    others = (
        replace(packed, dtype="bf16"),
        replace(packed, head_size=128),
        replace(packed, kv_heads=8),
        replace(packed, soft_cap=10.0),
        replace(packed, alibi=True),
        replace(packed, softmax_scale=0.3),
        replace(packed, layout="padded"),
        _case("chunked", "causal", "packed"),
        FEW,
    )
    assert len({_variant(case) for case in (packed, *others)}) == 1 + len(others)


def test_of_sdpa_only_what_is_made_ready_at_first_use_counts_as_compiled() -> None:
    chunk = _case("chunked", "causal", "packed")
    made_ready = {
        name: [compilation_of(PROVIDERS[name], case, H200) for case in (FEW, chunk)]
        for name in ("torch_math", "torch_flash", "torch_mem_efficient", "torch_cudnn")
    }
    assert made_ready["torch_math"] == made_ready["torch_mem_efficient"] == [None, None]
    first, second = made_ready["torch_cudnn"]
    assert first is not None
    assert second is not None
    assert first[0] != second[0], "cuDNN plans each graph"
    assert made_ready["torch_flash"][0] is None
    assert made_ready["torch_flash"][1] is not None
    assert compilation_of(PROVIDERS["torch_cudnn"], FEW, CPU) is None


@needs_torch
def test_a_refusal_of_the_compiler_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    flex = PROVIDERS["torch_flex"]

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("LoweringException: NotImplementedError: NYI:\n embedding dimension of 80")

    monkeypatch.setattr(flex, "kernel", lambda: refuse)
    with pytest.raises(Refused, match="NYI: embedding dimension of 80"):
        run(flex, FLEX_CASES[0])


@needs_torch
def test_a_kernel_that_is_not_there_is_a_refusal_in_torchs_words() -> None:
    with pytest.raises(Refused, match=r"No (available kernel|viable backend)"):
        run(PROVIDERS["torch_cudnn"], _case("context", "full", "dense", (8, 8), dtype="fp16"))


# Torch 2.11 when it may use cuDNN alone.
SAID = (
    "Memory efficient kernel not used because: (Triggered internally at sdp_utils.cpp:915.)",
    "Memory Efficient attention has been runtime disabled. (Triggered internally at sdp_utils_cpp.h:552.)",
    "Flash attention kernel not used because: (Triggered internally at sdp_utils.cpp:917.)",
    "Flash attention has been runtime disabled. (Triggered internally at sdp_utils.cpp:917.)",
    "Expected query, key and value to all be of dtype: {Half, BFloat16}. (Triggered internally at sdp_utils.cpp:90.)",
    "cuDNN attention kernel not used because: (Triggered internally at sdp_utils.cpp:919.)",
    "cuDNN SDPA does not support this. (Triggered internally at sdp_utils.cpp:500.)",
)


@needs_torch
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch_cudnn", "No available kernel: cuDNN SDPA does not support this"),
        (
            "torch_flash",
            "No available kernel: Expected query, key and value to all be of dtype: {Half, BFloat16}",
        ),
        ("torch_mem_efficient", "No available kernel"),
    ],
)
def test_a_refusal_of_torch_names_the_reasons_of_the_one_kernel(
    name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        for said in SAID:
            warnings.warn(said, UserWarning, stacklevel=1)
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", refuse)
    with pytest.raises(Refused) as refused:
        run(PROVIDERS[name], _case("context", "full", "dense", (8, 8)))
    assert str(refused.value) == words


@needs_torch
def test_any_other_error_of_torch_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("torch.nn.functional.scaled_dot_product_attention", crash)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run(PROVIDERS["torch_math"], _case("context", "full", "dense", (8, 8)))


@needs_torch
@pytest.mark.parametrize("phase", ["chunked", "generation"])
def test_without_a_mask_the_causal_edge_of_a_chunk_is_still_at_the_last_key(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flash = PROVIDERS["torch_flash"]
    monkeypatch.setattr(flash, "_takes_masks", lambda _: False)
    run(flash, _case(phase, "causal", "paged", page_size=16, dtype="fp16"))


@needs_torch
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_packed_sequences_as_a_jagged_tensor_come_out_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    math = PROVIDERS["torch_math"]
    monkeypatch.setattr(math, "_is_jagged", lambda *_: True)
    run(math, _case("context", "full", "packed", kv_heads=8))


@pytest.mark.parametrize(
    ("name", "case", "words"),
    [
        ("torch_flash", _case("context", "sliding_window", "dense", (9, 9), window=4, dtype="fp16"), "takes no mask"),
        ("torch_flash", _case("context", "causal", "dense", (9, 9), alibi=True, dtype="fp16"), "takes no mask"),
        ("torch_flash", _case("context", "causal", "dense", (9, 9)), "fp16 and bf16 only"),
        ("torch_cudnn", _case("context", "causal", "dense", (9, 9)), "fp16 and bf16 only"),
        ("torch_mem_efficient", _case("context", "causal", "dense", (9, 9)), "as many KV heads"),
        ("torch_math", _case("context", "causal", "dense", (9, 9), soft_cap=5.0), "no soft cap"),
        ("torch_flex", _case("generation", "causal", "paged", page_size=16, kv_dtype="fp8_e4m3"), "no fp8 cache"),
        ("torch_flex", _case("context", "full", "dense", (9000, 9000)), "134,217,728 pairs"),
    ],
)
def test_what_a_kernel_lacks_on_a_gpu_is_said_beforehand(name: str, case: AttentionCase, words: str) -> None:
    assert words in PROVIDERS[name].why_not(case, H200)


@pytest.mark.parametrize(
    ("name", "where", "words"),
    [
        ("torch_flash", Where("cuda", "7.5", {"torch": "2.11.0"}), "compute capability 8.0"),
        ("torch_cudnn", Where("cuda", "9.0", {"torch": "2.4.1"}), "since 2.5"),
        ("torch_math", Where("cuda", "9.0", {"torch": "2.4.1"}), "grouped heads since torch 2.5"),
        ("torch_math", Where("cuda", "9.0", {"torch": "2.2.2"}), "since 2.3"),
        ("torch_flex", Where("cuda", "9.0", {"torch": "2.4.1"}), "since 2.5"),
        ("torch_flex", CPU, "needs a GPU"),
        ("torch_cudnn", CPU, "cuda only"),
        ("torch_mem_efficient", CPU, "cuda only"),
    ],
)
def test_an_older_torch_or_gpu_is_out_of_reach(name: str, where: Where, words: str) -> None:
    assert words in PROVIDERS[name].why_not(_case("context", "causal", "dense", (9, 9), dtype="fp16"), where)


def test_a_build_of_ngc_counts_as_the_release_that_it_is_an_alpha_of() -> None:
    where = Where("cuda", "9.0", {"torch": "2.5.0a0+e000cf0ad9.nv24.10"})
    assert PROVIDERS["torch_cudnn"].why_not(_case("context", "causal", "dense", (9, 9), dtype="fp16"), where) == ""


def test_every_reason_is_a_few_words() -> None:
    words = {
        provider.why_not(case, where) for provider in PROVIDERS.values() for case in QUICK for where in (CPU, H200)
    }
    assert len(words) > 8
    assert all(re.fullmatch(r"[^\n]{0,100}", text) for text in words)


def test_providers_can_be_asked_in_a_process_that_loads_nothing_native() -> None:
    ask = (
        "import importlib, sys\n"
        "from pytest_trtcheck.providers import AttentionCase, Where\n"
        "case = AttentionCase('context', 'causal', 'packed', (3,), (3,), 4, 2, 64, 'fp16', rotary_base=1e4)\n"
        "where = Where('cuda', '9.0', {'torch': '2.9.0', 'flashinfer': '0.6.4', 'flash_attn': '2.8.3'})\n"
        f"for name in {MODULES}:\n"
        f"    for provider in importlib.import_module('{FOLDER}.' + name).PROVIDERS: provider.why_not(case, where)\n"
        "native = {'torch', 'flash_attn', 'flashinfer', 'xformers', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(native) if native else 0)"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
