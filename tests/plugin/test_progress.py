"""Long work shows itself, on a real terminal (a pseudo terminal, read by an emulator) and in a log."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections import Counter
from collections.abc import Callable

import pyte
import pytest

from tests.plugin.conftest import Trtcheck
from tests.plugin.test_selection import SOUND

COLUMNS, LINES = 100, 12
CHECKS = """
import time, pytest

@pytest.mark.parametrize("number", range(8))
def test_slow(number):
    print("captured output of", number)
    time.sleep(0.2)

def test_fails():
    assert 0
"""
FAST = """
import pytest_trtcheck.session.progress as progress
progress.LIVE_SECONDS, progress.LIVE_AFTER_SECONDS, progress.PLAIN_SECONDS = 0.05, 0.1, 0.5
"""
DEADLINE_SECONDS = 90
LEVEL = "--trtcheck-level=static"


class Terminal:
    """What a person sees of a run: its screen after each piece of output, and all lines that scrolled by."""

    def __init__(self, env: dict[str, str]) -> None:
        self.screen = pyte.HistoryScreen(COLUMNS, LINES, history=5000)
        self.stream = pyte.ByteStream(self.screen)
        self.seen: list[str] = []
        self.env = env

    def run(self, command: list[str], folder: str, on_line: Callable[[str, int], None] = lambda line, pid: None) -> int:
        """Run a command on the terminal; return its exit status."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=self.env, start_new_session=True
        )
        os.close(theirs)
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end:
            ready, _, _ = select.select([ours], [], [], 1)
            try:
                data = os.read(ours, 65536) if ready else b""
            except OSError:
                break
            self.stream.feed(data)
            if select.select([ours], [], [], 0)[0]:
                # A line may have come in two parts.
                continue
            for line in self.screen.display:
                if line.startswith("trtcheck ") and line not in self.seen:
                    self.seen.append(line)
                    on_line(line, process.pid)
        os.close(ours)
        return process.wait(timeout=10)

    @property
    def text(self) -> list[str]:
        """All lines of the run, those that scrolled by first."""
        history = ["".join(row[x].data for x in range(COLUMNS)).rstrip() for row in self.screen.history.top]
        return [*history, *(line.rstrip() for line in self.screen.display)]


@pytest.fixture
def terminal(trtcheck: Trtcheck, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    trtcheck.judge(SOUND)
    conftest = trtcheck.pytester.path / "conftest.py"
    conftest.write_text(conftest.read_text() + FAST)
    trtcheck.pytester.makepyfile(test_slow=CHECKS)
    for name in ("CI", "NO_COLOR", "PY_COLORS", "COLUMNS", "LINES", "GITHUB_ACTIONS", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal(dict(os.environ))


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "--trtcheck", "-p", "no:cacheprovider", LEVEL, "test_slow.py", *options]


def marks(lines: list[str]) -> Counter[str]:
    """Count the marks that pytest left of checks, whatever stands beside them."""
    last = next(number for number, line in enumerate(lines) if " FAILURES " in line)
    found = re.findall(r"^(?:\S+\.py )?([.FsE]{1,90})(?= *(?:\[|$))", "\n".join(lines[:last]), re.MULTILINE)
    return Counter("".join(found))


@pytest.mark.parametrize(
    ("workers", "verbose"), [("-n2", ()), ("-n2", ("-v",)), ("-n0", ())], ids=["n2-dots", "n2-verbose", "n0-dots"]
)
def test_line_renews_itself_and_leaves_nothing_behind(
    terminal: Terminal, trtcheck: Trtcheck, workers: str, verbose: tuple[str, ...]
) -> None:
    status = terminal.run(command(workers, *verbose), str(trtcheck.pytester.path))
    assert status == 1
    assert len(terminal.seen) > 3, terminal.text
    assert all(" of 0:01 | " in line and " checks" in line for line in terminal.seen), terminal.seen
    assert any("test_slow[" in line for line in terminal.seen)
    assert any("about 0:0" in line and "left" in line for line in terminal.seen)
    # What stays is what pytest wrote, whole.
    lines = terminal.text
    assert not [line for line in lines if line.startswith("trtcheck ")]
    assert not [line for line in lines if "captured output" in line]
    if verbose:
        for number in range(8):
            assert sum(f"test_slow[{number}]" in line and "PASSED" in line for line in lines) == 1, lines
    else:
        # Eight of our own and two of the stack pass; which line of pytest's a mark stands on is pytest's affair.
        assert marks(lines) == {".": 10, "F": 1, "s": 5}, lines
        assert any("[100%]" in line for line in lines), lines


def test_marks_stay_when_a_worker_dies_and_another_comes_up(terminal: Terminal, trtcheck: Trtcheck) -> None:
    dies = "\nimport os\ndef test_a_dies(): os._exit(9)\n"
    trtcheck.pytester.makepyfile(test_slow=CHECKS.replace("\n@pytest", f"{dies}\n@pytest"))
    assert terminal.run(command("-n1"), str(trtcheck.pytester.path)) == 1
    assert marks(terminal.text) == {".": 10, "F": 2, "s": 5}, terminal.text


def test_interrupt_in_the_middle_leaves_a_clean_screen(terminal: Terminal, trtcheck: Trtcheck) -> None:
    done: list[str] = []

    def interrupt(line: str, pid: int) -> None:
        if not done:
            done.append(line)
            os.kill(pid, signal.SIGINT)

    assert terminal.run(command("-n0"), str(trtcheck.pytester.path), interrupt) == 2
    assert not [line for line in terminal.text if line.startswith("trtcheck ")]


@pytest.mark.parametrize("option", ["-s", "CI"])
def test_line_is_not_renewed_where_that_is_not_wanted(terminal: Terminal, trtcheck: Trtcheck, option: str) -> None:
    if option == "CI":
        terminal.env["CI"] = "true"
    terminal.run(command("-n0", *([option] if option != "CI" else [])), str(trtcheck.pytester.path))
    plain = [line for line in terminal.text if line.startswith("trtcheck 0:")]
    assert plain, terminal.text


@pytest.mark.parametrize("workers", ["-n2", "-n0"])
def test_log_gets_whole_lines_without_escapes(terminal: Terminal, trtcheck: Trtcheck, workers: str) -> None:
    result = trtcheck.run(LEVEL, "test_slow.py", workers, "--no-header")
    told = [line for line in result.outlines if line.startswith("trtcheck ")]
    assert told
    assert all(" checks" in line and " | " in line for line in told)
    assert "\x1b" not in result.stdout.str()
    assert "trtcheck: 0.1" not in result.stdout.str(), "the header is there"


def test_quiet_run_and_short_run_say_nothing(terminal: Terminal, trtcheck: Trtcheck) -> None:
    result = trtcheck.run(LEVEL, "test_slow.py", "-n0", "-q")
    assert not [line for line in result.outlines if line.startswith("trtcheck ")]
    result = trtcheck.run(LEVEL)
    assert not [line for line in result.outlines if line.startswith("trtcheck ")]
