"""Questions with exact answers for the probe language model. Standard library only.

A question is text: one capital letter that names the task, the data, and a mark that asks for the answer. A token is
one ASCII character and its id is the character's code, so ``encode`` needs no tokenizer. Ids below 32 are special.
Numbers in additions are written least significant digit first.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAD, BOS, EOS, UNK = 0, 1, 2, 3
VOCABULARY = 128
CONTEXT = 2048

LOWER = "abcdefghijklmnopqrstuvwxyz"
WIDE = LOWER + LOWER.upper() + "0123456789"
DIGITS = "0123456789"
COUNTED = "abcdef"
URN = "abcdefgh"
DRAWS = 8
OPENING, CLOSING = "([{<", ")]}>"
MOST_QUERIES = 16


@dataclass(frozen=True)
class Question:
    """One question; ``answer`` is what greedy decoding must give before the end mark."""

    task: str
    size: int
    prompt: str
    answer: str

    @property
    def prompt_ids(self) -> list[int]:
        """Tokens of the prompt, begin mark included."""
        return [BOS, *encode(self.prompt)]

    @property
    def answer_ids(self) -> list[int]:
        """Tokens of the answer, end mark included."""
        return [*encode(self.answer), EOS]


def encode(text: str) -> list[int]:
    """Token ids of a text without special marks; what is not printable ASCII or a line feed becomes the unknown id."""
    return [ord(c) if " " <= c <= "~" or c == "\n" else UNK for c in text]


def decode(ids: Sequence[int]) -> str:
    """Return the text of token ids; special ids give nothing."""
    return "".join(chr(i) for i in ids if 32 <= i <= 126 or i == 10)


def _pick(rng: random.Random, n: int) -> int:
    """Return a number in [0, n); several times faster than ``randrange``, and the same in every Python release."""
    return int(rng.random() * n)


def _letters(rng: random.Random, alphabet: str, n: int) -> str:
    return "".join([alphabet[int(rng.random() * len(alphabet))] for _ in range(n)])


def _shuffled(rng: random.Random, items: list[str]) -> list[str]:
    for i in range(len(items) - 1, 0, -1):
        j = _pick(rng, i + 1)
        items[i], items[j] = items[j], items[i]
    return items


def _walk(rng: random.Random, n: int) -> str:
    """Return a text in which no pair of neighbours comes twice, so that two letters of context say what follows."""
    used: set[str] = set()
    out = [WIDE[_pick(rng, len(WIDE))]]
    while len(out) < n:
        pair = out[-1] + WIDE[_pick(rng, len(WIDE))]
        if pair not in used:
            used.add(pair)
            out.append(pair[1])
    return "".join(out)


def _copy(rng: random.Random, n: int) -> tuple[str, str]:
    text = _walk(rng, n)
    return f"C{text}=", text


def _repeat(rng: random.Random, n: int) -> tuple[str, str]:
    text = _letters(rng, "abcd", n)
    return f"C{text}=", text


def _reverse(rng: random.Random, n: int) -> tuple[str, str]:
    text = _walk(rng, n)
    return f"R{text}=", text[::-1]


def _distinct(rng: random.Random, n: int) -> list[str]:
    seen: dict[str, None] = {}
    while len(seen) < n:
        seen[_letters(rng, LOWER, 2)] = None
    return list(seen)


def _lookup(rng: random.Random, n: int) -> tuple[str, str]:
    pairs = [f"{key}={_letters(rng, DIGITS, 2)}" for key in _distinct(rng, n)]
    count = 1 + _pick(rng, min(n, MOST_QUERIES))
    asked: dict[str, None] = {}
    while len(asked) < count:
        asked[pairs[_pick(rng, n)]] = None
    return f"L{','.join(pairs)}?{','.join([pair[:2] for pair in asked])}:", ",".join(asked)


def _sort(rng: random.Random, n: int) -> tuple[str, str]:
    text = _letters(rng, LOWER, n)
    return f"S{text}=", "".join(sorted(text))


def _count(rng: random.Random, n: int) -> tuple[str, str]:
    text = _letters(rng, COUNTED, n)
    return f"N{text}=", "".join([f"{c}{text.count(c)}" for c in COUNTED])


def _add(rng: random.Random, n: int) -> tuple[str, str]:
    """Half of the sums are carry chains: nearly every pair of digits adds up to nine."""
    first = _letters(rng, DIGITS, n)
    second = _letters(rng, DIGITS, n)
    if rng.random() < 0.5:
        second = "".join([b if rng.random() < 0.2 else str(9 - int(a)) for a, b in zip(first, second, strict=True)])
    total = int(first[::-1]) + int(second[::-1])
    return f"A{first}+{second}=", str(total).zfill(n + 1)[::-1]


def _brackets(rng: random.Random, n: int) -> tuple[str, str]:
    """Return a text of ``n`` brackets at most, at least one of them still open; the answer closes all that are."""
    out: list[str] = []
    open_: list[int] = []
    keep_open = 0.45 + 0.25 * rng.random()
    for _ in range(n):
        if len(open_) < 2 or rng.random() < keep_open:
            kind = _pick(rng, 4)
            open_.append(kind)
            out.append(OPENING[kind])
        else:
            out.append(CLOSING[open_.pop()])
    return f"B{''.join(out)}=", "".join([CLOSING[kind] for kind in reversed(open_)])


def _vote(rng: random.Random, n: int, lead: int) -> tuple[str, str]:
    winner, loser = ("a", "b") if rng.random() < 0.5 else ("b", "a")
    more = (n + lead) // 2
    return f"M{''.join(_shuffled(rng, [winner] * more + [loser] * (n - more)))}=", winner


def _majority(rng: random.Random, n: int) -> tuple[str, str]:
    """``n`` votes (one more where n is even); the lead is the square of a uniform number, so that small ones abound."""
    n |= 1
    return _vote(rng, n, 1 + 2 * int(rng.random() ** 2 * ((n + 1) // 2)))


def _tie(rng: random.Random, n: int) -> tuple[str, str]:
    return _vote(rng, n | 1, 1)


def _urn(rng: random.Random, n: int) -> str:
    """Letters of an urn: two to eight kinds in uneven shares."""
    kinds = _shuffled(rng, list(URN))[: 2 + _pick(rng, 7)]
    tilt = 1.0 + 2.0 * rng.random()
    return "".join([kinds[int(rng.random() ** tilt * len(kinds))] for _ in range(n)])


def shares(urn: str) -> dict[str, int]:
    """How often each letter lies in an urn, most frequent first."""
    return dict(sorted(((c, urn.count(c)) for c in set(urn)), key=lambda item: (-item[1], item[0])))


def _urn_with_lead(rng: random.Random, n: int, fits: Callable[[int, int], bool]) -> tuple[str, str]:
    while True:
        urn = _urn(rng, n)
        (winner, first), *rest = shares(urn).items()
        if rest and fits(first, rest[0][1]):
            return f"W{urn}=", winner * DRAWS


def _draw(rng: random.Random, n: int) -> tuple[str, str]:
    """Let the most frequent letter lead two to one: greedy decoding repeats it, sampling gives the urn's shares."""
    return _urn_with_lead(rng, max(n, 3), lambda first, second: first >= 2 * second)


