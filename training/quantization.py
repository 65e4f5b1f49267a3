"""Measure what sound quantizations of the probe model lose: ``python -m training.quantization``.

Every sound variant of every algorithm answers the golden prompts, and where scales are fixed by calibration, so does
one of each family after many calibrations; two of each algorithm answer questions too, in fp32. Writes
``matrix/sources/quantized_accuracy.yaml``; ``python -m matrix.derive`` makes rows of it. Figures of variants go to
``--figures`` line by line, and those that stand there already are not measured again.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from pytest_trtcheck._suites.probe_llm.checkpoint import MODEL
from pytest_trtcheck._suites.quantization.cases import GOLDEN_LONGEST, SETUPS
from pytest_trtcheck._suites.quantization.fake import Convention
from pytest_trtcheck._suites.quantization.measure import KINDS, distance, questions_of, score
from pytest_trtcheck._suites.quantization.session import QuantizedSession
from pytest_trtcheck._suites.quantization.variants import calibrations_of, families_of
from pytest_trtcheck.providers import Model, Setup
from training.spread import FamilyLogs, spread

SEED = 4001
"""Questions that neither training nor calibration used."""
COUNTS = {"easy": 288, "hard": 512}
TARGET = Path(__file__).parent.parent / "matrix" / "sources" / "quantized_accuracy.yaml"

CALIBRATIONS = {"fp32": 32, "fp16": 4, "bf16": 4}
"""Of each family that is calibrated. The spread from one to the next is taken from fp32; a 16-bit type needs a mean."""

_ANSWERING = 2
"""Variants of each algorithm that answer questions, in fp32; the 16-bit types are given their figures."""


def asked_of(dtype: str, number: int) -> tuple[str, ...]:
    """Return the kinds of sets that variant ``number`` of an algorithm answers."""
    return KINDS if dtype == "fp32" and number < _ANSWERING else ()


def measured(setup: Setup, convention: Convention, kinds: Iterable[str]) -> dict[str, Any]:
    """Return the figures of one variant."""
    session_class = type("Variant", (QuantizedSession,), {"convention": convention})
    session = session_class(setup, Model(MODEL, MODEL / "lora", MODEL / "draft"), "cpu")
    found = distance(session, GOLDEN_LONGEST)
    figures: dict[str, Any] = {"divergence": found.divergence, "noise": found.noise, "places": found.places}
    for kind in kinds:
        result = score(session, questions_of(kind, COUNTS[kind], SEED))
        figures[kind] = [result.right, result.asked]
    session.close()
    return figures


def variants(dtypes: Iterable[str]) -> Iterator[tuple[str, Setup, str, Convention, tuple[str, ...]]]:
    """Yield name, setup, family, convention and questions of every variant."""
    for dtype in dtypes:
        for quantization, kv in SETUPS:
            number = 0
            setup = Setup(dtype, quantization, kv)
            calibrations = calibrations_of(quantization, kv, CALIBRATIONS[dtype] - 1)
            for family, conventions in families_of(quantization, kv).items():
                for convention in (*conventions, *calibrations.get(family, ())):
                    yield f"{setup.name} {convention.name}", setup, family, convention, asked_of(dtype, number)
                    number += 1


def rows(figures: dict[str, dict[str, Any]], dtypes: Iterable[str]) -> Iterator[str]:
    """Yield the lines of the source file."""
    by_setup: dict[Setup, list[tuple[str, Convention, dict[str, Any]]]] = {}
    for name, setup, family, convention, _ in variants(dtypes):
        by_setup.setdefault(setup, []).append((family, convention, figures[name]))
    for setup, found in by_setup.items():
        again = [family for family, convention, _ in found if convention.calibration_seed]
        cells: dict[str, Any] = {}
        cells |= {"algorithm": setup.quantization} if setup.quantization else {}
        cells |= {"kv_cache": setup.kv_dtype} if setup.kv_dtype else {}
        cells |= {"dtype": setup.dtype, "variants": len(found) - len(again)}
        cells |= {"families": len({family for family, *_ in found})}
        cells |= {"calibrations": len(again) + len(set(again)), "calibrated_families": len(set(again))}
        for kind in KINDS:
            counts = [one[kind] for *_, one in by_setup[_wide(setup)] if kind in one]
            right, asked = min(counts, key=lambda count: count[0] / count[1])
            cells |= {f"{kind}_asked": asked, f"{kind}_right": right}
        for statistic in ("divergence", "noise"):
            logs: dict[str, FamilyLogs] = {}
            for family, convention, one in found:
                logs.setdefault(family, FamilyLogs()).add(
                    one[statistic], recalibrated=bool(convention.calibration_seed)
                )
            spreads = spread(list(logs.values()))
            cells |= {f"{statistic}_log_{part}": round(value, 4) for part, value in spreads.items()}
        parts = filter(None, (setup.quantization, f"{setup.kv_dtype}_kv" if setup.kv_dtype else "", setup.dtype))
        yield f'- name: "{" ".join(parts)}"'
        yield "  source: *run"
        yield "  confidence: measured"
        yield f"  cells: {{{', '.join(f'{name}: {value}' for name, value in cells.items())}}}"


def _wide(setup: Setup) -> Setup:
    return Setup("fp32", setup.quantization, setup.kv_dtype)


def main() -> int:
    """Measure what is missing and write the source file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtypes", default="fp32,fp16,bf16")
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent / "quantization.jsonl")
    options = parser.parse_args()
    dtypes = options.dtypes.split(",")
    lines = options.figures.read_text(encoding="utf-8").splitlines() if options.figures.exists() else []
    figures = {name: found for line in lines for name, found in json.loads(line).items()}
    for name, setup, _, convention, kinds in variants(dtypes):
        if name not in figures:
            begin = time.monotonic()
            figures[name] = measured(setup, convention, kinds)
            with options.figures.open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: figures[name]}) + "\n")
            print(f"{name}: {figures[name]} in {time.monotonic() - begin:.1f} s", flush=True)
    run = f"python -m training.quantization, torch {torch.__version__}, {platform.machine()}, seed {SEED}"
    head = [
        "# What sound quantizations of the probe model lose. Written by `python -m training.quantization`.",
        "schema: quantized_accuracy/1",
        f'read_on: "{datetime.now(tz=timezone.utc).date().isoformat()}"',
        f'shared: {{run: &run "{run}"}}',
        "rows:",
    ]
    TARGET.write_text("\n".join([*head, *rows(figures, dtypes)]) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
