"""The adapters of libraries that no machine without a GPU can run, against what each release's source says it takes."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from pytest_trtcheck._suites.attention.providers import flash_attn, flashinfer, xformers
from pytest_trtcheck.providers import AttentionCase, Refused, Where, component_of
from pytest_trtcheck.providers.attention import compilation_of, padding_of
from tests.attention.libraries import releases

needs_torch = pytest.mark.torch

FAKES = {"flash_attn": "FlashAttn", "flashinfer": "FlashInfer", "xformers": "XFormers"}
"""Class in ``fake_<library>.py``, which needs torch."""
PROVIDERS: dict[str, Any] = {
    "flash_attn": flash_attn.PROVIDERS[0],
    "flashinfer": flashinfer.PROVIDERS[0],
    "xformers": xformers.PROVIDERS[0],
}
RELEASES = [(library, release) for library in FAKES for release in releases(library)]
NEWEST = [(library, list(releases(library))[-1]) for library in FAKES]


def _case(phase: str, mask: str, layout: str, **other: Any) -> AttentionCase:
    lengths = {
        "dense": ((40, 40), (40, 40)),
        "padded": ((37, 60, 1), (37, 60, 1)),
        "packed": ((37, 60, 1), (37, 60, 1)),
        "paged": ((1, 1, 1), (17, 64, 300)),
    }[layout]
    if phase == "chunked":
        lengths = ((16, 9, 1), (100, 133, 5)) if layout == "packed" else ((16, 9, 1), (100, 300, 5))
    queries, keys = other.pop("lengths", lengths)
    settings = {"heads": 8, "kv_heads": 2, "head_size": 64, "dtype": "fp16", **other}
    return AttentionCase(phase, mask, layout, queries, keys, **settings)


CASES = (
    *(_case("context", mask, layout) for mask in ("full", "causal") for layout in ("dense", "padded", "packed")),
    *(_case("context", "sliding_window", layout, window=16) for layout in ("dense", "padded", "packed")),
    _case("context", "causal", "packed", kv_heads=8, softmax_scale=0.3, nan_query=True, dtype="bf16"),
    _case("context", "causal", "dense", kv_heads=1, head_size=128),
    _case("context", "causal", "dense", alibi=True),
    _case("context", "full", "dense", alibi=True, kv_heads=8, lengths=((37, 37), (37, 37))),
    _case("context", "causal", "packed", alibi=True),
    _case("context", "causal", "dense", alibi=True, soft_cap=20.0),
    _case("context", "causal", "padded", soft_cap=10.0),
    _case("context", "causal", "dense", rotary_base=10000.0),
    _case("context", "causal", "padded", rotary_base=10000.0, rotary_interleaved=True),
    _case("chunked", "causal", "packed"),
    _case("chunked", "causal", "packed", rotary_base=10000.0),
    *(_case("generation", "causal", "paged", page_size=size) for size in (16, 32, 64, 256)),
    _case("generation", "causal", "paged", page_size=64, kv_heads=1),
    _case("generation", "causal", "paged", page_size=64, kv_heads=8),
    _case("generation", "causal", "paged", page_size=16, heads=12, kv_heads=4),
    _case("generation", "sliding_window", "paged", page_size=256, window=48),
    _case("generation", "sliding_window", "paged", page_size=16, window=48),
    _case("generation", "causal", "paged", page_size=32, kv_dtype="fp8_e4m3"),
    _case("generation", "causal", "paged", page_size=16, rotary_base=10000.0),
    _case("generation", "causal", "paged", page_size=256, rotary_base=10000.0, rotary_interleaved=True),
    _case("chunked", "causal", "paged", page_size=32),
    _case("chunked", "causal", "paged", page_size=256),
    _case("chunked", "causal", "paged", page_size=256, rotary_base=10000.0),
    _case("chunked", "causal", "paged", page_size=256, rotary_base=10000.0, lengths=((8, 8), (20, 300))),
    _case("chunked", "causal", "paged", page_size=64, lengths=((8, 8), (20, 300))),
    _case("chunked", "sliding_window", "paged", page_size=16, window=20, soft_cap=15.0),
    _case("chunked", "causal", "paged", page_size=16, rotary_base=10000.0, kv_dtype="fp8_e4m3"),
    _case("context", "causal", "packed", dtype="fp32"),
)


def install(library: str, release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a fake of the library where imports find it."""
    fake = getattr(importlib.import_module(f"tests.attention.fake_{library}"), FAKES[library])
    fake(release).install(monkeypatch)
    # Clearing as much as a GPU needs is most of the time that these tests would take.
    monkeypatch.setattr(flashinfer, "WORKSPACE_BYTES", 1024)


def run(library: str, case: AttentionCase) -> None:
    """Run a case without judging the answer."""
    from pytest_trtcheck._suites.attention.inputs import make_inputs

    PROVIDERS[library].run(case, make_inputs(case, 0, "cpu"))


