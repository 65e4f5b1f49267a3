"""Scripts of requests played on engines, and how the words of others for an answer become ours."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pytest

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.probe_llm.providers.answers import ended, text_of, told, vocabulary, without
from pytest_trtcheck._suites.probe_llm.providers.arguments import Arguments, names_of
from pytest_trtcheck._suites.probe_llm.providers.play import Part, Threads, play
from pytest_trtcheck._suites.probe_llm.tasks import EOS, encode
from pytest_trtcheck.providers import Refused, Request
from pytest_trtcheck.providers.servers import Server, read_server


class Stepping:
    """Counts up for each request, one token a step; number 9 is refused, number 8 breaks the engine."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.running: dict[int, tuple[Request, int]] = {}

    def submit(self, number: int, request: Request, *, stream: bool) -> None:
        self.events.append(f"submit {number}{' stream' if stream else ''}")
        self.running[number] = (request, 0)

    def cancel(self, number: int) -> None:
        self.events.append(f"cancel {number}")
        del self.running[number]

    def parts(self) -> Iterable[Part]:
        parts = []
        for number, (request, count) in list(self.running.items()):
            if request.prompt == (8,):
                raise RuntimeError("out of blocks")
            if request.prompt == (9,):
                parts.append(Part(number, finish="refused", words="not nine"))
                del self.running[number]
                continue
            finish = "length" if count + 1 == request.max_tokens else ""
            parts.append(Part(number, tuple(range(count + 1)), finish))
            self.running[number] = (request, count + 1)
            if finish:
                del self.running[number]
        return parts


def test_requests_come_when_those_that_they_wait_for_have_delivered() -> None:
    engine = Stepping()
    requests = [Request((1,), 3), Request((1,), 1, after=0), Request((1,), 1, after=1), Request((1,), 2)]
    answers = play(requests, engine)
    assert [answer.finish for answer in answers] == ["length"] * 4
    assert engine.events == ["submit 0 stream", "submit 3", "submit 1 stream", "submit 2"]


def test_a_request_waits_no_longer_for_one_that_was_refused() -> None:
    engine = Stepping()
    first, second = play([Request((9,)), Request((1,), 1, after=0)], engine)
    assert (first.finish, first.words, second.finish) == ("refused", "not nine", "length")


@pytest.mark.parametrize("after", [(1, 0), (0, None), (5, None), (-1, None)])
def test_a_request_whose_turn_never_comes_is_refused_in_words(after: tuple[int | None, int | None]) -> None:
    answers = play([Request((1,), 1, after=one) for one in after], Stepping())
    refused = [answer for answer in answers if answer.finish == "refused"]
    assert len(refused) == sum(one is not None for one in after)
    assert refused[0].words == f"waits for request {after[0]}, which never delivers a token"


def test_a_cancelled_request_keeps_what_had_come_and_others_go_on() -> None:
    engine = Stepping()
    cut, other = play([Request((1,), 9, cancel_after=2, streaming=True), Request((1,), 4)], engine)
    assert (cut.tokens, cut.finish, cut.pieces) == ((0, 1), "cancelled", (1, 1))
    assert (other.tokens, other.finish, other.pieces) == ((0, 1, 2, 3), "length", ())
    assert engine.events[-1] == "cancel 0"


def test_a_request_that_ends_just_then_is_not_cancelled() -> None:
    engine = Stepping()
    (answer,) = play([Request((1,), 2, cancel_after=2)], engine)
    assert answer.finish == "length"
    assert "cancel 0" not in engine.events


def test_an_engine_that_breaks_is_left_with_nothing_running() -> None:
    engine = Stepping()
    with pytest.raises(RuntimeError, match="out of blocks"):
        play([Request((1,), 9), Request((8,), 9)], engine)
    assert engine.running == {}


@dataclass
class Slow:
    """Answers in threads; a barrier shows that all are under way at once."""

    barrier: threading.Barrier
    closed: int = 0

    def ask(self, number: int, request: Request, stream: bool) -> Iterator[Part]:
        try:
            self.barrier.wait(10)
            for count in range(1, request.max_tokens + 1):
                yield Part(number, tuple(range(count)), "length" if count == request.max_tokens else "")
        finally:
            self.closed += 1


def test_threads_answer_side_by_side_and_cancel_by_closing() -> None:
    slow = Slow(threading.Barrier(3))
    requests = [Request((1,), 3), Request((1,), 50, cancel_after=2), Request((1,), 2, streaming=True)]
    answers = play(requests, Threads(slow.ask))
    assert [(answer.tokens, answer.finish) for answer in answers] == [
        ((0, 1, 2), "length"),
        ((0, 1), "cancelled"),
        ((0, 1), "length"),
    ]
    assert slow.closed == 3


