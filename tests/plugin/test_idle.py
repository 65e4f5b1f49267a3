"""Without ``--trtcheck`` the plugin does nothing at all; shown in a child interpreter with an audit hook."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

AUDIT = """
import json, sys, os
events = []
armed = False
WATCHED = ("subprocess.Popen", "os.posix_spawn", "os.fork", "ctypes.dlopen", "socket.connect", "os.mkdir")
def hook(event, args):
    if armed and event in WATCHED:
        events.append([event, repr(args)[:200]])
sys.addaudithook(hook)
import pytest
armed = True
status = pytest.main(sys.argv[2:])
armed = False
own = sorted(name for name in sys.modules if name.partition(".")[0] == "pytest_trtcheck")
heavy = sorted({name.partition(".")[0] for name in sys.modules} & {
    "torch", "tensorrt", "tensorrt_llm", "pynvml", "numpy", "elftools", "junitparser", "packaging", "yaml"})
open(sys.argv[1], "w").write(json.dumps({"status": int(status), "events": events, "own": own, "heavy": heavy}))
"""


def run_idle(pytester: pytest.Pytester, *args: str, plugin: bool = True) -> dict[str, Any]:
    script = pytester.path / "audit_script.py"
    script.write_text(AUDIT)
    out = pytester.path / "audit.json"
    off = [] if plugin else ["-p", "no:trtcheck"]
    result = pytester.run(sys.executable, str(script), str(out), "-p", "no:cacheprovider", *off, *args)
    data: dict[str, Any] = json.loads(out.read_text())
    data["stdout"] = result.stdout.str()
    out.unlink()
    return data


@pytest.fixture
def one_test(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    # Measuring coverage of child interpreters opens files of its own.
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makepyfile("def test_nothing(): pass")
    return pytester


@pytest.mark.parametrize(
    "args", [(), ("--help",), ("--collect-only",), ("--markers",)], ids=["run", "help", "collect", "markers"]
)
def test_idle_plugin_starts_loads_and_writes_nothing(one_test: pytest.Pytester, args: tuple[str, ...]) -> None:
    before = set(one_test.path.rglob("*"))
    without = run_idle(one_test, *args, plugin=False)
    data = run_idle(one_test, *args)
    assert data["status"] == 0
    assert data["events"] == without["events"] == []
    assert data["own"] == ["pytest_trtcheck", "pytest_trtcheck.hookspec", "pytest_trtcheck.plugin"]
    assert data["heavy"] == without["heavy"]
    # The script of this test, and the files that pytester keeps of its child.
    ours = {"audit_script.py", "stdout", "stderr"}
    assert {path.name for path in set(one_test.path.rglob("*")) - before} - ours == set()


def test_idle_plugin_says_nothing(one_test: pytest.Pytester) -> None:
    header = [line for line in run_idle(one_test)["stdout"].splitlines() if not line.startswith("plugins:")]
    assert "trtcheck" not in "\n".join(header)


def test_the_audit_would_see_a_child_process(one_test: pytest.Pytester) -> None:
    one_test.makepyfile("import subprocess, sys\ndef test_child(): subprocess.run([sys.executable, '-c', ''])")
    assert "subprocess.Popen" in {event for event, _ in run_idle(one_test)["events"]}
