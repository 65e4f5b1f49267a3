"""``python -m matrix.derive`` writes the row files, the schemas and the README table; ``--check`` compares them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matrix.derive import all_products, documents, stack_schema
from matrix.derive.reader import ShapeError

_MATRIX = Path(__file__).parent.parent


def main(arguments: Sequence[str]) -> int:
    """Return 0 when all is written or equal, 1 when a file differs, 2 when a source cannot be read."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m matrix.derive [--check]\n")
        return 2
    try:
        wanted = {**all_products.texts(), **documents.texts(), **stack_schema.texts()}
    except ShapeError as error:
        sys.stderr.write(f"matrix.derive: {error}\n")
        return 2
    differing = [name for name, text in wanted.items() if _read(_MATRIX / name) != text]
    stray = [f"rows/{path.name}" for path in (_MATRIX / "rows").iterdir() if f"rows/{path.name}" not in wanted]
    if arguments == ["--check"]:
        for name in (*differing, *stray):
            sys.stderr.write(f"matrix/{name} differs from what matrix/sources gives; run python -m matrix.derive\n")
        return 1 if differing or stray else 0
    for name in differing:
        (_MATRIX / name).write_text(wanted[name], encoding="utf-8")
        sys.stdout.write(f"wrote matrix/{name}\n")
    for name in stray:
        (_MATRIX / name).unlink()
    return 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
