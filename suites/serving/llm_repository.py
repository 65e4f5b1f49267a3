"""The model repository of the TensorRT-LLM backend around the probe model, as each release lays it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.serving.backend_releases import Layout, layout
from pytest_trtcheck._suites.serving.pbtxt import CPU_INSTANCE, Port, model_config, quoted
from pytest_trtcheck._suites.serving.repository import MODELS, Model

MOST_IN_BATCH = 4

TO_PREPROCESSING = {
    "text_input": "QUERY",
    "max_tokens": "REQUEST_OUTPUT_LEN",
    "bad_words": "BAD_WORDS_DICT",
    "stop_words": "STOP_WORDS_DICT",
    "end_id": "END_ID",
    "pad_id": "PAD_ID",
}
"""Inputs of the ensemble that the preprocessing takes, by its names."""
FROM_PREPROCESSING = {
    "INPUT_ID": "input_ids",
    "REQUEST_INPUT_LEN": "input_lengths",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "BAD_WORDS_IDS": "bad_words_list",
    "STOP_WORDS_IDS": "stop_words_list",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
}
"""Its outputs, by the names that the model has for them."""
RENAMED = {"top_k": "runtime_top_k", "top_p": "runtime_top_p", "length_penalty": "len_penalty", "stream": "streaming"}
"""Inputs of the ensemble that the model calls otherwise."""
WORD_LIST = (2, -1)


def llm_models(release: str, *, decoupled: bool) -> list[Model]:
    """Return preprocessing, the probe model, postprocessing and the ensemble, and BLS where a release has it."""
    model, ensemble = layout("tensorrt_llm", release), layout("ensemble", release)
    found = [
        _preprocessing(release, model, ensemble),
        _middle(model, decoupled),
        _postprocessing(release, model, ensemble),
        _ensemble(model, ensemble),
    ]
    bls = layout("tensorrt_llm_bls", release)
    if bls.parameters:
        found.append(_bls(bls, ensemble, decoupled))
    return found


def parameters_of(wanted: Iterable[str]) -> dict[str, str]:
    """Return a value for each parameter of a release; what is not set stays as the template leaves it."""
    values = {
        "tokenizer_dir": str(MODEL),
        "gpt_model_path": str(MODEL),
        "gpt_model_type": "inflight_fused_batching",
        "tokenizer_type": "auto",
        "add_special_tokens": "True",
        "skip_special_tokens": "True",
        "exclude_input_in_output": "True",
        "accumulate_tokens": "False",
        "tensorrt_llm_model_name": "tensorrt_llm",
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    }
    return {name: values.get(name, f"${{{name}}}") for name in sorted(wanted)}


def _preprocessing(release: str, model: Layout, ensemble: Layout) -> Model:
    given = [
        Port(new, ensemble.inputs[old].datatype, ensemble.inputs[old].dims, ensemble.inputs[old].optional)
        for old, new in TO_PREPROCESSING.items()
    ]
    made = [Port(name, model.inputs[new].datatype, model.inputs[new].dims) for name, new in _made(model).items()]
    parameters = parameters_of(layout("preprocessing", release).parameters)
    return _python("preprocessing", given, made, parameters)


def _made(model: Layout) -> dict[str, str]:
    """Return those outputs of the preprocessing that the model of a release takes."""
    return {name: new for name, new in FROM_PREPROCESSING.items() if new in model.inputs}


def _middle(model: Layout, decoupled: bool) -> Model:
    config = model_config(
        "tensorrt_llm",
        max_batch_size=MOST_IN_BATCH,
        inputs=tuple(model.inputs.values()),
        outputs=tuple(model.outputs.values()),
        parameters=parameters_of(model.parameters),
        decoupled=decoupled,
    )
    return Model("tensorrt_llm", config, MODELS / "tensorrt_llm.py")


def _postprocessing(release: str, model: Layout, ensemble: Layout) -> Model:
    given = [Port("TOKENS_BATCH", "INT32", (-1, -1))]
    if "sequence_length" in model.outputs:
        given.append(Port("SEQUENCE_LENGTH", "INT32", (-1,)))
    text = ensemble.outputs["text_output"]
    parameters = parameters_of(layout("postprocessing", release).parameters)
    return _python("postprocessing", given, [Port("OUTPUT", text.datatype, text.dims)], parameters)


def _python(name: str, inputs: Sequence[Port], outputs: Sequence[Port], parameters: Mapping[str, str]) -> Model:
    config = model_config(name, max_batch_size=MOST_IN_BATCH, inputs=inputs, outputs=outputs, parameters=parameters)
    return Model(name, config, MODELS / f"{name}.py")


def _ensemble(model: Layout, ensemble: Layout) -> Model:
    """Connect the steps; tensors between them have a name that begins with an underscore."""
    passed = {RENAMED.get(name, name): name for name in ensemble.inputs if name not in TO_PREPROCESSING}
    passed = {new: old for new, old in passed.items() if new in model.inputs}
    made = _made(model)
    after = {"TOKENS_BATCH": "_output_ids"}
    results = {name: name for name in model.outputs if name in ensemble.outputs}
    if "sequence_length" in model.outputs:
        after["SEQUENCE_LENGTH"] = "_sequence_length"
        results["sequence_length"] = "_sequence_length"
    steps = [
        _step(
            "preprocessing",
            {new: old for old, new in TO_PREPROCESSING.items()},
            {name: f"_{new}" for name, new in made.items()},
        ),
        _step(
            "tensorrt_llm",
            {**{new: f"_{new}" for new in made.values()}, **passed},
            {"output_ids": "_output_ids", **results},
        ),
        _step("postprocessing", after, {"OUTPUT": "text_output"}),
    ]
    used = {*TO_PREPROCESSING, *passed.values()}
    config = model_config(
        "ensemble",
        backend="ensemble",
        max_batch_size=MOST_IN_BATCH,
        inputs=[port for name, port in ensemble.inputs.items() if name in used],
        outputs=[port for name, port in ensemble.outputs.items() if name in {"text_output", *results.values()}],
        more=["ensemble_scheduling { step [", ",\n".join(steps), "] }"],
    )
    return Model("ensemble", config, None)


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    lines = [f"  {{ model_name: {quoted(model)} model_version: -1"]
    for title, names in (("input_map", inputs), ("output_map", outputs)):
        lines += [f"    {title} {{ key: {quoted(key)} value: {quoted(value)} }}" for key, value in names.items()]
    return "\n".join([*lines, "  }"])


def _bls(bls: Layout, ensemble: Layout, decoupled: bool) -> Model:
    config = model_config(
        "tensorrt_llm_bls",
        max_batch_size=MOST_IN_BATCH,
        inputs=tuple(ensemble.inputs.values()),
        outputs=[ensemble.outputs["text_output"]],
        parameters=parameters_of(bls.parameters),
        decoupled=decoupled,
        more=[CPU_INSTANCE],
    )
    return Model("tensorrt_llm_bls", config, MODELS / "tensorrt_llm_bls.py")
