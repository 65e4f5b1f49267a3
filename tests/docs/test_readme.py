"""README.md says what the tool does now: captured blocks are compared with fresh output, words with the code.

``make golden`` (``pytest tests/docs --rewrite-golden``) writes the captured blocks anew; what changed is then read in
the diff. A block is captured when the line above its fence is ``<!-- captured: NAME -->``; ``example.PRODUCERS`` says
what makes it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_trtcheck import hookspec
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.model.report import Outcome, RunVerdict
from pytest_trtcheck.rules.profiles import load_profile
from tests.docs.example import PRODUCERS
from tests.venvs import CHECKOUT

README = CHECKOUT / "README.md"
CAPTURED = re.compile(r"(?<=<!-- captured: )(?P<name>[^\n]+?) -->\n```text\n(?P<text>.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def readme() -> str:
    return README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PRODUCERS, ids=lambda name: name.replace(" ", "_"))
def test_captured_block_is_what_the_tool_prints_now(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = README.read_text(encoding="utf-8")
    block = next(match for match in CAPTURED.finditer(text) if match["name"] == name)
    printed = PRODUCERS[name](tmp_path)
    if request.config.getoption("--rewrite-golden"):
        README.write_text(text[: block.start("text")] + printed + text[block.end("text") :], encoding="utf-8")
        pytest.skip(f"block {name!r} of README.md was rewritten")
    assert block["text"] == printed, f"README.md, block {name!r}, is stale: run make golden and read the diff"


def test_every_captured_block_has_a_producer(readme: str) -> None:
    names = [match["name"] for match in CAPTURED.finditer(readme)]
    assert sorted(names) == sorted(PRODUCERS)
    assert readme.count("<!-- captured:") == len(names)


def test_words_of_verdicts_and_outcomes_are_told(readme: str) -> None:
    for word in (*Outcome, *RunVerdict, *Level):
        assert f"`{word.value}`" in readme


def test_every_profile_is_told_with_its_title(readme: str) -> None:
    names = [path.stem for path in (CHECKOUT / "matrix" / "profiles").glob("*.json")]
    assert "auto" in names
    for name in names:
        assert f"| `{name}` | {load_profile(name).title}" in readme


def test_every_hook_is_told(readme: str) -> None:
    hooks = [name for name in vars(hookspec) if name.startswith("pytest_trtcheck_")]
    assert hooks != []
    for name in hooks:
        assert f"`{name}`" in readme


def test_links_lead_to_files_that_are_there(readme: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", readme) if "://" not in link]
    assert links != []
    assert [link for link in links if not (CHECKOUT / link).exists()] == []


def test_make_targets_are_there(readme: str) -> None:
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z]+)", readme))
    assert {"check", "test", "golden"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
