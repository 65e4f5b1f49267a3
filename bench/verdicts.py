"""What judging described stacks costs: ``python -m bench.verdicts [--stacks N]``.

The stacks are the real ones of tests/data with versions varied, so that neither the rows nor the caches see the same
stack each time. Load is the import of the engine, the catalogue, and the first stack that is judged.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent.parent / "tests" / "data"
_DRIVERS = ("470.57.02", "525.60.13", "535.230.02", "550.54.15", "570.124.06", "580.65.06", "590.44.01")
_GPUS = (
    "NVIDIA H100 80GB HBM3",
    "NVIDIA A100-SXM4-80GB",
    "Tesla T4",
    "GeForce RTX 4090",
    "GeForce RTX 5090",
    "Tesla V100",
)
_TORCH = ("2.2.0", "2.4.0+cu121", "2.6.0+cu124", "2.7.0+cu128", "2.9.0+cu128", "2.13.0+cu130")


def varied(cases: list[dict[str, Any]], count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return that many environments, each one of the cases with some values replaced."""
    draw = random.Random(seed)
    pools = {"driver": _DRIVERS, "gpu": _GPUS, "torch": _TORCH}
    environments = []
    for number in range(count):
        environment = dict(cases[number % len(cases)]["environment"])
        for key, pool in pools.items():
            if draw.random() < 0.5:
                environment[key] = draw.choice(pool)
        environment["extra"] = {"number": number}
        environments.append(environment)
    return environments


def child(count: int) -> dict[str, float]:
    """Measure in a fresh process and return the figures."""
    import yaml

    cases = [
        case for path in sorted(DATA.glob("*environments.yaml")) for case in yaml.safe_load(path.read_text())["cases"]
    ]
    environments = varied(cases, count)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    from pytest_trtcheck.described.describe import describe
    from pytest_trtcheck.model.level import Level
    from pytest_trtcheck.rules.catalogue import load_catalogue
    from pytest_trtcheck.rules.load import load_matrix
    from pytest_trtcheck.verdict import evaluate, overall

    matrix, catalogue = load_matrix(), load_catalogue()
    evaluate(describe(environments[0], "first", "bench"), matrix, catalogue, level=Level.STATIC)
    load = time.perf_counter() - start
    stacks = [describe(environment, str(number), "bench") for number, environment in enumerate(environments)]
    start = time.perf_counter()
    for stack in stacks:
        overall(evaluate(stack, matrix, catalogue, level=Level.STATIC).findings)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    for number, environment in enumerate(environments):
        overall(evaluate(describe(environment, str(number), "bench"), matrix, catalogue, level=Level.STATIC).findings)
    both = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "load_ms": load * 1000, "stacks_per_second": count / seconds, "with_reading_per_second": count / both,
        "peak_mb": peak, "of_it_before_load_mb": before,
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=__doc__)
    parser.add_argument("--stacks", type=int, default=10_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options.stacks)))
        return 0
    command = [sys.executable, "-m", "bench.verdicts", "--child", "--stacks", str(options.stacks)]
    figures = [json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(3)]
    for name in figures[0]:
        values = sorted(one[name] for one in figures)
        print(f"{name:26}{values[1]:10.1f}   (of three: {values[0]:.1f} to {values[2]:.1f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
