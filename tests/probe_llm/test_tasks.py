"""The questions: every answer is worked out a second time, in another way, from the prompt alone."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_trtcheck._suites.probe_llm import tasks
from pytest_trtcheck._suites.probe_llm.sets import EASY, HARD, easy_questions, hard_questions

PAIRS = dict(zip(tasks.OPENING, tasks.CLOSING, strict=True))


def looked_up(data: str) -> str:
    table, _, asked = data.removesuffix(":").partition("?")
    values = dict(pair.split("=") for pair in table.split(","))
    return ",".join(f"{key}={values[key]}" for key in asked.split(","))


def added(data: str) -> str:
    carry, out = 0, ""
    first, second = data.split("+")
    for a, b in zip(first, second, strict=True):
        carry, digit = divmod(int(a) + int(b) + carry, 10)
        out += str(digit)
    return out + str(carry)


def closed(data: str) -> str:
    while any(pair in data for pair in (a + b for a, b in PAIRS.items())):
        for opening, closing in PAIRS.items():
            data = data.replace(opening + closing, "")
    return "".join(PAIRS[opening] for opening in reversed(data))


def counted(data: str) -> str:
    counts = Counter(data)
    return "".join(f"{letter}{counts[letter]}" for letter in tasks.COUNTED)


def most_frequent(data: str) -> str:
    [(first, more), *rest] = Counter(data).most_common(2)
    assert not rest or more > rest[0][1]
    return first


SOLVED: dict[str, tuple[str, Callable[[str], str]]] = {
    "copy": ("C", lambda data: data),
    "repeat": ("C", lambda data: data),
    "reverse": ("R", lambda data: "".join(reversed(data))),
    "lookup": ("L", looked_up),
    "sort": ("S", lambda data: "".join(sorted(data))),
    "count": ("N", counted),
    "add": ("A", added),
    "brackets": ("B", closed),
    "majority": ("M", most_frequent),
    "tie": ("M", most_frequent),
    "draw": ("W", lambda data: most_frequent(data) * tasks.DRAWS),
    "close_draw": ("W", lambda data: most_frequent(data) * tasks.DRAWS),
}

asked = st.builds(
    lambda task, size, seed: tasks.questions(task, size, 1, seed)[0],
    st.sampled_from(sorted(tasks.BUILDERS)),
    st.integers(1, 120),
    st.integers(0, 2**32),
)


def test_every_task_is_solved_a_second_time() -> None:
    assert set(SOLVED) == set(tasks.BUILDERS) == set(tasks.LONGEST)


@given(asked)
def test_answer_is_what_the_prompt_asks_for(question: tasks.Question) -> None:
    mark, solve = SOLVED[question.task]
    assert question.prompt[0] == mark
    assert solve(question.prompt[1:].removesuffix("=")) == question.answer


@given(asked)
def test_question_is_no_longer_than_its_task_says(question: tasks.Question) -> None:
    tokens = question.prompt_ids + question.answer_ids
    assert len(tokens) <= tasks.LONGEST[question.task](question.size)


@given(asked)
def test_tokens_are_known_and_give_the_text_back(question: tasks.Question) -> None:
    tokens = question.prompt_ids + question.answer_ids
    assert tokens[0] == tasks.BOS
    assert tokens[-1] == tasks.EOS
    assert all(32 <= token < tasks.VOCABULARY for token in tokens[1:-1])
    assert tasks.decode(tokens) == question.prompt + question.answer


@given(st.text())
def test_any_text_has_tokens_in_the_vocabulary(text: str) -> None:
    tokens = tasks.encode(text)
    assert len(tokens) == len(text)
    assert all(token == tasks.UNK or chr(token) == c for token, c in zip(tokens, text, strict=True))
    assert all(0 <= token < tasks.VOCABULARY for token in tokens)


@given(st.integers(2, 12), st.integers(0, 1000))
def test_half_of_the_sums_carry_far(size: int, seed: int) -> None:
    sums = tasks.questions("add", size, 200, seed)
    nines = [sum(int(a) + int(b) == 9 for a, b in zip(*q.prompt[1:-1].split("+"), strict=True)) for q in sums]
    # 0.46 on average, with a deviation of 0.03 for the shortest sums.
    assert sum(nines) > 0.25 * 200 * size


@given(st.integers(3, 48), st.integers(0, 2**32))
def test_sampled_draw_draws_from_its_urn(size: int, seed: int) -> None:
    prompt, drawn = tasks.sampled_draw(random.Random(seed), size)
    assert len(drawn) == tasks.DRAWS
    assert set(drawn) <= set(prompt[1:-1])


@given(st.integers(1, 30), st.integers(0, 1000))
def test_a_seed_names_its_questions(count: int, seed: int) -> None:
    first = hard_questions(count, seed)
    assert first == hard_questions(count, seed)
    assert len(first) == count
    assert first != hard_questions(count, seed + 1)


def test_more_questions_of_a_seed_begin_with_the_same_ones() -> None:
    assert easy_questions("lookup", 50, 4)[:20] == easy_questions("lookup", 20, 4)


def test_questions_are_the_same_on_every_machine() -> None:
    texts = [q.prompt + q.answer for name in EASY for q in easy_questions(name, 5, 1)]
    texts += [q.prompt + q.answer for q in hard_questions(10, 1)]
    assert (
        hashlib.sha256("\n".join(texts).encode()).hexdigest()
        == "5a2c9961763ef728d9d55329512c4e3c6f8606e0eff6ed17813e9ab0d760cf73"
    )


def test_hard_questions_have_a_lead_of_one() -> None:
    for question in hard_questions(60, 5):
        (first, second) = list(tasks.shares(question.prompt[1:-1]).values())[:2]
        assert first == second + 1
    assert {(q.task, q.size) for q in hard_questions(2, 5)} == set(HARD)


@pytest.mark.parametrize("name", [name for name in EASY if name.endswith("_far")])
def test_far_sets_fill_most_of_the_context_and_fit(name: str) -> None:
    lengths = [len(q.prompt_ids + q.answer_ids) for q in easy_questions(name, 20, 3)]
    assert max(lengths) <= tasks.CONTEXT
    assert min(lengths) > 0.85 * tasks.CONTEXT