def _close_draw(rng: random.Random, n: int) -> tuple[str, str]:
    return _urn_with_lead(rng, max(n, 3), lambda first, second: first == second + 1)


def sampled_draw(rng: random.Random, n: int) -> tuple[str, str]:
    """Return a draw as in training: the answer is drawn from the urn, letter by letter, with replacement."""
    urn = _urn(rng, n)
    return f"W{urn}=", _letters(rng, urn, DRAWS)


BUILDERS: dict[str, Callable[[random.Random, int], tuple[str, str]]] = {
    "copy": _copy,
    "repeat": _repeat,
    "reverse": _reverse,
    "lookup": _lookup,
    "sort": _sort,
    "count": _count,
    "add": _add,
    "brackets": _brackets,
    "majority": _majority,
    "tie": _tie,
    "draw": _draw,
    "close_draw": _close_draw,
}

# The most tokens that a question of size n and its answer take, begin and end mark included.
LONGEST: dict[str, Callable[[int], int]] = {
    "copy": lambda n: 2 * n + 4,
    "repeat": lambda n: 2 * n + 4,
    "reverse": lambda n: 2 * n + 4,
    "lookup": lambda n: 6 * n + 9 * min(n, MOST_QUERIES) + 2,
    "sort": lambda n: 2 * n + 4,
    "count": lambda n: n + 4 + 2 * len(COUNTED) + n // 10,
    "add": lambda n: 3 * n + 6,
    "brackets": lambda n: 2 * n + 4,
    "majority": lambda n: (n | 1) + 5,
    "tie": lambda n: (n | 1) + 5,
    "draw": lambda n: max(n, 3) + 4 + DRAWS,
    "close_draw": lambda n: max(n, 3) + 4 + DRAWS,
}


def ask(task: str, size: int, rng: random.Random) -> Question:
    """Return a question of this task and size."""
    prompt, answer = BUILDERS[task](rng, size)
    return Question(task, size, prompt, answer)


def questions(task: str, size: int, count: int, seed: int) -> list[Question]:
    """Return the ``count`` questions that this seed names, the same on every machine."""
    rng = random.Random(f"{task}/{size}/{seed}")  # noqa: S311 - questions, not secrets
    return [ask(task, size, rng) for _ in range(count)]
