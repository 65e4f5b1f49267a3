"""The changelog can be built from its fragments."""

from __future__ import annotations

import re
import subprocess
import sys

from pytest_trtcheck import __version__
from tests.venvs import CHECKOUT, clean_env

FRAGMENT = re.compile(r"(\d+|\+[\w-]+)\.(feature|matrix|bugfix|removal|misc)(\.\d+)?\.md")


def test_draft_holds_every_fragment() -> None:
    fragments = [path for path in (CHECKOUT / "changes").iterdir() if path.name != "README.md"]
    assert [path.name for path in fragments if not FRAGMENT.fullmatch(path.name)] == []
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", __version__]
    done = subprocess.run(command, cwd=CHECKOUT, env=clean_env(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for path in fragments:
        assert path.read_text(encoding="utf-8").strip() in done.stdout, path.name


def test_released_changes_have_a_place_to_go() -> None:
    assert "\n<!-- towncrier: released below -->\n" in (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
