"""How long the engine suite's cases take to build, cold and with a timing cache, and to load from their plans.

    python -m bench.engines [LEVEL]

By TensorRT on a GPU where there are both; else by the suite's stand-in, which says nothing of TensorRT and shows only
that the figures come out. Each case is built twice, so that the second build may use the first one's timing cache.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import pairwise
from typing import Any

from pytest_trtcheck._suites.engine.cases import cases
from pytest_trtcheck._suites.engine.numerics import Drawn
from pytest_trtcheck._suites.engine.standin import Standin
from pytest_trtcheck.model.level import Level
from pytest_trtcheck.providers.base import Where
from pytest_trtcheck.providers.engine import BuildRequest, EngineCase


def provider_here() -> tuple[Any, Where]:
    """Return TensorRT where it has a GPU, else the stand-in."""
    from pytest_trtcheck.probe.host import probe_host

    stack = probe_host(Level.QUICK)
    if not (stack.get("tensorrt").is_found and stack.gpus):
        return Standin(), Where("cpu")
    from pytest_trtcheck._suites.engine.providers.tensorrt import TensorRTEngines

    return TensorRTEngines(), Where("cuda", stack.gpus[0].compute_capability, stack.versions)


def timed(provider: Any, case: EngineCase) -> tuple[float, float, float, int]:
    """Return seconds to build cold, to build with the timing cache, to load; and the size of the plan in bytes."""
    drawn = Drawn.of(case, 0)
    weights, batches = drawn.weights, drawn.batches(case) if case.calibrated else ()
    marks = [time.perf_counter()]
    first = provider.build(case, weights, BuildRequest(timing_cache=b"", batches=batches))
    marks.append(time.perf_counter())
    provider.build(case, weights, BuildRequest(timing_cache=first.timing_cache, batches=batches))
    marks.append(time.perf_counter())
    provider.load(first.plan).close()
    marks.append(time.perf_counter())
    cold, cached, loaded = (after - before for before, after in pairwise(marks))
    return cold, cached, loaded, len(first.plan)


def main() -> None:
    level = Level(sys.argv[1] if len(sys.argv) > 1 else "quick")
    provider, where = provider_here()
    able = [case for case in cases(level) if not provider.why_not(case, where)]
    print(f"{provider.name}, {len(able)} cases, load of the machine {os.getloadavg()[0]:.1f}")
    print(f"{'case':28} {'cold s':>8} {'cached s':>9} {'load s':>8} {'plan KiB':>9}")
    sums = [0.0, 0.0, 0.0]
    for case in able:
        *seconds, size = timed(provider, case)
        sums = [total + one for total, one in zip(sums, seconds, strict=True)]
        print(f"{case.name:28} {seconds[0]:8.3f} {seconds[1]:9.3f} {seconds[2]:8.3f} {size / 1024:9.1f}")
    print(f"{'all':28} {sums[0]:8.3f} {sums[1]:9.3f} {sums[2]:8.3f}")


if __name__ == "__main__":
    main()
