"""Choose combinations of factors such that every valid pair of values occurs, after the greedy AETG method.

D. Cohen, S. Dalal, M. Fredman, G. Patton: The AETG system, IEEE Trans. Software Eng. 23(7), 1997. Pairs are enough for
most faults, and a full product would run for days.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, product

Row = dict[str, str]
_Pair = frozenset[tuple[str, str]]

_TRIES = 40
_CHANCE_OF_ANY = 0.2


def choose(factors: Mapping[str, Sequence[str]], is_valid: Callable[[Row], bool], seed: int = 0) -> list[Row]:
    """Return few rows in which every pair of values that some valid row has occurs; the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311 - a choice, not a secret
    wanted = valid_pairs(factors, is_valid)
    chosen: list[Row] = []
    while wanted:
        goal = min(wanted, key=sorted)
        tries = [_grow(goal, factors, is_valid, wanted, chance) for _ in range(_TRIES)]
        best = max(tries, key=lambda row: len(wanted & _pairs(row)))
        chosen.append(best)
        wanted -= _pairs(best)
    return chosen


def valid_pairs(factors: Mapping[str, Sequence[str]], is_valid: Callable[[Row], bool]) -> set[_Pair]:
    """Return the pairs of values that at least one valid row has."""
    found: set[_Pair] = set()
    for row in all_rows(factors, is_valid):
        found |= _pairs(row)
    return found


def all_rows(factors: Mapping[str, Sequence[str]], is_valid: Callable[[Row], bool]) -> list[Row]:
    """Return every valid row."""
    rows = (dict(zip(factors, values, strict=True)) for values in product(*factors.values()))
    return [row for row in rows if is_valid(row)]


def _pairs(row: Row) -> set[_Pair]:
    return {frozenset(pair) for pair in combinations(row.items(), 2)}


def _grow(
    goal: _Pair,
    factors: Mapping[str, Sequence[str]],
    is_valid: Callable[[Row], bool],
    wanted: set[_Pair],
    chance: random.Random,
) -> Row:
    """Return a valid row that holds the goal, each further value chosen for the pairs that it adds."""
    while True:
        row: Row = dict(goal)
        rest = [name for name in factors if name not in row]
        chance.shuffle(rest)
        for name in rest:
            values = list(factors[name])
            chance.shuffle(values)
            gains = {value: len(wanted & _new_pairs(row, name, value)) for value in values}
            # Now and then any value: the best ones may lead to no valid row.
            row[name] = values[0] if chance.random() < _CHANCE_OF_ANY else max(values, key=gains.__getitem__)
        ordered = {name: row[name] for name in factors}
        if is_valid(ordered):
            return ordered


def _new_pairs(row: Row, name: str, value: str) -> set[_Pair]:
    return {frozenset((item, (name, value))) for item in row.items()}
