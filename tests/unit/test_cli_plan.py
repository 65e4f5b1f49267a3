"""The command ``plan``: output, exit status and wrong usage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_trtcheck.cli import main

BROKEN = "name: broken\ngpu: NVIDIA H100\ndriver: 580.65.06\ntensorrt_llm: 0.20.0\ntensorrt: 10.5.0.18\n"
TOO_OLD = "name: old\ngpu: NVIDIA H100\ndriver: 535.104.05\ntensorrt_llm: 1.2.1\n"


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_text_lists_sets_with_changes_commands_and_rows(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file(BROKEN), "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("broken: incompatible; ")
    assert lines[1].startswith("1. TensorRT-LLM 0.20.0 from its wheel (1 change, ")
    assert "   TensorRT: 10.5.0.18 -> 10.10.0.31" in lines
    assert "   do: pip install tensorrt==10.10.0.31" in lines
    assert "   rows: tensorrt_llm/0.20.0" in lines


def test_json_is_one_list_with_a_plan_for_each_stack(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file(f"{BROKEN}---\n{TOO_OLD}"), "--format", "json", "--want", "tensorrt_llm==1.2.1"]) == 10
    first, second = json.loads(capsys.readouterr().out)
    assert first["stack"] == "broken"
    assert first["proposals"][0]["rows"] == ["tensorrt_llm/1.2.1"]
    assert first["reasons"] == []
    assert second["proposals"] == []
    assert second["reasons"][0].startswith("with --keep gpu ")


def test_freeing_the_driver_makes_it_fit(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file(TOO_OLD), "--want", "tensorrt_llm==1.2.1"]) == 10
    assert "nothing fits:" in capsys.readouterr().out
    assert main(["plan", file(TOO_OLD), "--want", "tensorrt_llm==1.2.1", "--keep", "gpu"]) == 0
    assert "do: update the driver on the host to 580.65.06 or newer" in capsys.readouterr().out


def test_live_plans_for_this_machine(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from pytest_trtcheck.model.facts import Fact, Stack, State
    from pytest_trtcheck.probe import host

    facts = {
        "driver": Fact("driver", State.FOUND, "580.65.06"),
        "gpu": Fact("gpu", State.FOUND, "NVIDIA H100 80GB HBM3", details={"condition": "ok"}),
        "kernel": Fact("kernel", State.FOUND, "6.8"),
        "cudnn": Fact("cudnn", State.ABSENT, reason="not there"),
    }
    monkeypatch.setattr(host, "probe_host", lambda level: Stack("host", "this machine", facts))
    assert main(["plan", "--live", "--limit", "1", "--format", "json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["stack"] == "this machine"
    assert plan["proposals"][0]["commands"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "expected either a FILE or --live"),
        (["plan", "a.yaml", "--live"], "expected either a FILE or --live"),
        (["plan", "--live", "--keep", "drvier"], "--keep: expected keys of the stack vocabulary, found 'drvier'"),
        (["plan", "--live", "--want", "x==1"], "--want: expected one of"),
        (["plan", "--live", "--limit", "0"], "expected a number from 1 to 100, found '0'"),
        (["plan", "absent.yaml"], "absent.yaml: expected a file that can be read"),
    ],
)
def test_wrong_usage_is_one_line_with_status_4(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 4
    assert words in capsys.readouterr().err


def test_a_stack_that_cannot_be_read_costs_no_other_plan(file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", file(f"{BROKEN}---\ndrvier: 1\n"), "--format", "json"]) == 4
    out, err = capsys.readouterr()
    assert [plan["stack"] for plan in json.loads(out)] == ["broken"]
    assert "did you mean driver?" in err