def test_an_answer_in_a_thread_that_ends_without_a_reason_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="the answer to request 0 ended without a reason"):
        play([Request((1,))], Threads(lambda number, request, stream: iter([Part(number, (1,))])))


AB, ABX, END = tuple(encode("ab")), tuple(encode("abx")), (*encode("ab"), EOS)


@pytest.mark.parametrize(
    ("tokens", "said", "stop", "names", "expected"),
    [
        (END, "stop", None, True, (END, "end")),
        (AB, "stop", None, True, (END, "end")),
        (ABX, "stop", "x", True, (AB, "stop")),
        (AB, "stop", "x", True, (AB, "stop")),
        (ABX, "stop", None, False, (AB, "stop")),
        (END, "stop", None, False, (END, "end")),
        (ABX, "length", None, True, (ABX, "length")),
        (AB, "abort", None, True, (AB, "cancelled")),
        (AB, "cancelled", None, True, (AB, "cancelled")),
    ],
)
def test_how_an_answer_ended(
    tokens: tuple[int, ...], said: str, stop: str | None, names: bool, expected: tuple[tuple[int, ...], str]
) -> None:
    assert ended(Request((1,), stop=("x",)), tokens, said, stop, names_stops=names) == expected


def test_a_stop_word_is_taken_from_the_end_only_so_that_one_missed_shows() -> None:
    assert without(tuple(encode("axb")), ("x",)) == tuple(encode("axb"))
    assert without(tuple(encode("abcabc")), ("bc", "abc")) == tuple(encode("abc"))


def test_an_unknown_reason_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="found 'timeout'"):
        ended(Request((1,)), (5,), "timeout")


def test_log_probabilities_are_read_from_numbers_and_objects() -> None:
    @dataclass
    class Logprob:
        logprob: float

    assert told([{5: -0.5}, {6: Logprob(-1.0)}, {7: 0.0}], 2) == ({5: -0.5}, {6: -1.0})
    assert told(None, 3) == ()


@pytest.mark.parametrize(("prompt", "text"), [("Cab=", "Cab="), ("a\nb", "a\nb"), ("", "")])
def test_a_prompt_that_begins_with_the_mark_is_a_text(prompt: str, text: str) -> None:
    assert text_of((1, *encode(prompt))) == text


@pytest.mark.parametrize("prompt", [(), (97,), (1, 1, 97), (1, 97, 2), (1, 5)])
def test_other_prompts_are_not(prompt: tuple[int, ...]) -> None:
    assert text_of(prompt) is None


def test_the_vocabulary_names_characters_and_marks() -> None:
    names = vocabulary(MODEL)
    assert (names["a"], names["<|eos|>"], names["\n"]) == (97, EOS, 10)


@dataclass
class Plain:
    """A class of arguments."""

    first: int = 0
    new_name: int = 0


def test_an_argument_goes_under_the_name_that_the_class_has() -> None:
    found = Arguments("Plain", Plain).put(1, "first").put(2, "old_name", "new_name")
    assert found.given == {"first": 1, "new_name": 2}
    assert not found.try_put(3, "third")
    with pytest.raises(Refused, match=r"^Plain of this release takes no third or fourth$"):
        found.put(3, "third", "fourth")


def test_names_are_read_from_functions_too() -> None:
    def function(first: int, *, second: int = 2) -> None:
        """Take two."""

    assert names_of(Plain, function) == {"first", "new_name", "second"}


@pytest.mark.parametrize(
    ("text", "server", "written"),
    [
        ("http://127.0.0.1:8000/v1", Server("127.0.0.1", 8000, "/v1"), "http://127.0.0.1:8000/v1"),
        ("http://[::1]:8000", Server("::1", 8000), "http://[::1]:8000"),
        ("https://host/x/", Server("host", 443, "/x", is_tls=True), "https://host:443/x"),
        ("http://host", Server("host", 80), "http://host:80"),
    ],
)
def test_an_url_is_read(text: str, server: Server, written: str) -> None:
    assert read_server(text) == server
    assert str(server) == written


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:8000", "ftp://host", "http://", "http://host:99999", "http://host:x", "http://me:secret@host",
        "http://host/?a=b", "http://host/#a", "http://ho st", "http://hóst", "http://host\x00", "http://" + "a" * 3000,
        "http://[::1", "", "http://\n",
    ],
)  # fmt: skip
def test_what_is_no_url_is_not(text: str) -> None:
    with pytest.raises(ValueError):
        read_server(text)
