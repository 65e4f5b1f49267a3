"""The TensorRT-LLM backend's releases: which layout each has, and that the server's own definitions take it."""

from __future__ import annotations

import pytest

from pytest_trtcheck._suites.serving.backend_releases import layout, models, release_for, releases
from pytest_trtcheck._suites.serving.llm_repository import llm_models


def test_a_release_has_what_came_up_to_it_and_was_not_dropped() -> None:
    assert "tensorrt_llm_bls" not in models("0.6.0")
    assert "tensorrt_llm_bls" in models("0.7.0")
    assert "worker_path" in layout("tensorrt_llm", "0.9.0").parameters
    assert "worker_path" not in layout("tensorrt_llm", "0.10.0").parameters
    assert layout("ensemble", "0.6.0").inputs["max_tokens"].datatype == "UINT32"
    assert layout("ensemble", "0.7.0").inputs["max_tokens"].datatype == "INT32"
    assert not layout("ensemble", "0.5.0").inputs["bad_words"].optional
    assert layout("ensemble", "0.6.0").inputs["bad_words"].optional


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("0.18.2", "0.17.0"),
        ("0.9.0", "0.9.0"),
        ("1.2.0rc5", "0.19.0"),
        (None, "0.19.0"),
        ("0.1", "0.5.0"),
        ("x", "0.19.0"),
    ],
)
def test_a_version_is_served_by_the_newest_release_that_is_not_newer(version: str | None, release: str) -> None:
    assert release_for(version) == release


@pytest.mark.serving
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("release", releases())
def test_every_release_is_laid_out_as_the_servers_definitions_say(release: str, decoupled: bool) -> None:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    found = {
        model.name: text_format.Parse(model.config, model_config_pb2.ModelConfig())
        for model in llm_models(release, decoupled=decoupled)
    }
    assert set(found) == set(models(release))
    assert {entry.name for entry in found["tensorrt_llm"].input} == set(layout("tensorrt_llm", release).inputs)
    assert set(found["tensorrt_llm"].parameters) == layout("tensorrt_llm", release).parameters
    assert found["tensorrt_llm"].model_transaction_policy.decoupled is decoupled
    made: set[str] = {entry.name for entry in found["ensemble"].input}
    for step in found["ensemble"].ensemble_scheduling.step:
        assert set(step.input_map.values()) <= made, f"{step.model_name} takes what nobody made"
        required = {entry.name for entry in found[step.model_name].input if not entry.optional}
        assert required <= set(step.input_map)
        made |= set(step.output_map.values())
    assert {entry.name for entry in found["ensemble"].output} <= made