@cache
def _prepared(case: AttentionCase, padding: str) -> tuple[Any, Any]:
    """Return inputs, remembered as they are, and the reference: the same ones for every release."""
    from pytest_trtcheck._suites.attention.inputs import make_inputs
    from pytest_trtcheck._suites.attention.reference import make_reference

    inputs = make_inputs(case, CASES.index(case), "cpu", padding)
    inputs.remember()
    return inputs, make_reference(case, inputs)


def _where(library: str, release: str) -> Where:
    return Where("cuda", "9.0", {"torch": "2.11.0+cu130", library: release})


def _able(library: str, release: str) -> list[AttentionCase]:
    provider = PROVIDERS[library]
    assert component_of(provider) == library
    return [case for case in CASES if not provider.why_not(case, _where(library, release))]


@needs_torch
@pytest.mark.parametrize(("library", "release"), RELEASES)
def test_what_an_adapter_passes_is_what_the_release_takes_and_gives_the_right_answer(
    library: str, release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = PROVIDERS[library]
    install(library, release, monkeypatch)
    able = _able(library, release)
    assert len(able) >= 7
    for case in able:
        inputs, reference = _prepared(case, padding_of(provider))
        inputs.poison()
        answer = provider.run(case, inputs)
        assert (answer.shape, answer.dtype) == (inputs.q.shape, inputs.q.dtype), case.name
        assert inputs.changed() == [], case.name
        comparison = reference.judge(case, answer)
        assert comparison.is_within, f"{case.name}: {comparison.describe()}"


@pytest.mark.parametrize(
    ("library", "features"),
    [
        ("flash_attn", "dense padded packed page256 sliding_window alibi soft_cap rotary scale gqa mqa"),
        ("flashinfer", "padded packed page16 page32 page64 fp8_kv sliding_window alibi soft_cap rotary scale gqa mqa"),
        ("xformers", "dense padded packed page64 sliding_window alibi scale gqa mqa"),
    ],
)
def test_the_newest_release_is_asked_for_all_that_its_library_can_do(library: str, features: str) -> None:
    able = _able(library, dict(NEWEST)[library])
    assert set(features.split()) <= set().union(*(case.features for case in able))


@needs_torch
@pytest.mark.parametrize(
    ("release", "case", "words"),
    [
        ("2.0.9", _case("chunked", "causal", "packed"), "2.1.0"),
        ("2.2.5", _case("context", "sliding_window", "dense", window=16), "2.3.0"),
        ("2.3.6", _case("context", "causal", "dense", alibi=True), "2.4.0"),
        ("2.4.3", _case("generation", "causal", "paged", page_size=256), "2.5.0"),
        ("2.5.6", _case("chunked", "causal", "paged", page_size=256), "2.5.7"),
        ("2.5.9", _case("context", "causal", "dense", soft_cap=10.0), "2.6.0"),
    ],
)
def test_what_came_later_is_out_of_reach_of_an_older_flash_attn(
    release: str, case: AttentionCase, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in PROVIDERS["flash_attn"].why_not(case, _where("flash_attn", release))
    if words == "2.1.0":
        return  # the arguments are the same; the mask was aligned to the first key
    install("flash_attn", release, monkeypatch)
    with pytest.raises(TypeError, match="unexpected keyword"):
        run("flash_attn", case)


@pytest.mark.parametrize("library", FAKES)
def test_an_adapter_says_so_on_one_line_when_something_is_out_of_reach(library: str) -> None:
    provider = PROVIDERS[library]
    places = (Where("cpu"), Where("cuda", "7.0", {library: "0.0.1"}), _where(library, dict(NEWEST)[library]))
    words = {provider.why_not(case, where) for case in CASES for where in places} - {""}
    assert len(words) >= 4
    assert all(re.fullmatch(r"[^\n]{8,100}", text) for text in words)
    assert {provider.why_not(case, places[0]) for case in CASES} == {"needs a GPU"}


def _raising(error: Exception) -> Any:
    def run(*_: Any, **__: Any) -> None:
        raise error

    return run


@needs_torch
def test_a_refusal_of_flashinfer_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    install("flashinfer", "0.6.4", monkeypatch)
    case = _case("context", "causal", "packed")
    method = "flashinfer.BatchPrefillWithRaggedKVCacheWrapper.run"

    refusal = RuntimeError("FlashInfer Internal Error: Invalid configuration :\n NUM_MMA_Q=1")
    monkeypatch.setattr(method, _raising(refusal))
    with pytest.raises(Refused, match=r"Invalid configuration : NUM_MMA_Q=1"):
        run("flashinfer", case)

    monkeypatch.setattr(method, _raising(RuntimeError("CUDA error: an illegal memory access was encountered")))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run("flashinfer", case)


CUDA_MISSING = "xFormers wasn't build with CUDA support"
TOO_NEW = "requires device with capability <= (9, 0) but your GPU has capability (12, 0) (too new)"


@needs_torch
@pytest.mark.parametrize(
    ("kind", "words", "reasons"),
    [
        (NotImplementedError, "NO_OPERATOR", f"{CUDA_MISSING}; {TOO_NEW}"),
        (ValueError, "NOT_THIS_OPERATOR", CUDA_MISSING),
    ],
)
def test_a_refusal_of_xformers_is_its_reasons_once_each_without_the_shapes(
    kind: type[Exception], words: str, reasons: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.attention import fake_xformers

    install("xformers", "0.0.35", monkeypatch)
    refusal = kind(getattr(fake_xformers, words))
    monkeypatch.setattr("xformers.ops.memory_efficient_attention", _raising(refusal))
    with pytest.raises(Refused) as refused:
        run("xformers", _case("context", "causal", "packed"))
    assert str(refused.value) == reasons


@needs_torch
def test_a_long_refusal_is_cut_and_one_without_reasons_keeps_its_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.attention.fake_xformers import NO_OPERATOR

    install("xformers", "0.0.35", monkeypatch)
    case = _case("context", "causal", "packed")
    long = NotImplementedError(NO_OPERATOR + "".join(f"\n    reason {number}" for number in range(99)))
    monkeypatch.setattr("xformers.ops.memory_efficient_attention", _raising(long))
    with pytest.raises(Refused, match=rf"^{CUDA_MISSING};[^\n]+…$") as refused:
        run("xformers", case)
    assert len(str(refused.value)) == 300

    bare = NotImplementedError("No operator found for this:\n  query: shape=(1, 2)")
    monkeypatch.setattr("xformers.ops.memory_efficient_attention", _raising(bare))
    with pytest.raises(Refused, match=r"^No operator found for this:$"):
        run("xformers", case)


@needs_torch
def test_any_other_error_of_xformers_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    install("xformers", "0.0.35", monkeypatch)
    monkeypatch.setattr("xformers.ops.memory_efficient_attention", _raising(ValueError("Invalid shape for query")))
    with pytest.raises(ValueError, match="Invalid shape"):
        run("xformers", _case("context", "causal", "packed"))


PREFILL = _case("context", "causal", "packed")
DECODE = _case("generation", "causal", "paged", page_size=16, kv_heads=4)
H200 = _where("flashinfer", "0.6.4")
B200 = replace(H200, compute_capability="10.0")


def _compiled(case: AttentionCase, where: Where = H200) -> str:
    found = compilation_of(PROVIDERS["flashinfer"], case, where)
    assert found is not None
    assert 60 <= found[1] <= 90
    return found[0]


def test_flashinfer_compiles_one_module_for_whatever_differs_in_lengths_heads_and_layout_alone() -> None:
    chunk = _case("chunked", "causal", "paged", page_size=32, kv_heads=1, softmax_scale=0.3)
    rotated = replace(PREFILL, rotary_base=10000.0, mask="full")
    assert _compiled(PREFILL) == _compiled(chunk) == _compiled(rotated) == "prefill-fa3-d64-fp16"


def test_flashinfer_compiles_another_module_for_another_dtype_head_size_window_cap_and_for_decoding() -> None:
    cases = (
        PREFILL,
        DECODE,
        replace(PREFILL, dtype="bf16"),
        replace(PREFILL, head_size=128),
        replace(PREFILL, soft_cap=10.0),
        replace(PREFILL, alibi=True),
        _case("context", "sliding_window", "packed", window=16),
        _case("chunked", "causal", "paged", page_size=16, kv_dtype="fp8_e4m3"),
    )
    assert len({_compiled(case) for case in cases}) == len(cases)


def test_decoding_with_tensor_cores_is_flashinfers_prefill_which_hopper_has_of_its_own() -> None:
    grouped = replace(DECODE, kv_heads=2)
    assert _compiled(DECODE, B200) != _compiled(grouped, B200)
    assert _compiled(grouped, B200) == _compiled(PREFILL, B200)
    assert _compiled(grouped) != _compiled(PREFILL)
    # What has no kernel of its own there is shared again: keys of 8 bits, and ALiBi.
    fp8 = _case("chunked", "causal", "paged", page_size=16, kv_dtype="fp8_e4m3")
    assert _compiled(replace(grouped, kv_dtype="fp8_e4m3")) == _compiled(fp8)
    assert _compiled(replace(grouped, alibi=True)) == _compiled(replace(PREFILL, alibi=True))


def test_flashinfer_compiles_nothing_that_its_cache_brings() -> None:
    where = replace(H200, distributions={"flashinfer-jit-cache": "0.6.4+cu130"})
    assert compilation_of(PROVIDERS["flashinfer"], PREFILL, where) is None
    assert compilation_of(PROVIDERS["flashinfer"], replace(PREFILL, alibi=True), where) is not None


def test_libraries_that_come_compiled_compile_nothing() -> None:
    for library in ("flash_attn", "xformers"):
        assert compilation_of(PROVIDERS[library], PREFILL, _where(library, dict(NEWEST)[library])) is None
