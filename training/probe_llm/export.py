"""Make the shipped model of a training run: ``python -m training.probe_llm.export --states FOLDER --to FOLDER``.

Writes the checkpoint in Hugging Face form (bf16), the tokenizer, the adapter in PEFT form, the draft model, golden
log-probabilities and a checksum of every file. Needs torch and tokenizers; no GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

from pytest_trtcheck._suites.probe_llm import tasks
from training.probe_llm.files import write_checksums, write_json
from training.probe_llm.golden import write_golden
from training.probe_llm.network import DRAFT, MAIN, TINY, Shape

SPECIAL = {tasks.PAD: "<|pad|>", tasks.BOS: "<|bos|>", tasks.EOS: "<|eos|>", tasks.UNK: "<|unk|>"}


def token_texts() -> dict[str, int]:
    """Return the vocabulary: id = character code for printable ASCII and line feed; the rest has marks of its own."""
    texts = {}
    for i in range(tasks.VOCABULARY):
        plain = 32 <= i <= 126 or i == 10
        texts[chr(i) if plain else SPECIAL.get(i, f"<|unused{i}|>")] = i
    return texts


def tokenizer() -> Tokenizer:
    """One character, one token; the begin mark comes first unless special tokens are off."""
    made = Tokenizer(models.BPE(vocab=token_texts(), merges=[], unk_token=SPECIAL[tasks.UNK]))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    made.decoder = decoders.Fuse()
    made.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL[tasks.BOS]} $A",
        pair=f"{SPECIAL[tasks.BOS]} $A {SPECIAL[tasks.BOS]}:1 $B:1",
        special_tokens=[(SPECIAL[tasks.BOS], tasks.BOS)],
    )
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL.values()])
    return made


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and what names its special tokens."""
    tokenizer().save(str(folder / "tokenizer.json"))
    names = {f"{kind}_token": SPECIAL[i] for kind, i in zip(("pad", "bos", "eos", "unk"), SPECIAL, strict=True)}
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **names,
            "clean_up_tokenization_spaces": False,
            "model_max_length": tasks.CONTEXT,
        },
    )


def write_checkpoint(folder: Path, shape: Shape, state: dict[str, torch.Tensor]) -> None:
    """config.json, model.safetensors in bf16, generation config and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = shape.as_dict()
    theta = sizes.pop("rope_theta")
    ids = {"bos_token_id": tasks.BOS, "eos_token_id": tasks.EOS, "pad_token_id": tasks.PAD}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **sizes,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "rope_theta": theta,
        "rope_scaling": None,
        "initializer_range": 0.02,
        "use_cache": True,
        "torch_dtype": "bfloat16",
        **ids,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", {"do_sample": False, **ids})
    weights = {name: value.to(torch.bfloat16).contiguous() for name, value in sorted(state.items())}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder)


def write_adapter(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """Write a PEFT adapter of the parameters a/NAME and b/NAME."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, targets = {}, set()
    for key, value in state.items():
        side, _, name = key.partition(".")
        module = name.replace("/", ".").removesuffix(".weight")
        targets.add(module.rpartition(".")[2])
        weights[f"base_model.model.{module}.lora_{side.upper()}.weight"] = value.to(torch.bfloat16).contiguous()
    save_file(dict(sorted(weights.items())), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": None,
            "r": 8,
            "lora_alpha": 16,
            "lora_dropout": 0.0,
            "target_modules": sorted(targets),
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "modules_to_save": None,
        },
    )


def main() -> None:
    """Export one run."""
    parser = argparse.ArgumentParser(prog="python -m training.probe_llm.export", description=__doc__)
    parser.add_argument("--states", type=Path, required=True, help="Folder that the training wrote")
    parser.add_argument("--to", type=Path, required=True, help="Model folder to write")
    options = parser.parse_args()
    state = load_file(options.states / "main.safetensors")
    state = {name: value for name, value in state.items() if not name.startswith("adapter.")}
    shape = MAIN if state["lm_head.weight"].shape[1] == MAIN.hidden_size else TINY
    write_checkpoint(options.to, shape, state)
    write_checkpoint(options.to / "draft", DRAFT, load_file(options.states / "draft.safetensors"))
    write_adapter(options.to / "lora", load_file(options.states / "adapter.safetensors"))
    write_golden(options.to)
    for path in options.to.rglob("*.safetensors"):
        path.chmod(0o644)  # safetensors writes files that only their owner can read
    write_checksums(options.to)


if __name__ == "__main__":
    main()
