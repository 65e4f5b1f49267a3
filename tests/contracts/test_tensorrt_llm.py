"""The TensorRT-LLM providers on every release whose signatures were read; stand-ins bind each call to them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from pytest_trtcheck._suites.attention.inputs import make_inputs  # noqa: E402
from pytest_trtcheck._suites.attention.judge import judge  # noqa: E402
from pytest_trtcheck._suites.attention.providers.tensorrt_llm import EngineAttention, TorchAttention  # noqa: E402
from pytest_trtcheck._suites.attention.reference import make_reference  # noqa: E402
from pytest_trtcheck._suites.support.judgement import FAILED, PASSED, REFUSED  # noqa: E402
from pytest_trtcheck.providers import AttentionCase, Where  # noqa: E402
from tests.contracts import tables  # noqa: E402
from tests.contracts.llm_standin import LlmStandin, TorchPath  # noqa: E402
from tests.contracts.tensorrt_standin import Standin  # noqa: E402

READ = tables.tensorrt_llm_releases()
SHIPPED = {"0.13.0.dev2024082700": "0.12.0", "0.14.0.dev2024100800": "0.13.0"}
"""Releases that two development commits stand for."""
BERT = (
    AttentionCase("context", "full", "padded", (3, 17), (3, 17), 8, 8, 64, "fp16"),
    AttentionCase("context", "full", "dense", (33, 33), (33, 33), 8, 8, 32, "fp32", softmax_scale=0.2),
)
GPT = (
    AttentionCase("context", "causal", "padded", (3, 17), (3, 17), 8, 2, 64, "fp16"),
    AttentionCase("context", "causal", "dense", (33, 33), (33, 33), 8, 1, 32, "bf16", softmax_scale=0.2),
)
TORCH = (
    AttentionCase("context", "full", "packed", (3, 17), (3, 17), 8, 2, 64, "fp16"),
    AttentionCase("context", "causal", "padded", (3, 17), (3, 17), 8, 8, 32, "bf16", softmax_scale=0.2),
)


class Stream:
    """Stands in for torch's current stream."""

    cuda_stream = 7

    def synchronize(self) -> None:
        """Nothing to wait for."""


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_stream", lambda *_: Stream())


def where(release: str, device: str = "cuda") -> Where:
    return Where(device, "9.0", {"tensorrt_llm": release})


def run(case: AttentionCase, provider: Any) -> Any:
    reference = make_reference(case, make_inputs(case, 0, "cpu"))
    return judge(case, provider, make_inputs(case, 0, "cpu", getattr(provider, "padding", "nan")), reference)


def installed(monkeypatch: pytest.MonkeyPatch, release: str) -> LlmStandin:
    module = LlmStandin(release)
    monkeypatch.setitem(sys.modules, "tensorrt_llm", module)
    monkeypatch.setitem(sys.modules, "tensorrt", Standin("10.3.0"))
    return module


@pytest.mark.parametrize("read", READ)
def test_the_engine_flow_binds_to_the_signatures_of_each_release(read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    release = SHIPPED.get(read, read)
    able = [case for case in (*BERT, *GPT) if not EngineAttention().why_not(case, where(release))]
    has_gpt = (0, 9) <= tables.number(release) < (0, 12)
    assert able == [*BERT, *(GPT if has_gpt else ())]
    for case in able:
        module = installed(monkeypatch, read)
        found = run(case, EngineAttention())
        assert found.state == PASSED, f"{case.name}: {found.message} {found.text}"
        assert module.order.index("create_builder_config") < module.order.index("create_network")
        assert module.plugins["context_fmha"] == {"fp32": "disabled", "bf16": "enabled"}.get(
            case.dtype, "enabled_with_fp32_acc"
        )
        assert module.plugins.get("to_legacy_setting", False) == (tables.number(read) >= (0, 8))


def test_the_kernel_of_upstreams_grid_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    module = installed(monkeypatch, "0.6.1")
    assert run(BERT[0], EngineAttention("enabled")).state == PASSED
    assert module.plugins == {"bert_attention_plugin": "float16", "context_fmha": "enabled"}


def test_a_session_that_returns_false_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, "0.9.0").refuses_to_run = True
    found = run(BERT[0], EngineAttention())
    assert found.state == FAILED
    assert "Session.run returned False" in found.message


@pytest.mark.parametrize("release", ["0.14.0", "0.15.0", "0.20.0", "1.0.0", "1.2.1", "1.3.0rc20", "0.4.0"])
def test_the_engine_flow_of_releases_not_read_is_not_guessed(release: str) -> None:
    expected = f"not implemented for release {release}: signature unknown"
    assert EngineAttention().why_not(BERT[0], where(release)) == expected


@pytest.mark.parametrize("release", ["0.5.0", "0.8.0", "0.12.0", "0.13.0"])
def test_gpt_attention_outside_the_releases_read_is_not_guessed(release: str) -> None:
    expected = f"gpt_attention not implemented for release {release}: signature unknown"
    assert EngineAttention().why_not(GPT[0], where(release)) == expected


@pytest.mark.parametrize("release", ["1.3.0rc21", "1.3.0", "1.4.0rc1"])
def test_after_the_engine_backend_the_reason_is_its_removal(release: str) -> None:
    assert EngineAttention().why_not(BERT[0], where(release)) == "1.3.0rc20 is the last release with the engine backend"


@pytest.mark.parametrize("case", TORCH)
def test_the_pytorch_path_binds_to_the_recorded_signatures(
    case: AttentionCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = TorchPath()
    for name, module in path.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert not TorchAttention().why_not(case, where("1.1.0"))
    found = run(case, TorchAttention())
    assert found.state == PASSED, f"{found.message} {found.text}"
    assert path.uses == {"get_attention_backend": 1, "create_attention": 1, "Metadata": 1, "forward": 1}


def test_another_backend_than_the_one_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in TorchPath("VanillaAttention").modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    found = run(TORCH[0], TorchAttention())
    assert found.state == REFUSED
    assert found.message.endswith("asked for the backend TRTLLM, TensorRT-LLM gave VanillaAttention")


@pytest.mark.parametrize(
    ("release", "words"),
    [
        ("0.21.0", "from 1.0 on"),
        ("1.3.0rc5", "not implemented for release 1.3.0rc5: signature unknown"),
        ("1.4.0rc1", "not implemented for release 1.4.0rc1: signature unknown"),
    ],
)
def test_the_pytorch_path_outside_the_releases_read_is_not_guessed(release: str, words: str) -> None:
    assert words in TorchAttention().why_not(TORCH[0], where(release))


@pytest.mark.parametrize("provider", [EngineAttention(), TorchAttention()])
def test_no_gpu_means_no_run(provider: Any) -> None:
    assert provider.why_not(TORCH[0], where("0.9.0", "cpu")) == "TensorRT-LLM runs on GPUs only"


def test_the_stand_in_itself_refuses_what_a_release_lacks() -> None:
    module = LlmStandin("0.5.0")
    with pytest.raises(AttributeError, match="flash"):
        _ = module.functional.flash
    with pytest.raises(TypeError, match="does not take"):
        module.functional.bert_attention(1, 2, num_heads=1, head_size=1, q_scaling=1.0, max_input_length=3)
    with pytest.raises(AttributeError, match="to_legacy_setting"):
        module.Builder().create_network().plugin_config.to_legacy_setting()
