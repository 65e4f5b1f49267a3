"""Nothing of this suite may open a connection; the model is read once."""

from __future__ import annotations

import socket
from typing import NoReturn

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck.providers import Model


@pytest.fixture(autouse=True)
def sockets_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise AssertionError("a test of quantization tried to use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model(MODEL, MODEL / "lora", MODEL / "draft")
