"""No test of the probe model may open a connection; its folder is copied where a test damages it."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL


@pytest.fixture(autouse=True)
def sockets_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise AssertionError("a test of the probe model tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    folder = tmp_path / "probe"
    shutil.copytree(MODEL, folder)
    return folder
