"""TensorRT-LLM's two lives: attention plugins in an engine, and the attention backend of its PyTorch path.

Written against signatures read from source at each tag, never run on the library itself. Releases between or beyond
those read are refused by name, not guessed at.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_trtcheck._suites.attention.providers.shared import laid_out, unpadded
from pytest_trtcheck._suites.support.reasons import first_of, older
from pytest_trtcheck._suites.support.tensorrt import TensorRT
from pytest_trtcheck.model.versions import DottedVersion, PackageVersion
from pytest_trtcheck.providers import Refused

if TYPE_CHECKING:
    import torch

    from pytest_trtcheck.providers import AttentionCase, Where

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""As TensorRT-LLM names them."""
_ENGINE_SINCE, _ENGINE_UNTIL = "0.5", "0.14"
"""Releases of the engine flow that were read, the second excluded; for 0.12 and 0.13 a commit stands in."""
_GPT_SINCE, _GPT_UNTIL = "0.9", "0.12"
"""Releases in which the tensors of ``gpt_attention`` were read together with its names."""
_TORCH_SINCE, _TORCH_UNTIL = "1.0", "1.3"


_LAST_WITH_ENGINES = "1.3.0rc20"


def has_no_engines(where: Where) -> bool:
    """Say whether the release came after the engine backend."""
    version = PackageVersion.try_parse(where.versions.get("tensorrt_llm"))
    return version is not None and PackageVersion.parse(_LAST_WITH_ENGINES) < version


def is_outside(where: Where, since: str, until: str) -> bool:
    """Say whether a release is older than the first or not older than the second."""
    return older(where, "tensorrt_llm", since) or not older(where, "tensorrt_llm", until)


def unknown(where: Where) -> str:
    """Return the words for a release whose calls were not read."""
    return f"not implemented for release {where.versions.get('tensorrt_llm')}: signature unknown"


def _features_missing(case: AttentionCase) -> tuple[tuple[bool, str], ...]:
    """Return what none of the flows here asks the library for."""
    return (
        (case.phase != "context", "context phase only: the layout of the release's own cache is not recorded"),
        (case.mask == "sliding_window", "a sliding window is not implemented for this flow"),
        (bool(case.rotary_base), "a rotary embedding inside the kernel is not implemented for this flow"),
        (bool(case.soft_cap), "a soft cap is not implemented for this flow"),
        (case.alibi, "ALiBi is not implemented for this flow"),
    )


def q_scaling(case: AttentionCase) -> float:
    """Return the divisor that TensorRT-LLM puts beside the square root of the head size."""
    return 1.0 / (case.scale * float(case.head_size**0.5))


