"""Does TensorRT-LLM stand among the releases that it was built with?"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.versions import ContainerTag, DottedVersion, PackageVersion
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import NO_ROW_REMEDY
from pytest_trtcheck.verdict.neighbours import bracket
from pytest_trtcheck.verdict.route import is_built_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

_CHECKS = {
    "TRC-LLM-001": "tensorrt",
    "TRC-LLM-002": "torch",
    "TRC-LLM-003": "cuda_runtime",
    "TRC-LLM-004": "python",
    "TRC-LLM-005": "triton_container",
}


def tensorrt_llm(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the partners of TensorRT-LLM by the row of its release."""
    version = context.package("tensorrt_llm")
    if version is None:
        if context.is_described and context.has("tensorrt_llm"):
            yield from _of_any_release(context)
        return
    row = context.match("tensorrt_llm", version.public)
    if row is None or (context.is_described and not any(row.value(cell) for cell in _PARTNERS)):
        yield from _no_row(context, version)
        yield from _container(context, version, None)
        return
    yield from _tensorrt(context, version, row)
    yield from _torch(context, version, row)
    yield from _cuda(context, version, row)
    yield from _python(context, version, row)
    yield from _container(context, version, row)


_PARTNERS = ("tensorrt", "torch", "cuda", "python")


@lru_cache(maxsize=2000)
def container_tag(text: str | None) -> ContainerTag | None:
    """Return the monthly tag in a tag or image name."""
    return ContainerTag.try_parse(text.rpartition(":")[2]) if text else None


def _of_any_release(context: Context) -> Iterator[Finding]:
    """Judge a release of unknown version: certain is only what no release of the matrix goes with."""
    for check, key, cell in (
        ("TRC-LLM-001", "tensorrt", "tensorrt"),
        ("TRC-LLM-003", "cuda_toolkit", "cuda"),
        ("TRC-LLM-003", "cuda_runtime", "cuda"),
        ("TRC-LLM-004", "python", "python"),
    ):
        have = context.value(key)
        if have is None or spans.is_bound(have) or (key == "cuda_toolkit" and context.has("torch_cuda")):
            continue
        rows = [row for row in context.matrix.rows("tensorrt_llm") if row.value(cell)]
        wanted = [str(text) for row in rows for text in _several(row.value(cell))]
        same = spans.same_minor if key == "python" else _same_major
        if any(same(have, text) is not False for text in wanted):
            continue
        yield context.incompatible(
            check, key, components=(key, "tensorrt_llm"), facts=(key, "tensorrt_llm"), source=rows[0].source(cell),
            expected=f"{title_of(key)} of some TensorRT-LLM release ({min(wanted, key=_order)} is the oldest)",
            found=f"{title_of(key)} {have}",
        )  # fmt: skip


