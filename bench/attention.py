"""What the attention suite costs: whole levels, cases per second by provider, memory, and upstream's grid beside 255 s.

``python -m bench.attention [LEVEL ...]`` where torch is installed; levels quick and standard unless named.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

import torch

from bench.measure import columns, machine
from pytest_trtcheck._suites.attention.cases import cases
from pytest_trtcheck._suites.attention.plan import beyond_compile_time
from pytest_trtcheck._suites.attention.providers import pytest_trtcheck_attention_providers
from pytest_trtcheck._suites.attention.upstream import GRID, SECONDS_UPSTREAM, run_grid_case
from pytest_trtcheck._suites.attention.workbench import Workbench
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.probe.host import probe_host
from pytest_trtcheck.providers import AttentionProvider, Where, component_of
from pytest_trtcheck.providers.attention import compilation_of

SEED = 1
LONGEST_COMPILATION = 2.0


def main() -> None:
    levels = [Level(name) for name in sys.argv[1:]] or [Level.QUICK, Level.STANDARD]
    where = _where()
    print(
        f"torch {torch.__version__} on {torch.cuda.get_device_name() if where.device == 'cuda' else 'cpu'}, {machine()}"
    )
    for level in levels:
        print(f"\npytest --trtcheck --trtcheck-level {level.value}: {_run(level)}")
    providers = [
        provider
        for provider in pytest_trtcheck_attention_providers()
        if not component_of(provider) or component_of(provider) in where.versions
    ]
    for level in levels:
        print(f"\nlevel {level.value}, in one process, provider and judgement without the reference:")
        _by_provider(providers, where, level)
        print(f"memory: {_memory(where.device)}")
    print(f"\nupstream's grid, {len(GRID)} cases; upstream itself takes {SECONDS_UPSTREAM:.0f} s, most of it building:")
    _grid(providers, where)


def _where() -> Where:
    stack = probe_host(Level.STATIC)
    gpu = torch.cuda.is_available()
    capability = ".".join(map(str, torch.cuda.get_device_capability())) if gpu else ""
    distributions = {entry.name: entry.version for entry in stack.distributions}
    return Where("cuda" if gpu else "cpu", capability, stack.versions, distributions)


def _run(level: Level) -> str:
    """Run the suite as a user does and return how long it took, and pytest's last line."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--trtcheck", "-k", "attention"]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, f"--trtcheck-level={level.value}", "--trtcheck-seed=1"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.perf_counter() - start
        return f"{seconds:.1f} s; {done.stdout.strip().splitlines()[-1].strip('= ')}"


def _by_provider(providers: list[AttentionProvider], where: Where, level: Level) -> None:
    seconds: dict[str, list[float]] = defaultdict(list)
    first: dict[str, float] = {}
    states: dict[str, list[str]] = defaultdict(list)
    reference: list[float] = []
    bench = Workbench()
    able = {
        provider.name: [case for case in cases(level) if not provider.why_not(case, where)] for provider in providers
    }
    beyond = {
        pair for provider in providers for pair in beyond_compile_time(provider, able[provider.name], where, level)
    }
    for case in cases(level):
        start = time.perf_counter()
        bench.lay_out(case, SEED, where.device)
        _synchronize(where)
        reference.append(time.perf_counter() - start)
        for provider in providers:
            if case not in able[provider.name] or (provider.name, case.name) in beyond:
                continue
            for turn in range(2):
                start = time.perf_counter()
                judgement = bench.judge(provider)
                took = time.perf_counter() - start
                if turn:
                    seconds[provider.name].append(took)
                    states[provider.name].append(judgement.state)
                else:
                    # What compiles does so here.
                    first[provider.name] = first.get(provider.name, 0.0) + took
    rows = [
        (
            name,
            str(len(times)),
            f"{len(times) / sum(times):.0f}",
            f"{statistics.median(times) * 1000:.1f}",
            f"{first[name]:.1f}",
            f"{states[name].count('passed')}/{states[name].count('failed')}/{states[name].count('refused')}",
        )
        for name, times in seconds.items()
    ]
    print(columns(("provider", "cases", "cases/s", "median ms", "first pass s", "passed/failed/refused"), rows))
    print(
        f"inputs and reference, once per case: {sum(reference):.1f} s, "
        f"median {statistics.median(reference) * 1000:.1f} ms"
    )


def _grid(providers: list[AttentionProvider], where: Where) -> None:
    rows = []
    for provider in providers:
        able = [case for case in GRID if not provider.why_not(case.attention, where)]
        compilation = compilation_of(provider, GRID[-1].attention, where)
        if not able or (compilation and compilation[1] > LONGEST_COMPILATION):
            rows.append((provider.name, str(len(able)), "", "", "left out: compiles" if able else ""))
            continue
        start = time.perf_counter()
        try:
            outcomes = [run_grid_case(case, provider, where.device, SEED) for case in able]
        except Exception as error:  # noqa: BLE001 - one library's refusal is a row of the table
            rows.append((provider.name, str(len(able)), "", "", str(error).partition("\n")[0][:50]))
            continue
        took = time.perf_counter() - start
        kernel = sum(outcome.seconds for outcome in outcomes)
        passed = sum(outcome.passed for outcome in outcomes)
        rows.append((provider.name, str(len(able)), f"{took:.1f}", f"{kernel:.2f}", f"{passed} passed"))
    print(columns(("provider", "cases", "seconds in all", "in the provider", "by upstream's criterion"), rows))


def _synchronize(where: Where) -> None:
    if where.device == "cuda":
        torch.cuda.synchronize()


def _memory(device: str) -> str:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    gpu = f", GPU {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB allocated at most" if device == "cuda" else ""
    return f"process {peak:.0f} MiB{gpu}"


if __name__ == "__main__":
    main()
