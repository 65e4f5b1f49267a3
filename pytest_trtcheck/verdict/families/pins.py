"""Python, and Python packages, against what a release pins or a message asks for."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.rules.kinds import is_empty
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.families.containers import base_of_image
from pytest_trtcheck.verdict.neighbours import agreed
from pytest_trtcheck.verdict.route import is_built_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

_TAG = re.compile(r"\bcp(\d)(\d{1,2})\b(-abi3)?")
_PLATFORM = re.compile(r"(win|linux)_?(?:\w*_)?(x86_64|amd64|aarch64|arm64)")
_ARCH = {"x86_64": "x86_64", "amd64": "x86_64", "x64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_TENSORRT_LLM_PINS = {
    "pin_transformers": "transformers", "pin_numpy": "numpy", "pin_cuda_python": "cuda_python",
    "pin_mpi4py": "mpi4py", "pin_flashinfer_python": "flashinfer", "pin_onnx": "onnx",
}  # fmt: skip
_VLLM_PINS = {"pin_transformers": "transformers", "pin_numpy": "numpy"}


def pins(context: Context) -> Iterator[Finding | Unasked]:
    """Judge Python and the packages beside the engines."""
    if context.is_described:
        # Of a stack that is there, the metadata of its packages says this better.
        yield from _python(context)
        yield from _release_pins(context)
    yield from _wheel_tag(context)
    yield from _packages_built_for(context)
    yield from _stated(context)
    yield from _for_both(context)
    yield from _one_tensorrt(context)
    yield from _pynvml(context)
    yield from _known_pairs(context)


def _python(context: Context) -> Iterator[Finding]:
    have = context.value("python")
    if have is None:
        return
    for key, row, cell in _published(context):
        wanted = row.value(cell)
        words: Words = {
            "facts": ("python", key), "source": row.source(cell), "found": f"Python {have}",
            "expected": f"Python {wanted if isinstance(wanted, str) else ', '.join(wanted)} "
            f"for {title_of(key)} {context.value(key)}",
        }  # fmt: skip
        if isinstance(wanted, str):
            good = spans.within(have, wanted)
        else:
            answers = [spans.same_minor(have, text) for text in wanted]
            good = True if True in answers else None if None in answers else False
        if good:
            yield context.compatible("TRC-PYV-001", key, words)
        elif good is False:
            yield context.incompatible("TRC-PYV-001", key, words, components=("python", key))


def _published(context: Context) -> Iterator[tuple[str, Row, str]]:
    """Yield component, row and cell that names the Python versions with a wheel."""
    tensorrt = context.value("tensorrt")
    row = context.match("tensorrt", tensorrt) if tensorrt and context.given("tensorrt") else None
    cells: tuple[str, ...] = ("python_wheels", "python_wheels_cu12", "python_wheels_cu13")
    if any("apt" in text.lower() or "deb" in text.lower() for text in context.values("install")):
        cells = ("deb_python",)
    cell = next((cell for cell in cells if row is not None and row.value(cell)), "")
    if row is not None and cell and not context.has("triton_container"):
        yield "tensorrt", row, cell
    torch = context.package("torch")
    row = context.match("torch", torch.public) if torch and context.given("torch") else None
    if row is not None and row.value("python"):
        yield "torch", row, "python"
    text = context.value("vllm")
    known = agreed(context.matrix, "vllm", text, "requires_python") if text else None
    if known is not None:
        yield "vllm", known[0], "requires_python"


def _wheel_tag(context: Context) -> Iterator[Finding]:
    yield from _wheel_platform(context)
    have = context.value("python")
    if have is None and context.has("wheel_tag"):
        yield context.unknown(
            "TRC-PYV-002", "wheel_tag", facts=("wheel_tag", "python"), found="Python of unknown version",
            expected=f"the Python of a wheel tagged {context.value('wheel_tag')}",
            detail="the version of Python is needed to decide", remedy="python --version tells.",
        )  # fmt: skip
    for text in context.values("wheel_tag") if have else ():
        match = _TAG.search(text)
        if not match or not have:
            continue
        wanted = f"{match[1]}.{match[2]}"
        is_abi3 = bool(match[3]) or "abi3" in text
        good = spans.within(have, f">={wanted}") if is_abi3 else spans.same_minor(have, wanted)
        words: Words = {"facts": ("wheel_tag", "python"), "expected": f"Python {wanted} for a wheel tagged {text}",
                        "found": f"Python {have}"}  # fmt: skip
        if good:
            yield context.compatible("TRC-PYV-002", "wheel_tag", words)
        elif good is False:
            yield context.incompatible("TRC-PYV-002", "wheel_tag", words, components=("python", "wheel_tag"))


def _wheel_platform(context: Context) -> Iterator[Finding]:
    """Hold the platform in a single wheel's tag against processor and operating system."""
    tags = context.values("wheel_tag")
    match = _PLATFORM.search(tags[0].lower()) if len(tags) == 1 else None
    arch, system = _ARCH.get((context.value("arch") or "").lower(), ""), (context.value("os") or "").lower()
    if match is None:
        return
    for key, wanted, have in (
        ("arch", _ARCH[match[2]], arch),
        (
            "os",
            "windows" if match[1] == "win" else "linux",
            ("windows" if "windows" in system else "linux") * bool(system),
        ),
    ):
        words: Words = {"facts": ("wheel_tag", key), "expected": f"{wanted} for a wheel tagged {tags[0]}",
                        "found": context.value(key) or ""}  # fmt: skip
        if have and have != wanted:
            yield context.incompatible("TRC-PYV-002", f"wheel_{key}", words, components=("wheel_tag", key))
        elif have:
            yield context.compatible("TRC-PYV-002", f"wheel_{key}", words)


