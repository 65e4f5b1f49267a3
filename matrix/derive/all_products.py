"""All row files at once: what each source gives, and what follows from several."""

from __future__ import annotations

from matrix.derive import (
    additions,
    attention,
    containers,
    cuda,
    gpus,
    libraries,
    quantization,
    tensorrt,
    tensorrt_llm,
    torch,
)
from matrix.derive.reader import ShapeError
from matrix.derive.writer import ProductDraft, render
from pytest_trtcheck.rules.products import load_products


def drafts() -> list[ProductDraft]:
    """Return every product."""
    families, toolkits, forward, sm = cuda.derive()
    gpu = gpus.derive(sm)
    cuda.link_sm(toolkits, sm)
    triton, ngc = containers.derive(families)
    sourced = [
        families,
        toolkits,
        forward,
        sm,
        gpu,
        torch.derive(),
        *tensorrt.derive(),
        tensorrt_llm.derive(),
        triton,
        ngc,
        *libraries.derive(),
        attention.derive(),
        *quantization.derive(),
    ]
    return additions.apply(sourced)


def texts() -> dict[str, str]:
    """Return the text of every row file by its name under matrix/."""
    result = {f"rows/{draft.product}.json": render(draft) for draft in drafts()}
    missing = set(load_products()) - {name[len("rows/") : -len(".json")] for name in result}
    if missing:
        raise ShapeError(f"products.json names products that no source gives: {sorted(missing)}")
    return result