class EngineAttention:
    """``bert_attention`` for a full mask, ``gpt_attention`` for a causal one, each in an engine of its own.

    The engine is made as upstream's tests make it: configuration before network (it decides on strong typing), plugin,
    network, build, session.
    """

    name = "tensorrt_llm_engine"
    component = "tensorrt_llm"
    # Padding is told by lengths, and what lies there may be multiplied by 0.
    padding = "finite"

    def __init__(self, context_fmha: str = "enabled_with_fp32_acc") -> None:
        """Choose the fused context kernel for fp16: a member of ``ContextFMHAType``."""
        self.context_fmha = context_fmha

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what the plugins or this release lack."""
        is_bert = case.mask == "full"
        return first_of((
            (where.device != "cuda", "TensorRT-LLM runs on GPUs only"),
            (has_no_engines(where), f"{_LAST_WITH_ENGINES} is the last release with the engine backend"),
            (is_outside(where, _ENGINE_SINCE, _ENGINE_UNTIL), unknown(where)),
            *_features_missing(case),
            (case.layout not in {"dense", "padded"}, "dense or padded tensors only: packed ones differ by release"),
            (is_bert and case.heads != case.kv_heads, "bert_attention has as many key and value heads as query heads"),
            (is_bert and case.dtype == "bf16", "bert_attention is known in fp32 and fp16 only"),
            (not is_bert and is_outside(where, _GPT_SINCE, _GPT_UNTIL), f"gpt_attention {unknown(where)}"),
        ))  # fmt: skip

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Build, run and free an engine; the answer is written to ``inputs.out``."""
        import torch

        llm = importlib.import_module("tensorrt_llm")
        builder = llm.Builder()
        config = builder.create_builder_config(precision=_DTYPES[case.dtype])
        network = builder.create_network()
        self.set_plugin(llm, network.plugin_config, case)
        tensors = self.bert_inputs(inputs) if case.mask == "full" else self.gpt_inputs(case, inputs)
        outputs = {"output": inputs.out.view(*inputs.out.shape[:2], -1)}
        with llm.net_guard(network):
            if case.mask == "full":
                answers = self.bert(llm, case, self.declare(llm, tensors))
            else:
                outputs["present_key_value"] = tensors["past_key_value"]
                answers = self.gpt(llm, case, self.declare(llm, tensors))
            for name, answer in zip(outputs, answers, strict=True):
                answer.mark_output(name, TensorRT().dtype(case.dtype))
        engine = builder.build_engine(network, config)
        if engine is None:
            raise RuntimeError("tensorrt_llm.Builder.build_engine returned nothing; its reason is in the log on stdout")
        session = llm.runtime.Session.from_serialized_engine(engine)
        stream = torch.cuda.current_stream()
        if not session.run(inputs=tensors, outputs=outputs, stream=stream.cuda_stream):
            raise RuntimeError("tensorrt_llm.runtime.Session.run returned False")
        stream.synchronize()
        out: torch.Tensor = inputs.out
        return out

    def set_plugin(self, llm: Any, plugins: Any, case: AttentionCase) -> None:
        """Choose the plugin, by setters up to 0.10 and by attributes after; padding stays in."""
        release, kind = release_of(llm), "bert" if case.mask == "full" else "gpt"
        if release >= DottedVersion.parse("0.8"):
            # Everything off, as before 0.8: padding removal and a paged cache among it.
            plugins.to_legacy_setting()
        if release >= DottedVersion.parse("0.11"):
            setattr(plugins, f"{kind}_attention_plugin", _DTYPES[case.dtype])
        else:
            getattr(plugins, f"set_{kind}_attention_plugin")(_DTYPES[case.dtype])
        chosen = {"fp32": "disabled", "bf16": "enabled"}.get(case.dtype, self.context_fmha)
        plugins.set_context_fmha(getattr(llm.plugin.ContextFMHAType, chosen))

    def declare(self, llm: Any, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
        """Return a network input for each tensor, of its name, dtype and shape."""
        api = TensorRT()
        return {
            name: llm.Tensor(name=name, dtype=api.dtype_like(tensor), shape=tuple(tensor.shape))
            for name, tensor in tensors.items()
        }

    def bert_inputs(self, inputs: Any) -> dict[str, torch.Tensor]:
        """Return the tensors of ``bert_attention``."""
        return {"qkv": _fused(inputs), "input_lengths": inputs.query_lengths}

    def bert(self, llm: Any, case: AttentionCase, given: dict[str, Any]) -> tuple[Any, ...]:
        """Add the plugin for a full mask."""
        answer = llm.functional.bert_attention(
            given["qkv"],
            given["input_lengths"],
            num_heads=case.heads,
            head_size=case.head_size,
            q_scaling=q_scaling(case),
        )
        return (answer,)

    def gpt_inputs(self, case: AttentionCase, inputs: Any) -> dict[str, torch.Tensor]:
        """Return the tensors of ``gpt_attention`` for new sequences, with a contiguous cache full of NaN to fill."""
        import torch

        batch, length = len(case.query_lengths), max(case.query_lengths)
        cache = inputs.q.new_full((batch, 2, case.kv_heads, length, case.head_size), float("nan"))
        zeros = torch.zeros(batch, dtype=torch.int32)
        return {
            "qkv": _fused(inputs),
            "past_key_value": cache,
            "sequence_length": inputs.query_lengths,
            "host_past_key_value_lengths": zeros,
            "host_max_attention_window_sizes": torch.tensor([length], dtype=torch.int32),
            "host_sink_token_length": torch.tensor([0], dtype=torch.int32),
            "context_lengths": inputs.query_lengths,
            "cache_indirection": torch.zeros((batch, 1, length), dtype=torch.int32, device=inputs.q.device),
            "host_request_types": zeros.clone(),
        }

    def gpt(self, llm: Any, case: AttentionCase, given: dict[str, Any]) -> tuple[Any, ...]:
        """Add the plugin for a causal mask, all arguments by name."""
        answer, present = llm.functional.gpt_attention(
            **given,
            layer_idx=0,
            num_heads=case.heads,
            num_kv_heads=case.kv_heads,
            hidden_size_per_head=case.head_size,
            q_scaling=q_scaling(case),
            rotary_embedding_dim=0,
            max_context_length=max(case.query_lengths),
        )
        return answer, present


class TorchAttention:
    """The ``TRTLLM`` backend of the PyTorch path, context phase without a cache, on sequences end to end."""

    name = "tensorrt_llm_torch"
    component = "tensorrt_llm"
    backend, expected = "TRTLLM", "TrtllmAttention"

    def why_not(self, case: AttentionCase, where: Where) -> str:
        """Return what is not implemented or not known of this release."""
        return first_of((
            (where.device != "cuda", "TensorRT-LLM runs on GPUs only"),
            (older(where, "tensorrt_llm", _TORCH_SINCE), "the PyTorch path is taken from 1.0 on"),
            (not older(where, "tensorrt_llm", _TORCH_UNTIL), unknown(where)),
            *_features_missing(case),
            (case.dtype == "fp32", "fp16 and bf16 only"),
        ))  # fmt: skip

    def run(self, case: AttentionCase, inputs: Any) -> torch.Tensor:
        """Run the backend once."""
        import torch

        attention = importlib.import_module("tensorrt_llm._torch.attention_backend")
        utils = importlib.import_module("tensorrt_llm._torch.attention_backend.utils")
        interface = importlib.import_module("tensorrt_llm._torch.attention_backend.interface")
        kind = utils.get_attention_backend(self.backend)
        if kind is not getattr(attention, self.expected):
            # An unknown name gives another backend without a word.
            raise Refused(f"asked for the backend {self.backend}, TensorRT-LLM gave {kind.__name__}")
        layer = utils.create_attention(
            self.backend, 0, case.heads, case.head_size, num_kv_heads=case.kv_heads, q_scaling=q_scaling(case)
        )
        lengths = list(case.query_lengths)
        metadata = kind.Metadata(
            max_num_requests=len(lengths),
            max_num_tokens=sum(lengths),
            kv_cache_manager=None,
            seq_lens=torch.tensor(lengths, dtype=torch.int32),
            num_contexts=len(lengths),
            request_ids=list(range(len(lengths))),
            prompt_lens=lengths,
        )
        # Without a cache manager nothing else tells it; upstream's test_attention_no_cache.py sets it as well.
        metadata.max_seq_len = max(lengths)
        metadata.prepare()
        masks = interface.PredefinedAttentionMask
        mask = masks.FULL if case.mask == "full" else masks.CAUSAL
        qkv = torch.cat([tensor.flatten(1) for tensor in unpadded(case, inputs)], dim=-1)
        answer = layer.forward(qkv, None, None, metadata, attention_mask=mask)
        return laid_out(case, inputs, answer.view(-1, case.heads, case.head_size))


def release_of(llm: Any) -> DottedVersion:
    """Return the release of the library that was imported."""
    return DottedVersion.leading(llm.__version__) or DottedVersion.parse("0")


def _fused(inputs: Any) -> torch.Tensor:
    """Return q, k, v of each token side by side, ``[batch, length, (heads + 2 * kv_heads) * head_size]``."""
    import torch

    return torch.cat([tensor.flatten(2) for tensor in (inputs.q, inputs.k, inputs.v)], dim=-1)


PROVIDERS = (EngineAttention(), TorchAttention())
