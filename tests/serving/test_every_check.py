"""One whole run on the real server; in a file of its own, so that another worker runs the other tests beside it."""

from __future__ import annotations

import pytest

from pytest_trtcheck._suites.serving.checks import owned_checks
from tests.serving.test_suite import orphans, run, serving

pytestmark = [pytest.mark.serving, pytest.mark.slow]


@pytest.mark.torch
def test_the_real_server_passes_every_check(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pytester.mkdir("tmp")
    before = orphans(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    _, report = run(pytester, "-k", "serving")
    found = serving(report)
    assert len(found) == len(owned_checks())
    wrong = {
        name: (entry["outcome"], entry["message"]) for name, entry in found.items() if entry["outcome"] != "passed"
    }
    expected = {f"{check.check_id}-{check.name}" for check in owned_checks() if check.level != "quick"}
    assert set(wrong) == expected, wrong
    figures = {entry["name"] for entry in found["TRC-SRV-001-start"]["measurements"]}
    assert figures == {"live", "ready", "first_answer", "steady_answer"}
    assert found["TRC-SRV-002-metadata"]["message"] == "tritonserver 2.51.0, backends python"
    assert "backend python: API 1.19" in found["TRC-SRV-016-killed"]["message"]
    deep = found["TRC-SRV-014-deep-json"]["message"]
    assert "known of tritonserver: one request of deeply nested JSON ends the server" in deep
    assert "tritonserver ended: SIGSEGV; last lines of its log: " in deep
    assert not orphans(folder) - before
