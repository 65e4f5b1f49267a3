"""``pytest --trtcheck`` with providers of a site's own: each that misbehaves costs one result, the rest goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

CASE = "context-full-dense-8x8-d64-fp16-1"
"""The smallest case of level quick."""

PLUGIN = """
import os, signal, time
from pytest_trtcheck.providers import Refused

class Base:
    def why_not(self, case, where):
        return ""

def sound(case, inputs):
    from pytest_trtcheck._suites.attention.providers.eager import Eager
    return Eager().run(case, inputs)

def provider(called, run, **more):
    return type(called, (Base,), {"name": called, "run": lambda self, case, inputs: run(case, inputs), **more})()

def shape(case, inputs):
    return sound(case, inputs)[..., :-1]

def dtype(case, inputs):
    return sound(case, inputs).float()

def changes(case, inputs):
    out = sound(case, inputs)
    inputs.q.mul_(2)
    return out

def raises(case, inputs):
    raise RuntimeError("the kernel said no\\nand more")

def refuses(case, inputs):
    raise Refused("no kernel for this head size")

def hangs(case, inputs):
    time.sleep(600)

def crashes(case, inputs):
    os.kill(os.getpid(), signal.SIGSEGV)

def why_not_raises(self, case, where):
    raise KeyError("whatever")

def why_not_skips(self, case, where):
    import pytest
    pytest.importorskip("our_kernels")

def why_not_lies(self, case, where):
    return ["no text"]

def leaves(case, inputs):
    inputs.v.zero_()
    raise SystemExit(3)

def leaves_autocast_on(case, inputs):
    import torch
    torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
    torch.set_default_device("meta")
    torch.set_default_dtype(torch.bfloat16)
    raise RuntimeError("left a mess")

def pytest_trtcheck_attention_providers(config):
    return [
        provider("aa_sound", sound), provider("bad_shape", shape), provider("bad_dtype", dtype),
        provider("bad_changes", changes), provider("bad_raises", raises), provider("refuses", refuses),
        provider("bad_hangs", hangs), provider("bad_crashes", crashes), provider("torch_eager", sound),
        provider("mute", sound, why_not=why_not_raises), provider("skips", sound, why_not=why_not_skips),
        provider("lies", sound, why_not=why_not_lies), provider("bad_leaves", leaves),
        provider("bad_mess", leaves_autocast_on), provider("zz_sound", sound), "no provider at all",
    ]
