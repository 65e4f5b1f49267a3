"""What writing a report costs: ``python -m bench.reports [--checks N]``: every format of one large run, and masking."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TypeVar

from bench.measure import columns, machine
from pytest_trtcheck.report.formats import ALL
from pytest_trtcheck.report.identity import identity_of_here
from pytest_trtcheck.report.json_report import from_json, result_to_dict, to_json
from pytest_trtcheck.report.redact import Redactor
from tests.unit.test_report_html import large_report

T = TypeVar("T")


def best(runs: int, action: Callable[[], T]) -> tuple[float, T]:
    """Return the shortest processor time of several runs, in seconds, and what the last gave."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        given = action()
        times.append(time.process_time() - start)
    return min(times), given


def main() -> None:
    parser = argparse.ArgumentParser(description="Time every format of one large run.")
    parser.add_argument("--checks", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    report = large_report(options.checks)
    rows, total = [], 0.0
    for renderer in ALL:
        seconds, text = best(options.runs, lambda renderer=renderer: renderer.render(report))  # type: ignore[misc]
        total += seconds
        rows.append((renderer.name, f"{seconds:.3f} s", f"{len(text.encode()) / 1e6:.2f} MB"))
    rows.append(("all formats", f"{total:.3f} s", ""))
    masking, _ = best(options.runs, lambda: Redactor(identity_of_here()).report(report))
    reading, _ = best(options.runs, lambda: from_json(to_json(report)))
    rows += [("masking", f"{masking:.3f} s", ""), ("writing and reading JSON", f"{reading:.3f} s", "")]
    redactor = Redactor(identity_of_here())
    each, _ = best(options.runs, lambda: [redactor.value(result_to_dict(result)) for result in report.results])
    rows.append(("journal entry of a check", f"{each / options.checks * 1e6:.0f} us", ""))
    print(f"{options.checks} checks, best of {options.runs}, processor time; {machine()}")
    print(columns(("what", "time", "size"), rows))


if __name__ == "__main__":
    main()