def _several(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _same_major(one: str, other: str) -> bool | None:
    a, b = spans.dotted(one), spans.dotted(other)
    return a.major == b.major if a and b else None


def _order(text: str) -> tuple[int, ...]:
    version = spans.dotted(text)
    return version.parts if version else ()


def _no_row(context: Context, version: PackageVersion) -> Iterator[Finding]:
    """Say for each partner that is there that the matrix is silent, but for a torch that neither neighbour takes."""
    yield from _torch_of_neighbours(context, version)
    for check, key in _CHECKS.items():
        if context.has(key) and key != "triton_container":
            yield context.unknown(
                check, key, facts=(key, "tensorrt_llm"), expected=f"a row for TensorRT-LLM {version}",
                found=f"{title_of(key)} {context.value(key) or 'of unknown version'}",
                detail=f"the matrix of {context.matrix.identity.date} has no row for this release",
                remedy=NO_ROW_REMEDY, severity=Severity.INFO,
            )  # fmt: skip


def _torch_of_neighbours(context: Context, version: PackageVersion) -> Iterator[Finding]:
    have, around = context.package("torch"), bracket(context.matrix, "tensorrt_llm", version.text)
    if have is None or around is None or spans.is_ngc_torch(have.text) or is_built_here(context):
        return
    wanted = [str(row.value("torch")) for row in around if row.value("torch")]
    if len(wanted) < 2 or any(spans.same_minor(have.public, text) is not False for text in wanted):
        return
    if any(
        spans.meets(have.text, str(row.value("pin_torch"))) is not False for row in around if row.value("pin_torch")
    ):
        return
    yield context.incompatible(
        "TRC-LLM-002", "torch", facts=("torch", "tensorrt_llm"), source=around[1].source("torch"),
        components=("torch", "tensorrt_llm"), found=f"torch {have}",
        expected=f"torch {' or '.join(dict.fromkeys(wanted))}, as the releases before and after TensorRT-LLM {version}",
    )  # fmt: skip


def _pin(row: Row, name: str, version: PackageVersion) -> tuple[str, bool | None] | None:
    """Return the release's own requirement and whether the version meets it; None where the row has none."""
    text = row.value(f"pin_{name}")
    if not isinstance(text, str) or not text:
        return None
    return text, spans.meets(version.text, text)


def _answer(context: Context, check: str, key: str, words: Words, met: bool | None, remedy: str = "") -> Finding:
    if met:
        return context.compatible(check, key, words)
    if met is None:
        return context.unknown(check, key, words, detail="the version found is too short to decide")
    if remedy:
        words["remedy"] = remedy
    return context.incompatible(check, key, words, components=(key, "tensorrt_llm"))


def _same_release(have: DottedVersion, want: DottedVersion) -> bool | None:
    """Compare major and minor; None when the minor is not known."""
    if len(have.parts) < 2:
        return None if have.major == want.major else False
    return have.parts[:2] == (want.major, want.minor)


def _tensorrt(context: Context, version: PackageVersion, row: Row) -> Iterator[Finding]:
    have = context.dotted("tensorrt")
    wanted = row.value("tensorrt")
    if have is None or row.value("uses_tensorrt") is False or wanted is None:
        return
    want = spans.dotted(str(wanted))
    assert want
    words: Words = {
        "facts": ("tensorrt", "tensorrt_llm"),
        "source": row.source("tensorrt"),
        "expected": f"TensorRT {want} for TensorRT-LLM {version}",
        "found": f"TensorRT {context.value('tensorrt')}",
    }
    yield _answer(context, "TRC-LLM-001", "tensorrt", words, _same_release(have, want), f"pip install tensorrt=={want}")


def _torch(context: Context, version: PackageVersion, row: Row) -> Iterator[Finding]:
    have = context.package("torch")
    if have is None:
        return
    ngc, public = row.value("torch_ngc"), row.value("torch")
    pin = _pin(row, "torch", have)
    met: bool | None
    if ngc and str(ngc) == have.text:
        expected, met, cell = f"torch {ngc} of the NGC image", True, "torch_ngc"
    elif pin:
        expected, met, cell = f"torch {pin[0]}", pin[1], "pin_torch"
    elif public:
        want = spans.dotted(str(public))
        assert want
        expected, met, cell = f"torch {want}", bool(_same_release(have.base, want)), "torch"
    else:
        return
    words: Words = {
        "facts": ("torch", "tensorrt_llm"),
        "source": row.source(cell),
        "expected": f"{expected} for TensorRT-LLM {version}",
        "found": f"torch {have}",
    }
    remedy = f"pip install 'torch{pin[0]}'" if pin else f"pip install torch=={public}" if public else ""
    yield _answer(context, "TRC-LLM-002", "torch", words, met, remedy)


def _cuda(context: Context, version: PackageVersion, row: Row) -> Iterator[Finding]:
    wanted = row.value("cuda")
    key = next((key for key in ("torch_cuda", "cuda_runtime", "cuda_toolkit") if context.dotted(key)), None)
    have = context.dotted(key) if key else None
    if wanted is None or have is None or key is None:
        return
    want = spans.dotted(str(wanted))
    assert want
    component = "torch" if key == "torch_cuda" else key
    words: Words = {
        "facts": (key, "tensorrt_llm"),
        "source": row.source("cuda"),
        "expected": f"CUDA {want.major} (built with {want}) for TensorRT-LLM {version}",
        "found": f"CUDA {have} ({title_of(component)})",
    }
    yield _answer(context, "TRC-LLM-003", component, words, have.major == want.major)


def _python(context: Context, version: PackageVersion, row: Row) -> Iterator[Finding]:
    have, pythons = context.dotted("python"), row.value("python")
    if have is None or not pythons:
        return
    words: Words = {
        "facts": ("python", "tensorrt_llm"),
        "source": row.source("python"),
        "expected": f"Python {' or '.join(pythons)} for TensorRT-LLM {version}",
        "found": f"Python {have}",
    }
    yield _answer(context, "TRC-LLM-004", "python", words, have.major_minor in pythons)


def _base(text: str) -> str:
    """Return the release numbers of a package version, as ``0.9.0`` of a nightly of it."""
    version = spans.package(text)
    return version.base.text if version else ""


def _container(context: Context, version: PackageVersion, row: Row | None) -> Iterator[Finding]:
    tag = container_tag(context.value("triton_container"))
    container = context.row("triton_container", tag.month) if tag else None
    if tag is None or container is None:
        return
    shipped = container.value("tensorrt_llm")
    months = (row.value("triton_containers") or ()) if row else ()
    words: Words = {
        "facts": ("triton_container", "tensorrt_llm"),
        "source": container.source("tensorrt_llm"),
        "expected": f"TensorRT-LLM {shipped or 'of an unknown release'} in Triton {tag.month}",
        "found": f"TensorRT-LLM {version}",
    }
    if tag.month in months or (shipped and _base(str(shipped)) == _base(version.text)):
        yield context.compatible("TRC-LLM-005", "triton_container", words)
    elif shipped is None or "trtllm" not in tag.variant:
        why = (
            "the matrix does not know what this month ships"
            if shipped is None
            else "it is not known whether this is the TensorRT-LLM variant of the image"
        )
        yield context.unknown("TRC-LLM-005", "triton_container", words, detail=why, severity=Severity.INFO)
    else:
        yield context.incompatible(
            "TRC-LLM-005", "triton_container", words, components=("tensorrt_llm", "triton_container")
        )
