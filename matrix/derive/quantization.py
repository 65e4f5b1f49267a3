"""Algorithms of quantization, and what they cost the probe model, with the checks that a look-up relies on."""

from __future__ import annotations

from matrix.derive.additions import sourced_cells
from matrix.derive.reader import Entry, ShapeError, load_source
from matrix.derive.writer import ProductDraft, RowDraft
from pytest_trtcheck.rules.quantization import ACCURACY, ALGORITHMS, DTYPES, GRANULARITIES, NUMBERS, SCALES

FILES = {ALGORITHMS: "quantization.yaml", ACCURACY: "quantized_accuracy.yaml"}
_WORDS = {
    "weights": NUMBERS,
    "activations": NUMBERS,
    "kv_cache": NUMBERS,
    "granularity": GRANULARITIES,
    "activation_granularity": GRANULARITIES,
    "scale": SCALES,
    "dtype": DTYPES,
}


def derive() -> list[ProductDraft]:
    """Return both products."""
    algorithms, accuracy = (_read(product, file) for product, file in FILES.items())
    names = {row.version for row in algorithms.rows}
    for row in accuracy.rows:
        _check_figures(row, names)
    return [algorithms, accuracy]


def _read(product: str, file: str) -> ProductDraft:
    top = Entry(load_source(file), file)
    top.text("schema")
    if "shared" in top:
        # Values that several rows name; YAML has put them where they belong.
        top.raw("shared")
    draft = ProductDraft(product, top.text("read_on"), (file,))
    for entry in top.entries("rows", "name"):
        row = draft.row(entry.text("name"))
        usual = {"source": entry.text("source"), "confidence": entry.text("confidence")}
        for name, fact in sourced_cells(entry.raw("cells"), usual, entry.path):
            row.put(name, fact.value, fact)
        entry.done()
        _check_words(row)
    top.done()
    return draft


def _check_words(row: RowDraft) -> None:
    for name, words in _WORDS.items():
        if name in row.cells and row.value(name) not in words:
            raise ShapeError(f"{row.id}.{name}: expected one of {', '.join(words)}, found {row.value(name)!r}")
    if row.product == ALGORITHMS and (row.cells.get("granularity", {}).get("value") == "group") != (
        "group_size" in row.cells
    ):
        raise ShapeError(f"{row.id}: expected a group size exactly where the granularity is a group")


def _check_figures(row: RowDraft, algorithms: set[str]) -> None:
    """Raise ShapeError where a figure is of no algorithm, or cannot be: a bar that nothing can miss is none."""
    named = [row.value(name) for name in ("algorithm",) if name in row.cells]
    named += [f"{row.value(name)}_kv" for name in ("kv_cache",) if name in row.cells]
    foreign = [name for name in named if name not in algorithms]
    if foreign:
        raise ShapeError(f"{row.id}: product {ALGORITHMS} has no row {', '.join(foreign)}")
    for questions in ("easy", "hard"):
        asked, right = row.value(f"{questions}_asked"), row.value(f"{questions}_right")
        if not 0 < right <= asked:
            raise ShapeError(f"{row.id}: {right} of {asked} right in the {questions} sets")
    calibrations, calibrated = row.value("calibrations"), row.value("calibrated_families")
    if not 0 <= 2 * calibrated <= calibrations or (calibrations and not calibrated):
        found = f"{calibrations} calibrations of {calibrated} families"
        raise ShapeError(
            f"{row.id}: expected two calibrations at least of each family that is calibrated, found {found}"
        )
