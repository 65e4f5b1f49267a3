"""The transformers backend on releases whose wheels were read: a stand-in refuses every name that they have not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL  # noqa: E402
from pytest_trtcheck._suites.probe_llm.providers.transformers import BACKENDS  # noqa: E402
from pytest_trtcheck._suites.probe_llm.tasks import EOS, PAD, encode  # noqa: E402
from pytest_trtcheck.providers import LlmCase, Model, Request, Setup, Where  # noqa: E402
from tests.attention.libraries import module, releases, signature  # noqa: E402
from tests.contracts.toy_llm import Job, prompt_of  # noqa: E402

PLAIN, STATIC = BACKENDS
LIBRARY = "transformers"
READ = list(releases(LIBRARY))
FOLDERS = Model(MODEL, MODEL / "lora", MODEL / "draft")
SETUPS = (
    Setup("fp32"),
    Setup("bf16", speculation="draft"),
    Setup("fp16", speculation="ngram"),
    Setup("fp32", chunk=16),
    Setup("fp32", kv_dtype="int8"),
)


def where(release: str) -> Where:
    return Where("cpu", versions={LIBRARY: release}, distributions={"peft": "0.21.2", "hqq": "0.2.8"})


class Config:
    """GenerationConfig: it takes any name, and has those that the release knows."""

    release = ""

    def __init__(self, **options: Any) -> None:
        known = signature(LIBRARY, self.release, "GenerationConfig").parameters
        self.__dict__.update(dict.fromkeys(known) | options)


class Network:
    """A model: the recorded ``generate``, and a toy's answers in rows padded as the library pads them."""

    def __init__(self, release: str) -> None:
        self.release, self.generation_config = release, Config()
        self.calls: list[dict[str, Any]] = []

    def to(self, device: str) -> Network:
        return self

    def eval(self) -> Network:
        return self

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        call = signature(LIBRARY, self.release, "GenerationMixin.generate").bind(*args, **kwargs).arguments
        extra = call.pop("kwargs", {})
        assert set(extra) <= {"input_ids", "attention_mask", "tokenizer", "adapter_names"}
        self.calls.append({**call, **extra})
        config, rows = call["generation_config"], extra["input_ids"]
        answers = [
            self.answer(row[mask.bool()].tolist(), config)
            for row, mask in zip(rows, extra["attention_mask"], strict=True)
        ]
        longest = max(map(len, answers))
        padded = torch.tensor([answer + [PAD] * (longest - len(answer)) for answer in answers])
        beams = config.num_return_sequences or 1
        sequences = torch.cat([rows, padded], 1).repeat_interleave(beams, 0)
        logits = tuple(torch.nn.functional.one_hot(padded[:, step], 128).float() for step in range(longest))
        return SimpleNamespace(
            sequences=sequences,
            logits=tuple(step.repeat_interleave(beams, 0) for step in logits),
            sequences_scores=torch.full((len(sequences),), -0.5),
            beam_indices=torch.zeros_like(sequences),
        )

    def answer(self, prompt: list[int], config: Any) -> list[int]:
        job = Job(prompt, config.max_new_tokens, config.stop_strings or (), context=2048)
        for _ in job.steps():
            pass
        return job.tokens


def install(monkeypatch: pytest.MonkeyPatch, release: str) -> list[Network]:
    """Put a stand-in for a release where imports find it; the models that were loaded."""
    loaded: list[Network] = []
    recorded = releases(LIBRARY)[release]["functions"]["PreTrainedModel.from_pretrained"]

    class Loader:
        @staticmethod
        def from_pretrained(*args: Any, **kwargs: Any) -> Network:
            call = signature(LIBRARY, release, "PreTrainedModel.from_pretrained").bind(*args, **kwargs)
            unknown = set(call.arguments.get("kwargs", {})) - set(recorded["keys"].split(", "))
            assert not unknown, unknown
            loaded.append(Network(release))
            return loaded[-1]

    class Criteria:
        """StoppingCriteria, whose call must take what the release gives."""

    monkeypatch.setattr(Config, "release", release)
    tokenizer = SimpleNamespace(from_pretrained=lambda *args, **kwargs: "tokenizer")
    module(
        monkeypatch, LIBRARY, AutoModelForCausalLM=Loader, AutoTokenizer=tokenizer, GenerationConfig=Config,
        StoppingCriteria=Criteria, StoppingCriteriaList=list,
    )  # fmt: skip
    peft = SimpleNamespace(from_pretrained=lambda model, folder, adapter_name: model)
    module(monkeypatch, "peft", PeftModel=peft)
    return loaded


@pytest.mark.parametrize("release", READ)
@pytest.mark.parametrize("setup", SETUPS, ids=lambda setup: setup.name)
def test_every_name_is_one_of_the_release(release: str, setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {
        Request(prompt_of("abcdef"), log_probs=2): ((*encode("fedcba"), EOS), "end"),
        Request(prompt_of("abc"), 2): (tuple(encode("cb")), "length"),
        Request(prompt_of("abcdef"), stop=("cb",)): (tuple(encode("fed")), "stop"),
        Request(prompt_of("abc"), temperature=0.5, top_k=3, top_p=0.9, seed=7): ((*encode("cba"), EOS), "end"),
        Request(prompt_of("abc"), repetition_penalty=1.5, bad_words=("x",), cancel_after=2): (
            tuple(encode("cb")), "cancelled",
        ),
    }  # fmt: skip
    # Stop words are not asked for where tokens are proposed.
    requests = [request for request in asked if not (setup.speculation and request.stop)]
    words = PLAIN.why_not(LlmCase("x", setup, tuple(requests)), where(release))
    if words:
        assert (words, setup.chunk) == ("no chunked_context", 16)
        return
    loaded = install(monkeypatch, release)
    session = PLAIN.open(setup, FOLDERS, where(release))
    answers = session.generate(requests)
    assert [(answer.tokens, answer.finish) for answer in answers] == [asked[request] for request in requests]
    assert all(
        call["generation_config"].do_sample == (call["generation_config"].temperature is not None)
        for call in loaded[0].calls
    )
    assert len(loaded) == (2 if setup.speculation == "draft" else 1)
    session.close()


@pytest.mark.parametrize("release", READ)
def test_beams_adapters_and_static_caches_too(release: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = install(monkeypatch, release)
    session = PLAIN.open(Setup("fp32", adapter=True), FOLDERS, where(release))
    (answer,) = session.generate([Request(prompt_of("ab"), beams=2, length_penalty=2.0, adapter=True)])
    assert [tokens for tokens, _ in answer.beams] == [(*encode("ba"), EOS)] * 2
    assert [total for _, total in answer.beams] == pytest.approx([-0.5 * 3**2] * 2)
    session.generate([Request(prompt_of("ab")), Request(prompt_of("cd"), adapter=True)])
    assert loaded[0].calls[-1]["adapter_names"] == ["__base__", "probe"]
    static = STATIC.open(Setup("fp32"), FOLDERS, where(release))
    static.generate([Request(prompt_of("ab"))])
    assert loaded[-1].calls[-1]["generation_config"].cache_implementation == "static"


def test_a_batch_holds_no_more_than_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = install(monkeypatch, READ[-1])
    session = PLAIN.open(replace(SETUPS[0], slots=2), FOLDERS, where(READ[-1]))
    session.generate([Request(prompt_of("ab" * number)) for number in range(1, 6)])
    assert [len(call["input_ids"]) for call in loaded[0].calls] == [2, 2, 1]
