"""The proof of this suite: broken servers and models must be caught, in the words meant for them, sound ones never."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from pytest_trtcheck._suites.serving import variants
from pytest_trtcheck._suites.serving.bench import NO_TORCH, Bench
from pytest_trtcheck._suites.serving.checking import FAULTS, Check, NotRun
from pytest_trtcheck._suites.serving.checks import owned_checks
from pytest_trtcheck._suites.serving.installation import HOW_TO_GET_ONE, Installation, UnusableError, installation_of
from pytest_trtcheck._suites.serving.known import Learner
from pytest_trtcheck._suites.serving.openai.checks import CHECKS as OPENAI_CHECKS
from pytest_trtcheck._suites.serving.openai.client import Client
from pytest_trtcheck._suites.serving.openai.standin import StandIn as StandInOpenAi
from pytest_trtcheck._suites.serving.openai.variants import broken_openai, sound_openai
from pytest_trtcheck._suites.serving.server import ServerError
from pytest_trtcheck._suites.serving.standin import StandIn
from pytest_trtcheck._suites.serving.variants import Variant
from pytest_trtcheck._suites.support.proof import Proof, Tally, Trial, in_order
from pytest_trtcheck.errors import OptionError
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.root import Root
from pytest_trtcheck.probe.triton_server import triton_server_fact


class Judged(Protocol):
    """A variant, as far as judging it goes."""

    @property
    def name(self) -> str:
        """What it is called in the table."""

    @property
    def checks(self) -> tuple[str, ...]:
        """Names of the checks that judge it."""

    @property
    def says(self) -> str:
        """What one of them must say of it; empty for a sound one."""

    @property
    def is_sound(self) -> bool:
        """True for one that must pass."""


@dataclass(frozen=True)
class ServingProof(Proof):
    """What became of broken and of sound variants; a case is a check."""

    server: str = ""
    not_run: tuple[str, ...] = ()
    """What this machine lacks for some of them, in words."""

    suite_titles = ("broken variant", "mistake", "checks that fail", "first caught in")
    sound_titles = ("sound variant", "what it does", "checks", "false alarms")

    def preface(self) -> str:
        """Say what was proven on."""
        return (
            f"on {self.server}; mistakes of a server are made by a stand-in in front of it, or (openai-) in its place"
        )

    def notes(self) -> Iterator[str]:
        """Tell what could not run here."""
        yield from (f"not run: {words}" for words in self.not_run)


def prove(level: Level, seeds: range, device: str = "cpu", only: Sequence[str] = ()) -> ServingProof:  # noqa: ARG001 - see below
    """Run broken variants with the first seed and sound ones with all; ``only`` those of these names where given.

    Every suite's proof is asked for a level and a device: this one has the same variants at every level, on the CPU.
    OptionError where there is no server.
    """
    installation = installation_of(triton_server_fact(Root("/"), os.environ, sys.path))
    if installation is None:
        raise OptionError(f"prove serving: expected a tritonserver, found none: {HOW_TO_GET_ONE}")
    broken, sound = [*variants.broken_servers(), *variants.broken_models()], [*variants.sound()]
    lacking = []
    if find_spec("torch"):
        broken, sound = [*broken, *variants.broken_llms()], [*sound, *variants.sound_llms()]
    else:
        lacking.append(f"variants of the LLM repository and of the OpenAI protocol: {NO_TORCH}")
    if only:
        broken, sound = ([one for one in group if one.name in only] for group in (broken, sound))
    of_openai = prove_openai(only) if find_spec("torch") else ((), ())
    bench = Bench(installation, has_torch=True, seed=seeds[0])
    tallies = {one.name: Tally(one.name, one.about) for one in (*broken, *sound)}
    try:
        for seed in seeds:
            for one in [*broken, *sound] if seed == seeds[0] else sound:
                _run(one, installation, bench, seed, tallies[one.name])
    except UnusableError as error:
        raise OptionError(f"prove serving: {error}") from None
    finally:
        bench.discard()
    of_triton = in_order(tallies, broken, sound)
    return ServingProof(
        (*of_triton[0], *of_openai[0]),
        (*of_triton[1], *of_openai[1]),
        len({check for one in (*broken, *sound) for check in one.checks}) + len(OPENAI_CHECKS),
        seeds,
        server=f"tritonserver {bench.release_of_server}".rstrip(),
        not_run=tuple(lacking),
    )


def prove_openai(only: Sequence[str] = ()) -> tuple[tuple[Tally, ...], tuple[Tally, ...]]:
    """Run broken and sound stand-ins for a server of the OpenAI protocol; needs torch, and no server.

    They are asked fixed questions, and so once, whatever the seeds.
    """
    groups = []
    for group in (broken_openai(), sound_openai()):
        tallies = []
        for variant in group if not only else [one for one in group if one.name in only]:
            tallies.append(Tally(variant.name, variant.about))
            with StandInOpenAi(variant.manners()) as server:
                checks = [check for check in OPENAI_CHECKS if check.name in variant.checks]
                _count(variant, checks, Client(server), tallies[-1])
        groups.append(tuple(tallies))
    return groups[0], groups[1]


def _run(variant: Variant, installation: Installation, shared: Bench, seed: int, tally: Tally) -> None:
    """Run a variant through its checks; those that only stand in front of a server share one."""
    checks = [check for check in owned_checks() if check.name in variant.checks]
    if variant.mischief is not None:
        stand_in = StandIn(variant.mischief())
        shared.stand_behind(stand_in)
        try:
            _count(variant, checks, shared, tally)
        finally:
            shared.stand_behind(None)
            stand_in.close()
        return
    bench = Bench(installation, has_torch=True, change=variant.change, only=variant.models, seed=seed)
    try:
        _count(variant, checks, bench, tally)
    finally:
        bench.discard()
        shared.release_of_server = shared.release_of_server or bench.release_of_server


def _count(variant: Judged, checks: Sequence[Check], learner: Learner, tally: Tally) -> None:
    assert len(checks) == len(variant.checks), f"{variant.name} names a check that there is not"
    for check in checks:
        learner.known.clear()
        try:
            for _ in check.run(learner):
                pass
        except NotRun as reason:
            tally.words = tally.words or f"{check.name} not run: {reason}"
        except FAULTS as error:
            _judge(variant, check, error, tally)
        else:
            tally.add(check.name, Trial(flagged=False, words=""))


def _judge(variant: Judged, check: Check, error: Exception, tally: Tally) -> None:
    """Count a check that failed. A broken variant is caught in the words meant for it, not by a mistake of its own."""
    words = f"{type(error).__name__}: {error}" if isinstance(error, ServerError) else str(error)
    meant = variant.is_sound or variant.says in words
    tally.add(check.name, Trial(flagged=meant, words=words))
    if not meant and not tally.flagged:
        tally.words = f"{check.name} says {words[:200]!r}, not {variant.says!r}"