def _packages_built_for(context: Context) -> Iterator[Finding]:
    built, have = context.value("python_packages_built_for"), context.value("python")
    if have is None:
        have = base_of_image(context)[1]
    if not built or not have:
        return
    words: Words = {
        "facts": ("python_packages_built_for", "python", "triton_container"),
        "expected": f"packages installed for Python {have}", "found": f"packages for Python {built}",
    }  # fmt: skip
    same = spans.same_minor(built, have)
    if same:
        yield context.compatible("TRC-PYV-003", "packages", words)
    elif same is False:
        at_fault = ("python_packages_built_for", "python", "backend")
        yield context.incompatible("TRC-PYV-003", "packages", words, components=at_fault)


def _release_pins(context: Context) -> Iterator[Finding]:
    version = context.package("tensorrt_llm")
    row = context.match("tensorrt_llm", version.public) if version else None
    if row is not None:
        for cell, key in _TENSORRT_LLM_PINS.items():
            pin = row.value(cell)
            if pin and context.value(key):
                yield _pinned(context, "tensorrt_llm", key, str(pin), row, cell)
    text = context.value("vllm")
    for cell, key in _VLLM_PINS.items() if text else ():
        known = agreed(context.matrix, "vllm", text or "", cell) if context.value(key) else None
        if known and known[1]:
            yield _pinned(context, "vllm", key, str(known[1]), known[0], cell)


def _pinned(context: Context, by: str, key: str, pin: str, row: Row, cell: str) -> Finding:
    """Below a pin's lower bound, or of another major, something that is imported is missing; else it mostly works."""
    have = context.value(key) or ""
    words: Words = {
        "facts": (key, by), "source": row.source(cell),
        "expected": f"{title_of(key)} {pin} for {title_of(by)} {context.value(by)}", "found": f"{title_of(key)} {have}",
        "remedy": f"pip install '{key.replace('_', '-')}{pin}'",
    }  # fmt: skip
    met = spans.meets(have, pin)
    if met:
        return context.compatible("TRC-PIN-001", f"{by}-{key}", words)
    if met is False and _breaks(have, pin):
        return context.incompatible("TRC-PIN-001", f"{by}-{key}", words, components=(key, by))
    return context.compatible("TRC-PIN-001", f"{by}-{key}", words, severity=Severity.WARNING,
                              detail="outside the release's own requirement, with which it was tested")  # fmt: skip


def _breaks(have: str, pin: str) -> bool:
    """Say whether a version is below a lower bound, or of another major than the pin lets in."""
    number, span = spans.dotted(have), spans.ranged(pin)
    if number is None or span is None:
        return False
    for operator, bound, _ in span.clauses:
        if operator in {">=", ">", "=="} and (number.major != bound.major or number < bound):
            return True
        if (
            operator in {"<", "<="}
            and number.major >= bound.major
            and (len(bound.parts) == 1 or number.major > bound.major)
        ):
            return True
    return False


def _stated(context: Context) -> Iterator[Finding]:
    """Judge transformers by what a message or the package's metadata says that it needs."""
    have = context.value("transformers")
    for by in ("tensorrt_llm", "vllm"):
        wanted = context.value(f"transformers_required_by_{by}")
        if not wanted or not have:
            continue
        pin = wanted if spans.is_bound(wanted) else f"{'==' if by == 'tensorrt_llm' else '>='}{wanted}"
        words: Words = {
            "facts": ("transformers", f"transformers_required_by_{by}", by),
            "expected": f"Transformers {pin} for {title_of(by)}", "found": f"Transformers {have}",
            "remedy": f"pip install 'transformers{pin}'",
        }  # fmt: skip
        met = spans.meets(have, pin)
        if met:
            yield context.compatible("TRC-PIN-002", by, words)
        elif met is False:
            yield context.incompatible("TRC-PIN-002", by, words, components=("transformers", by))
        else:
            yield context.unknown("TRC-PIN-002", by, words, detail="the full version is needed to decide")


