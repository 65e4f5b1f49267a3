"""``pytest --trtcheck`` with backends of a site's own: what is broken fails, with the layer's name where it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.torch

PLUGIN = """
from pytest_trtcheck.providers import Refused
from pytest_trtcheck.providers.llm import lacking

ABILITIES = frozenset({"fp32", "int8_weight_only", "log_probs"})

class Broken:
    name = "site_broken"

    def why_not(self, case, where):
        return lacking(case, ABILITIES)

    def open(self, setup, model, where):
        from pytest_trtcheck._suites.quantization.fake import Quantizer
        from pytest_trtcheck._suites.quantization.session import QuantizedSession

        class Rolled(Quantizer):
            def weights(self, name, weight):
                found = super().weights(name, weight)
                return found.roll(1, 1) if name == "model.layers.2.mlp.up_proj" else found

        return type("Session", (QuantizedSession,), {"quantizer_class": Rolled})(setup, model, where.device)

class Refusing(Broken):
    name = "site_refusing"

    def open(self, setup, model, where):
        raise Refused("no kernel for this GPU")

class Raising(Broken):
    name = "site_raising"

    def open(self, setup, model, where):
        raise RuntimeError("no engine\\nand more")

class Mute(Broken):
    name = "site_mute"

    def why_not(self, case, where):
        raise KeyError("whatever")

def pytest_trtcheck_llm_backends(config):
    return [Broken(), Refusing(), Raising(), Mute()]
"""


def run(pytester: pytest.Pytester, *args: str) -> tuple[pytest.RunResult, dict[str, Any]]:
    result = pytester.runpytest_subprocess("--trtcheck", "-p", "no:cacheprovider", "-p", "no:randomly", "-n0", *args)
    report: dict[str, Any] = json.loads(Path(pytester.path, "trtcheck-report", "report.json").read_text())
    return result, report


def test_backends_of_a_site_are_judged_each_by_itself(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(PLUGIN)
    _, report = run(pytester, "-k", "quantization and (site or hook)")
    found = {entry["name"]: entry for entry in report["results"] if entry["suite"] == "quantization"}
    layers = found["TRC-QNT-004-site_broken-fp32-int8_weight_only-layers"]
    assert layers["outcome"] == "failed"
    assert layers["message"].startswith(
        "1 of 43 layers are not quantized as they should be: model.layers.2.mlp.up_proj is off by "
    )
    golden = found["TRC-QNT-003-site_broken-fp32-int8_weight_only-golden"]
    assert golden["outcome"] == "failed"
    assert "model.layers.2.mlp.up_proj" in golden["message"]
    assert {one["name"] for one in golden["measurements"]} >= {"kl_divergence", "kl_divergence_allowed", "noise"}
    refused = found["TRC-QNT-001-site_refusing-fp32-int8_weight_only-easy"]
    assert (refused["outcome"], refused["reason"]) == ("not_run", "refused")
    assert refused["message"] == "no kernel for this GPU"
    raised = found["TRC-QNT-002-site_raising-fp32-int8_weight_only-hard"]
    assert (raised["outcome"], raised["message"]) == ("failed", "RuntimeError: no engine")
    mute = found["TRC-QNT-005-site_mute"]
    assert mute["message"] == "asked what it can do: KeyError: 'whatever'"
    assert report["verdict"] == "rejected"
    cells = {(cell["provider"], cell["feature"]): cell["words"] for cell in report["support"]}
    assert cells["site_broken", "fp8"] == "no fp8"
    assert any(
        line.startswith("quantization: level quick leaves out int8_smooth_quant") for line in report["not_looked_at"]
    )


def test_the_built_in_backend_passes_at_level_quick(pytester: pytest.Pytester) -> None:
    _, report = run(pytester, "-k", "quantization and torch-fp32-int8_weight_only")
    found = {
        entry["name"]: (entry["outcome"], entry["message"])
        for entry in report["results"]
        if entry["suite"] == "quantization" and entry["reason"] != "filtered"
    }
    assert {outcome for outcome, _ in found.values()} == {"passed"}
    assert {name.rpartition("-")[2] for name in found} == {"easy", "hard", "golden", "layers"}


def test_at_level_static_nothing_is_planned(pytester: pytest.Pytester) -> None:
    _, report = run(pytester, "--trtcheck-level", "static")
    assert [entry for entry in report["results"] if entry["suite"] == "quantization"] == []