"""
RAISING = "def pytest_trtcheck_attention_providers(config):\n    import a_module_that_is_not_there\n"
LEAVING = "def pytest_trtcheck_attention_providers():\n    raise SystemExit(3)\n"


def run(pytester: pytest.Pytester, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result = pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", "-p", "no:randomly", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return result, report


def attention(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in report["results"] if entry["suite"] == "attention"}


def test_each_misbehaving_provider_costs_one_result_and_the_rest_is_unaffected(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGIN)
    pytester.makepyfile(raising=RAISING, leaving=LEAVING)
    args = ["-p", "raising", "-p", "leaving", "-k", f"{CASE} or test_hook", "--trtcheck-deadline", "12"]
    result, report = run(pytester, *args)
    found = {name: (entry["outcome"], entry["message"]) for name, entry in attention(report).items()}
    of_case = {
        name.removeprefix("TRC-ATT-001-").removesuffix(f"-{CASE}"): told
        for name, told in found.items()
        if name.endswith(f"-{CASE}")
    }
    assert {name for name, (outcome, _) in of_case.items() if outcome == "passed"} >= {
        "aa_sound", "torch_eager", "torch_math", "zz_sound",
    }  # fmt: skip
    assert of_case["bad_shape"] == (
        "failed",
        "the provider's answer has the wrong shape: expected (1, 1, 8, 64), found (1, 1, 8, 63)",
    )
    assert of_case["bad_dtype"][1].endswith("expected torch.float16, found torch.float32")
    assert of_case["bad_changes"][0] == "failed"
    assert "found q" in of_case["bad_changes"][1]
    assert of_case["bad_leaves"][0] == "failed"
    assert of_case["bad_leaves"][1].startswith("SystemExit: 3; the provider changed its inputs")
    assert of_case["bad_mess"] == ("failed", "RuntimeError: left a mess")
    assert of_case["bad_raises"] == ("failed", "RuntimeError: the kernel said no")
    assert of_case["refuses"] == ("not_run", "no kernel for this head size")
    assert of_case["bad_hangs"][0] == "error"
    assert of_case["bad_hangs"][1].startswith("hang: still running at its deadline of 12 s")
    assert of_case["bad_crashes"][0] == "error"
    assert of_case["bad_crashes"][1].startswith("crash: SIGSEGV")
    hooks = {
        message for name, (outcome, message) in found.items() if name.startswith("TRC-ATT-005") and outcome == "failed"
    }
    assert hooks == {
        "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
        "SystemExit: 3",
        "provider torch_eager is there already",
        "expected a provider with a name that is an identifier, found None",
        "asked what it can do: KeyError: 'whatever'",
        "asked what it can do: Skipped: could not import 'our_kernels': No module named 'our_kernels'",
        "asked what it can do: TypeError: expected a text from why_not, found list",
    }
    assert report["verdict"] == "rejected"
    assert result.ret == 1


def test_a_seed_repeats_a_run_and_without_one_every_run_draws_anew(pytester: pytest.Pytester) -> None:
    name = "context-causal-dense-8x2-d256-fp16-scale0.2-256.256"
    args = ["-n0", "-k", f"torch_math and {name}"]
    reports = [run(pytester, *args, *more)[1] for more in ([], ["--trtcheck-seed", "77"], ["--trtcheck-seed", "77"])]
    anew, once, again = (attention(report)[f"TRC-ATT-001-torch_math-{name}"]["comparison"] for report in reports)
    assert once == again
    assert anew != once
    assert [report["seed"] for report in reports[1:]] == [77, 77]
    assert reports[0]["seed"] != 77


def test_all_providers_of_a_case_run_on_the_worker_that_has_its_reference(pytester: pytest.Pytester) -> None:
    _, report = run(pytester, "-n2", "-k", "tiny or 1.2.17 or 7.7.7")
    workers: dict[str, set[str]] = {}
    for entry in report["results"]:
        if entry["suite"] == "attention" and entry["worker"]:
            workers.setdefault(entry["name"].split("-", 4)[4], set()).add(entry["worker"])
    assert len(workers) > 5
    assert {len(found) for found in workers.values()} == {1}
    assert len(set.union(*workers.values())) == 2, "cases are spread over the workers"


def test_upstreams_grid_runs_from_level_standard_on_and_is_left_out_by_name_below(pytester: pytest.Pytester) -> None:
    name = "bert_attention_04_fp16_b1_s64_h16_d64_fmha_disabled"
    _, quick = run(pytester, "-n0", "-k", name)
    entry = attention(quick)[f"TRC-ATT-004-{name}"]
    assert (entry["outcome"], entry["reason"], entry["message"]) == ("not_run", "level", "runs from level standard on")
    _, standard = run(pytester, "-n0", "-k", name, "--trtcheck-level", "standard")
    assert attention(standard)[f"TRC-ATT-004-{name}"]["outcome"] == "passed"


def test_the_report_tells_what_was_left_out_and_what_each_provider_can(pytester: pytest.Pytester) -> None:
    result, report = run(pytester, "-n0", "-k", f"{CASE} or stack")
    cells = {(cell["provider"], cell["feature"]): cell for cell in report["support"]}
    assert cells["torch_eager", "dense"]["state"] == "works"
    assert cells["torch_flash", "soft_cap"]["state"] == "not supported here"
    assert cells["torch_flash", "soft_cap"]["words"] == "SDPA has no soft cap"
    flex = cells["torch_flex", "soft_cap"]
    assert (flex["state"], flex["passed"]) == ("not supported here", 0)
    assert flex["words"].startswith("needs a GPU")
    assert "by the matrix the library can (row attention/torch_flex" in flex["words"]
    assert any(line.startswith("attention: ") and "combinations" in line for line in report["not_looked_at"])
    result.stdout.fnmatch_lines(["*attention, by provider*"])


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "99999999999"])
def test_a_seed_that_is_none_is_refused(pytester: pytest.Pytester, text: str) -> None:
    result = pytester.runpytest_subprocess("--trtcheck", f"--trtcheck-seed={text}")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*--trtcheck-seed: expected a whole number from 0 to 2147483647*"])


def test_at_level_static_no_kernel_is_planned(pytester: pytest.Pytester) -> None:
    _, report = run(pytester, "--trtcheck-level", "static")
    assert attention(report) == {}
    assert report["seed"] is None


def test_a_torch_that_does_not_import_is_told_once(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pytester.mkdir("shadow")
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text("raise ImportError('libcudnn.so.9: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    _, report = run(pytester, "-k", f"{CASE} or stack")
    found = attention(report)
    chosen = [entry for entry in found.values() if entry["reason"] != "filtered"]
    assert {entry["reason"] for entry in chosen} == {"missing_component"}
    assert all("TRC-IMP-001-torch" in entry["message"] for entry in chosen)
    assert report["verdict"] == "rejected"


REFUSING = """
from pytest_trtcheck.providers import Refused