def _for_both(context: Context) -> Iterator[Finding]:
    """Say whether one release of transformers meets both who ask for it."""
    asked = [
        wanted if spans.is_bound(wanted) else f"=={wanted}"
        for by in ("tensorrt_llm", "vllm")
        if (wanted := context.value(f"transformers_required_by_{by}"))
    ]
    span = spans.ranged(",".join(asked)) if len(asked) > 1 else None
    if span is None:
        return
    words: Words = {
        "facts": ("transformers_required_by_tensorrt_llm", "transformers_required_by_vllm", "tensorrt_llm", "vllm"),
        "expected": "one release of transformers for TensorRT-LLM and vLLM", "found": " and ".join(asked),
        "remedy": "Install the two in environments of their own.",
    }  # fmt: skip
    if is_empty(span):
        at_fault = ("transformers", "tensorrt_llm", "vllm")
        yield context.incompatible("TRC-PIN-002", "both", words, components=at_fault)
    else:
        yield context.compatible("TRC-PIN-002", "both", words)


def _one_tensorrt(context: Context) -> Iterator[Finding]:
    """Hold tensorrt, tensorrt-cu12 and its bindings against each other: each asks for the very release of the next."""
    found = {
        key: value
        for key in ("tensorrt_cu12_bindings", "tensorrt_cu12", "tensorrt")
        if (value := context.value(key)) and context.given(key) and not spans.is_bound(value)
    }
    if len(found) < 2:
        return
    words: Words = {
        "facts": tuple(found), "expected": "tensorrt, tensorrt-cu12 and tensorrt-cu12-bindings of one release",
        "found": ", ".join(f"{title_of(key)} {value}" for key, value in found.items()),
        "remedy": "pip install tensorrt-cu12==N tensorrt-cu12-bindings==N tensorrt-cu12-libs==N, all of one release N.",
    }  # fmt: skip
    texts = list(found.values())
    same = [spans.same_numbers(texts[0], text, 3) for text in texts[1:]]
    if False in same:
        yield context.incompatible("TRC-PIN-005", "tensorrt", words, components=tuple(found))
    elif None not in same:
        yield context.compatible("TRC-PIN-005", "tensorrt", words)


def _pynvml(context: Context) -> Iterator[Finding]:
    """From 11.5 on pynvml calls functions of NVML that older drivers lack; TensorRT-LLM 0.6 needs that release."""
    have = context.value("pynvml")
    if have is None:
        return
    row = context.row("pynvml", "11.5.0")
    wanted, driver = row.value("min_driver") if row else None, context.value("driver")
    if row is not None and wanted and driver:
        new, old_driver = spans.within(have, ">=11.5"), spans.within(driver, str(wanted)) is False
        words: Words = {
            "facts": ("pynvml", "driver"), "source": row.source("min_driver"),
            "expected": f"driver {wanted} for pynvml {row.version} and newer",
            "found": f"pynvml {have}, driver {driver}",
        }  # fmt: skip
        if new and old_driver:
            yield context.incompatible("TRC-PIN-003", "driver", words, components=("pynvml", "driver"))
        elif new is False or spans.within(driver, str(wanted)):
            yield context.compatible("TRC-PIN-003", "driver", words)
    version = context.package("tensorrt_llm")
    release = context.row("tensorrt_llm", version.public) if version else None
    lowest = release.value("min_pynvml") if release else None
    if release is None or not lowest:
        return
    words = {
        "facts": ("pynvml", "tensorrt_llm"), "source": release.source("min_pynvml"),
        "expected": f"pynvml {lowest} for TensorRT-LLM {version}", "found": f"pynvml {have}",
    }  # fmt: skip
    good = spans.within(have, str(lowest))
    if good:
        yield context.compatible("TRC-PIN-003", "tensorrt_llm", words)
    elif good is False:
        yield context.incompatible("TRC-PIN-003", "tensorrt_llm", words, components=("pynvml", "tensorrt_llm"))


def _known_pairs(context: Context) -> Iterator[Finding]:
    """Pairs that are known to break, each a row of its own; the second may be a GPU by its capability."""
    for row, key, other in _pairs(context.matrix):
        have, partner = context.value(key), context.value(other)
        if not have or not partner or not spans.within(partner, str(row.value("with_versions"))):
            continue
        if row.value("when") and context.value(str(row.value("when"))) != row.value("when_is"):
            continue
        if row.value("wheels_only") and is_built_here(context):
            continue
        words: Words = {
            "facts": (key, other), "source": row.source("versions"),
            "expected": f"not {title_of(key)} {row.value('versions')} "
            f"with {title_of(other)} {row.value('with_versions')}",
            "found": f"{title_of(key)} {have}, {title_of(other)} {partner}",
        }  # fmt: skip
        bad = spans.within(have, str(row.value("versions")))
        if bad is False:
            yield context.compatible("TRC-PIN-004", f"{key}-{other}", words)
        elif bad and row.value("certain") is False:
            yield context.unknown(
                "TRC-PIN-004", f"{key}-{other}", words, detail=f"reported for some builds: {row.value('symptom')}; "
                "starting it once tells",
            )  # fmt: skip
        elif bad:
            yield context.incompatible(
                "TRC-PIN-004", f"{key}-{other}", words, components=(key, other), detail=str(row.value("symptom"))
            )


@lru_cache(maxsize=50)
def _pairs(matrix: Matrix) -> tuple[tuple[Row, str, str], ...]:
    return tuple((row, str(row.value("component")), str(row.value("with"))) for row in matrix.rows("known_break"))
