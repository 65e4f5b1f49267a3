"""A whole run over a root folder in which much is broken: each told in one line, nothing lost."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.model.codec import encode
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.host import probe_host
from tests.fakeroot import LIB, SITE, FakeRoot, elf_bytes

if TYPE_CHECKING:
    from tests.plugin.conftest import Trtcheck


@pytest.fixture
def broken(tmp_path: Path) -> FakeRoot:
    fake = FakeRoot(tmp_path / "root")
    good = "Package: libnccl2\nStatus: install ok installed\nVersion: 2.27.5-1+cuda12.9\n"
    fake.dpkg(f"{good}\nnonsense without a colon\n")
    fake.dist("torch", "2.13.0")
    fake.file(f"{SITE}/nvidia_cudnn_cu13-9.20.0.48.dist-info/METADATA", b"\xff\xfe broken")
    fake.file(f"{LIB}/libcudnn.so.9", elf_bytes(soname="libcudnn.so.9")[:100])
    fake.link(f"{LIB}/libnccl.so.2", "nowhere")
    fake.link(f"{LIB}/libnvrtc.so.12", "libnvrtc.so.13")
    fake.link(f"{LIB}/libnvrtc.so.13", "libnvrtc.so.12")
    fake.file(f"{LIB}/lib\udcff.so.1", b"")
    for number in range(10_000):
        fake.file(f"{LIB}/libmany{number}.so.1")
    fake.library(f"{LIB}/libcudart.so.13", "libcudart.so.13")
    return fake


def test_what_is_broken_is_told_in_one_line_each_and_the_rest_is_judged(trtcheck: Trtcheck, broken: FakeRoot) -> None:
    stack = probe_host(Level.STATIC, root=broken.root, env={}, sys_path=[SITE])
    trtcheck.judge(stack)
    result = trtcheck.run("--trtcheck-level=static")
    assert result.ret in {0, 1, 10}
    told = trtcheck.report["not_looked_at"]
    for words in ("dpkg", "libcudnn.so.9", "libnvrtc.so.12"):
        assert [line for line in told if words in line], (words, told)
    assert all("\n" not in line for line in told)
    facts = trtcheck.report["stack"]["facts"]
    assert facts["torch"]["value"] == "2.13.0"
    assert [copy["soname"] for copy in facts["cuda_runtime"]["copies"]] == ["libcudart.so.13"]
    assert facts["cudnn"]["state"] != "absent"
    for name in ("report.json", "report.md", "TEST-trtcheck.xml"):
        assert (trtcheck.report_folder / name).read_text(encoding="utf-8")


def test_an_unreadable_folder_is_told(trtcheck: Trtcheck, broken: FakeRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    root = broken.root
    entries = root._entries

    def refuse(path: str) -> object:
        if path == LIB:
            raise PermissionError(13, os.strerror(13))
        return entries(path)

    monkeypatch.setattr(root, "_entries", refuse)
    stack = probe_host(Level.STATIC, root=root, env={}, sys_path=[SITE])
    trtcheck.judge(stack)
    trtcheck.run("--trtcheck-level=static")
    assert any(LIB in line and "ermission" in line for line in trtcheck.report["not_looked_at"])
    assert json.dumps(encode(stack))
