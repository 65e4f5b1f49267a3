"""A user's model repository: sound ones pass, and each mistake is named with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_trtcheck._suites.serving.llm_repository import llm_models
from pytest_trtcheck._suites.serving.repository import files_of, main_models
from pytest_trtcheck._suites.serving.starting import write_files

pytestmark = pytest.mark.serving

PYTHON = frozenset({"python"})


def faults_of(repository: Path, gpu_count: int = 0, backends: frozenset[str] | None = PYTHON) -> dict[str, list[str]]:
    from pytest_trtcheck._suites.serving.user_repository import ConfigError, faults, model_folders, read_model

    models, unread = {}, {}
    for folder in model_folders(repository):
        try:
            models[folder.name] = read_model(folder)
        except ConfigError as error:  # noqa: PERF203
            unread[folder.name] = [str(error)]
    return {name: list(faults(model, models, gpu_count, backends)) for name, model in models.items()} | unread


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_files(tmp_path, files_of(llm_models("0.19.0", decoupled=True)))
    return tmp_path


def change(repository: Path, model: str, old: str, new: str) -> list[str]:
    path = repository / model / "config.pbtxt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return faults_of(repository)[model]


def test_sound_repositories_have_no_fault(tmp_path: Path) -> None:
    for release in ("0.5.0", "0.12.0", "0.19.0"):
        write_files(tmp_path / release, files_of(llm_models(release, decoupled=True)))
        assert not any(faults_of(tmp_path / release).values()), faults_of(tmp_path / release)
    write_files(tmp_path / "main", files_of(main_models()))
    assert not any(faults_of(tmp_path / "main").values())


@pytest.mark.parametrize(
    ("model", "old", "new", "words"),
    [
        ("ensemble", 'value: "_output_ids"', 'value: "_other"', "nobody makes tensor '_output_ids'"),
        ("ensemble", 'key: "OUTPUT"', 'key: "TEXT"', "it has no output 'TEXT'; it has OUTPUT"),
        ("ensemble", 'model_name: "postprocessing"', 'model_name: "gone"', "there is no such model in the repository"),
        ("ensemble", '    input_map { key: "QUERY" value: "text_input" }\n', "", "its required input 'QUERY' is not"),
        ("ensemble", 'name: "max_tokens" data_type: TYPE_INT32', 'name: "max_tokens" data_type: TYPE_UINT32',
         "expected TYPE_INT32, the ensemble's input gives TYPE_UINT32"),
        ("ensemble", 'name: "text_output" data_type: TYPE_STRING dims: [ -1 ]',
         'name: "text_output" data_type: TYPE_STRING dims: [ -1, -1 ]',
         "expected dims [-1, -1], postprocessing gives [-1]"),
        ("ensemble", "max_batch_size: 4", "max_batch_size: 4 model_transaction_policy { decoupled: true }",
         "decoupled by its steps"),
        ("tensorrt_llm", 'name: "tensorrt_llm"', 'name: "llm"', "expected 'tensorrt_llm', the folder's, found 'llm'"),
        ("tensorrt_llm", 'backend: "python"', 'backend: "tensorrtllm"', "the server here has python"),
        ("tensorrt_llm", 'backend: "python"', "", "neither backend nor platform"),
        ("tensorrt_llm", "KIND_CPU count: 1", "KIND_GPU count: 1 gpus: [ 1 ]", "GPU 1 is asked for; there are 0 here"),
        ("tensorrt_llm", "KIND_CPU count: 1", "KIND_GPU count: 1", "there is no GPU here"),
        ("preprocessing", "tokenizer_dir", "tokenizer", "parameter tokenizer_dir: expected a value, found ''"),
        ("tensorrt_llm_bls", 'string_value: "tensorrt_llm"', 'string_value: "other"', "there is no model 'other'"),
    ],
)  # fmt: skip
def test_each_mistake_is_named(repository: Path, model: str, old: str, new: str, words: str) -> None:
    found = change(repository, model, old, new)
    assert any(words in fault for fault in found), found


def test_decoupled_must_agree_between_a_model_and_the_one_that_calls_it(repository: Path) -> None:
    change(repository, "tensorrt_llm", "decoupled: true", "decoupled: false")
    assert any("false in tensorrt_llm" in fault for fault in faults_of(repository)["tensorrt_llm_bls"])


def test_engines_and_model_files_must_be_there(repository: Path, tmp_path: Path) -> None:
    (repository / "postprocessing" / "1" / "model.py").unlink()
    assert any("expected model.py in it" in fault for fault in faults_of(repository)["postprocessing"])
    (repository / "postprocessing" / "1").rmdir()
    assert any("no version" in fault for fault in faults_of(repository)["postprocessing"])
    path = repository / "tensorrt_llm" / "config.pbtxt"
    path.write_text(path.read_text().replace('backend: "python"', 'backend: "tensorrtllm"'))
    found = faults_of(repository, backends=None)["tensorrt_llm"]
    assert any("no *.engine in" in fault for fault in found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'name: "x"\nmax_batch_size: ${triton_max_batch_size}\n', "config.pbtxt:2:"),
        (b'name: "x"\nmax_batch_size: ${triton_max_batch_size}\n', "fill in the template first"),
        (b'name: "x"\nno_such_field: 3\n', "no field named"),
        (b'name: "x\n', "config.pbtxt:1:"),
        (b"\xff\xfe\x00", "byte 0 is no UTF-8"),
        (b"input {" * 100_000, "config.pbtxt"),
        (b"x" * (5 << 20), "more than 4194304 bytes"),
    ],
)
def test_a_configuration_that_is_none_is_told_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.pbtxt").write_bytes(content)
    (fault,) = faults_of(tmp_path)["m"]
    assert words in fault
    assert len(fault.splitlines()) == 1


def test_a_model_without_a_configuration_is_told(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert "does not exist" in faults_of(tmp_path)["m"][0]
