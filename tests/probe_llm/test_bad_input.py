"""Whole runs on bad input: a damaged model folder, a server that is gone or wrong; and on one that answers."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL  # noqa: E402
from tests.openai_server import OpenAiServer, reference  # noqa: E402

ELSEWHERE = """
from pathlib import Path
from pytest_trtcheck._suites.probe_llm import checkpoint
checkpoint.MODEL = Path({folder!r})
"""


def run(pytester: pytest.Pytester, chosen: str, *options: str) -> dict[str, Any]:
    """Run one check of the batching suite, and return its result."""
    result = pytester.runpytest_subprocess("--trtcheck", "-n0", "-k", chosen, *options)
    assert "INTERNALERROR" not in result.stdout.str()
    report = json.loads((pytester.path / "trtcheck-report" / "report.json").read_text())
    [found] = [one for one in report["results"] if one["name"].endswith(chosen)]
    assert result.ret == (1 if found["outcome"] == "failed" else 10), "nothing of the stack suite was chosen"
    return dict(found)


def test_a_damaged_model_folder_costs_a_check_that_names_the_file(pytester: pytest.Pytester) -> None:
    folder = pytester.path / "probe"
    shutil.copytree(MODEL, folder)
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    pytester.makeconftest(ELSEWHERE.format(folder=str(folder)))
    result = run(pytester, "torch-batch2-fp32")
    assert result["outcome"] == "failed"
    # The folder lies below the home of this run, which reports mask.
    assert f"/{folder.name}: model.safetensors: damaged: SHA-256" in result["message"]
    assert result["message"].endswith("install pytest-trtcheck anew")


def asked(pytester: pytest.Pytester, url: str) -> dict[str, Any]:
    return run(pytester, "openai-batch2-bf16", f"--trtcheck-openai-url={url}", "--trtcheck-level=standard")


def test_a_server_that_answers_as_the_reference_does_passes(pytester: pytest.Pytester) -> None:
    with OpenAiServer(reference()) as server:
        result = asked(pytester, str(server.address))
        assert len(server.asked) > 4
    assert result["outcome"] == "passed", result["message"]


def test_a_server_that_answers_otherwise_fails(pytester: pytest.Pytester) -> None:
    with OpenAiServer() as server:
        assert asked(pytester, str(server.address))["outcome"] == "failed"


def test_a_server_that_is_gone_fails_in_one_line(pytester: pytest.Pytester) -> None:
    with OpenAiServer() as server:
        address = str(server.address)
    result = asked(pytester, address)
    assert result["outcome"] == "failed"
    assert f"{address}/models: no connection:" in result["message"]
    assert result["message"].endswith("is the server up?")