class Refusing:
    component = "torch"
    name = "ours"

    def why_not(self, case, where):
        return ""

    def run(self, case, inputs):
        raise Refused("no kernel today")

def pytest_trtcheck_attention_providers():
    return [Refusing()]
"""


def test_a_refusal_fails_where_the_matrix_says_that_it_should_work(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(REFUSING)
    cells = {
        "provider": "ours", "component": "torch", "device": "cpu", "since": "2.0.0", "until": "99.0.0",
        "dtypes": ["fp16"], "head_sizes": ["64"], "works": ["context", "full", "dense", "mha"],
    }  # fmt: skip
    sourced = {
        name: {"value": value, "source": "our kernel's README", "confidence": "stated"} for name, value in cells.items()
    }
    row = {"id": "attention/ours since 2.0", "date": "2026-11-20", "cells": sourced}
    folder = pytester.mkdir("rows")
    (folder / "ours.json").write_text(json.dumps({"schema_version": 1, "title": "Ours", "add": [row]}))
    other = "context-full-dense-8x1-d64-fp16-nan-65.65"
    _, report = run(pytester, "-n0", "-k", f"ours and ({CASE} or {other})", f"--trtcheck-matrix={folder}")
    found = {name.partition("ours-")[2]: entry for name, entry in attention(report).items() if "-ours-" in name}
    assert found[CASE]["outcome"] == "failed"
    assert found[CASE]["message"].startswith("refused (no kernel today), and should work: ")
    assert "our kernel's README" in found[CASE]["message"]
    # Of MQA the row says nothing.
    assert (found[other]["outcome"], found[other]["reason"]) == ("not_run", "refused")


HANGING = """
import time

def pytest_trtcheck_attention_providers():
    time.sleep(1000)
"""
ONCE = """
from pytest_trtcheck._suites.attention.providers.eager import Eager

class Ours(Eager):
    name = "ours"

ITERATOR = iter([Ours()])

def pytest_trtcheck_attention_providers():
    return list(ITERATOR)
"""


def test_a_hook_that_hangs_costs_its_providers_only(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeconftest(
        f"import pytest_trtcheck._suites.support.registry as registry\nregistry.ASKING_SECONDS = 1.0\n{HANGING}"
    )
    _, report = run(pytester, "-n0", "-k", f"test_hook or (torch_math and {CASE})")
    found = attention(report)
    assert found[f"TRC-ATT-001-torch_math-{CASE}"]["outcome"] == "passed"
    assert found["TRC-ATT-005-conftest.py"]["message"] == "no answer within 1 s"


def test_every_hook_is_called_once(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(ONCE)
    _, report = run(pytester, "-n0", "-k", f"ours and {CASE}")
    assert attention(report)[f"TRC-ATT-001-ours-{CASE}"]["outcome"] == "passed"
