"""One scenario on one open session: put the requests, hold every answer and every claim against what must hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_trtcheck._suites.batching.scenarios import (
    NEVER_REUSES,
    RETURNS_BLOCKS,
    REUSES,
    THROUGHPUT,
    WAITS,
    Scenario,
)
from pytest_trtcheck._suites.probe_llm.judge import Judged, judge, judge_refusal, wrong_form
from pytest_trtcheck._suites.probe_llm.truth import Oracle
from pytest_trtcheck.model.report import Measurement
from pytest_trtcheck.providers import Completion, Request

Generate = Callable[[Sequence[Request]], Any]
Statistics = Callable[[], Mapping[str, float]]

SETTLING_SECONDS = 1.0
"""A server may give blocks back a moment after its answer."""


@dataclass
class Judgement:
    """What became of a scenario."""

    check_id: str = ""
    problems: list[str] = field(default_factory=list)
    """What is wrong, a line each; empty when all is right."""
    tokens: int = 0
    wrong_tokens: int = 0
    near_ties: int = 0
    largest: float = 0.0
    """Largest error over what is allowed."""
    rates: list[tuple[int, float]] = field(default_factory=list)
    """Size of each round, and its tokens per second."""
    told: Mapping[str, float] = field(default_factory=dict)
    """What the session told of itself: how far each figure rose, or where it stands."""

    def message(self) -> str:
        """Return one line."""
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return f"{self.problems[0]}{more}" if self.problems else ""

    def add(self, judged: Judged, where: str) -> None:
        """Count one answer."""
        self.tokens += judged.tokens
        self.wrong_tokens += judged.wrong_tokens
        self.near_ties += judged.near_ties
        self.largest = max(self.largest, judged.largest)
        if judged.words:
            self.problems.append(f"{where}: {judged.words}")

    def measurements(self) -> list[Measurement]:
        """Return the figures that a report shows."""
        figures = [
            Measurement("tokens", self.tokens, "tokens"),
            Measurement("wrong_tokens", self.wrong_tokens, "tokens"),
            Measurement("near_ties", self.near_ties, "tokens"),
        ]
        if self.check_id == THROUGHPUT:
            figures += [Measurement("throughput", rate, "tokens/s", "batch size", size) for size, rate in self.rates]
        return figures + [Measurement(name, value, UNITS[name]) for name, value in self.told.items()]


UNITS = {"reused_tokens": "tokens", "preemptions": "evictions", "largest_batch": "requests"}
"""Figures that are shown, of those that a session may tell."""


def run_scenario(scenario: Scenario, oracle: Oracle, generate: Generate, statistics: Statistics) -> Judgement:
    """Put a scenario's requests to a session and judge what comes back. What ``generate`` raises goes through."""
    judgement = Judgement(scenario.check_id)
    before = statistics()
    for number, members in enumerate(scenario.rounds):
        requests = [scenario.case.requests[member] for member in members]
        began = time.perf_counter()
        given = generate(requests)
        seconds = time.perf_counter() - began
        problem = wrong_form(given, requests, oracle.vocabulary)
        if problem:
            judgement.problems.append(problem)
            return judgement
        judgement.rates.append((len(members), sum(len(found.tokens) for found in given) / max(seconds, 1e-9)))
        _judge_round(scenario, number, requests, given, oracle, judgement)
    after = _settled(before, statistics) if RETURNS_BLOCKS in scenario.claims else statistics()
    rose = {name: after[name] - before.get(name, 0) for name in ("reused_tokens", "preemptions") if name in after}
    judgement.told = {**rose, **({"largest_batch": after["largest_batch"]} if "largest_batch" in after else {})}
    judgement.problems += _broken_claims(scenario, before, after, judgement.told)
    return judgement


def _judge_round(
    scenario: Scenario,
    number: int,
    requests: Sequence[Request],
    given: Sequence[Completion],
    oracle: Oracle,
    judgement: Judgement,
) -> None:
    """Judge the answers of one round."""
    members, limit = scenario.rounds[number], scenario.case.setup.length_limit
    for index, (member, completion) in enumerate(zip(members, given, strict=True)):
        request = requests[index]
        where = f"request {index}" + (f" of round {number}" if len(scenario.rounds) > 1 else "")
        where += f" ({len(request.prompt)} tokens)"
        is_refused = completion.finish == "refused"
        if member in scenario.refused or (member in scenario.may_refuse and is_refused):
            judged = judge_refusal(completion)
        else:
            judged = judge(oracle, index, requests, given, limit)
        judgement.add(judged, where)


def _settled(before: Mapping[str, float], statistics: Statistics) -> Mapping[str, float]:
    """Return what a session tells once it has given its blocks back, or after a while."""
    end = time.monotonic() + SETTLING_SECONDS
    after = statistics()
    while after.get("kv_blocks_used", 0) > before.get("kv_blocks_used", 0) and time.monotonic() < end:
        time.sleep(0.02)
        after = statistics()
    return after


def _broken_claims(
    scenario: Scenario, before: Mapping[str, float], after: Mapping[str, float], told: Mapping[str, float]
) -> list[str]:
    """Return the claims that the session's own figures contradict."""
    found = []
    used = (before.get("kv_blocks_used"), after.get("kv_blocks_used"))
    if RETURNS_BLOCKS in scenario.claims and used[0] is not None and used[1] is not None and used[1] > used[0]:
        found.append(f"blocks of the KV cache in use afterwards: expected {used[0]:g} as before, found {used[1]:g}")
    reused, largest, requests = told.get("reused_tokens"), told.get("largest_batch"), len(scenario.case.requests)
    if REUSES in scenario.claims and reused == 0:
        found.append(
            "prefix reuse was asked for: expected prompts that begin alike to share blocks, found 0 tokens reused"
        )
    if NEVER_REUSES in scenario.claims and reused:
        found.append(f"prefix reuse was not asked for: expected 0 tokens reused, found {reused:g}")
    if WAITS in scenario.claims and largest is not None and largest >= requests and not told.get("preemptions"):
        found.append(
            f"a KV cache of {scenario.case.setup.kv_tokens} tokens was asked for: expected requests to wait or be "
            f"evicted, found all {requests} together and none evicted"
        )
    return found
