"""The checks of the OpenAI protocol on a real server, ``transformers serve``, and what they find of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.transformers_server import is_here, transformers_server

pytestmark = [pytest.mark.torch, pytest.mark.transformers]
if not is_here():
    pytest.skip("needs transformers[serving]", allow_module_level=True)

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL  # noqa: E402
from pytest_trtcheck._suites.serving.checking import Check  # noqa: E402
from pytest_trtcheck._suites.serving.execution import execute_once  # noqa: E402
from pytest_trtcheck._suites.serving.openai.checks import CHECKS  # noqa: E402
from pytest_trtcheck._suites.serving.openai.client import CHAT_TEMPLATE, Client  # noqa: E402

WRONG = {
    "openai-completions-stream": "/completions, streamed: the events end without [DONE]",
    "openai-chat-stream": "/chat/completions, streamed: the events end without [DONE]",
    "openai-stop": "the answer ends with the stop word",
    "openai-logprobs": "asked for log-probabilities, found none",
}
"""What 5.23.0 does wrong; all else must pass."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    model = tmp_path_factory.mktemp("model")
    shutil.copytree(MODEL, model, dirs_exist_ok=True)
    shutil.copy(CHAT_TEMPLATE, model)
    with transformers_server(model) as server:
        yield Client(server, str(model))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_what_is_wrong_with_it_is_told_and_all_else_passes(client: Client, check: Check) -> None:
    ran = execute_once(check, client)
    assert WRONG.get(check.name, "") in ran.wrong
    assert bool(ran.wrong) is (check.name in WRONG), ran.wrong


def test_errors_of_the_client_that_come_as_the_servers_are_noted(client: Client) -> None:
    ran = execute_once(CHECKS[-1], client)
    assert "a wrong request is answered with HTTP 500, as if the server had failed" in ran.known[0]


def test_a_model_without_a_chat_template_has_no_chat() -> None:
    (chat,) = (check for check in CHECKS if check.name == "openai-chat")
    with transformers_server(MODEL) as server:
        ran = execute_once(chat, Client(server, str(MODEL)))
    assert "/chat/completions: HTTP 500: " in ran.wrong
