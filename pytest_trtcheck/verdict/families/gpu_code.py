"""Does every component carry code that runs on the GPUs? Judged by the code in its files, not by its version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.binaries.fatbin import Code, Kind
from pytest_trtcheck.binaries.running import How, architecture_of, parse_code, runs
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.model.report import Reason
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import NO_ROW_REMEDY, join

if TYPE_CHECKING:
    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

KEY, CHECK = "gpu_code", "TRC-GPU-001"
OTHERS = "others"
"""Subject of what belongs to no component."""
_ORDER = (How.NATIVE, How.JIT, How.OPEN, How.NONE)
_MAIN = {
    "torch": re.compile(r"libtorch_cuda(?:_cu|_cpp)?\.so"),
    "vllm": re.compile(r"_C\..*so"),
    "flash_attn": re.compile(r"flash_attn_2_cuda\..*so"),
    "tensorrt_llm": re.compile(r"libtensorrt_llm\.so"),
    "xformers": re.compile(r"_C(?:\..*)?\.so"),
}
"""The file without whose kernels a package is of no use; of others, code in any file will do."""
_BRINGS_MORE = frozenset(
    {"tensorrt", "tensorrt_plugin", "tensorrt_lean", "tensorrt_dispatch", "cudnn", "flashinfer", "triton_lang", "cupy"}
)
"""These hold code in forms of their own, or compile it while they run: what is not seen in them may be there."""


@dataclass(frozen=True)
class _File:
    """One file with GPU code, held against one GPU."""

    path: str
    how: How
    code: Code | None
    """The best piece."""
    pieces: int
    running: int
    """How many of the pieces run there."""

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


def gpu_code(context: Context) -> Iterator[Finding | Unasked]:
    """Judge each component that carries GPU code, for each distinct capability of the GPUs."""
    fact = context.fact(KEY)
    if not fact.is_found:
        return
    gpus = _gpus(context)
    if not gpus:
        reason = context.fact("sm").reason or "no GPU, so no compute capability to compare with"
        yield context.unasked(CHECK, "all", Reason.NO_GPU, reason)
        return
    by_component: dict[str, list[Mapping[str, Any]]] = {}
    for file in fact.details.get("files", ()):
        by_component.setdefault(str(file["component"]), []).append(file)
    for key, files in by_component.items():
        for capability, names in gpus.items():
            subject = key or OTHERS
            subject = subject if len(gpus) == 1 else f"{subject}-sm_{architecture_of(capability)}"
            held = [_held(file, architecture_of(capability)) for file in files]
            words: Words = {"facts": ("sm", "gpu", key or KEY), "expected": f"code that runs on {join(names)}"}
            yield (_component if key else _others)(context, key, subject, held, words, capability)


def _gpus(context: Context) -> dict[str, list[str]]:
    """Return the names of the GPUs by capability, with the capability: ``H100 (9.0)``."""
    pairs = [(gpu.compute_capability, gpu.name) for gpu in context.stack.gpus]
    sm = context.fact("sm")
    told = sm.details.get("all") or ([sm.value] if sm.is_found and sm.value else [])
    pairs = pairs or list(zip(map(str, told), (*context.values("gpu"), *("GPU",) * len(told)), strict=False))
    found: dict[str, list[str]] = {}
    for text, name in pairs:
        capability = spans.capability(text)
        if capability:
            words = f"{name} ({capability.dotted})"
            names = found.setdefault(capability.dotted, [])
            names += [] if words in names else [words]
    return found


def _held(file: Mapping[str, Any], architecture: int) -> _File:
    sets = [([code for code in map(parse_code, text.split()) if code], int(count))
            for text, count in file["sets"].items()]  # fmt: skip
    judged = [one for one in sets if _is_general(one[0])] or sets
    found = [(runs(codes, architecture), count) for codes, count in judged]
    best = min((one for one, _ in found), key=lambda one: _ORDER.index(one.how))
    running = sum(count for one, count in found if one.how in {How.NATIVE, How.JIT})
    return _File(str(file["path"]), best.how, best.code, sum(count for _, count in found), running)


def _is_general(codes: Sequence[Code]) -> bool:
    """Say whether this set was compiled for several GPUs: a set for one is chosen by the library, not by the driver."""
    return len({code.number for code in codes if code.suffix not in {"a", "f"}}) > 1


def _component(
    context: Context, key: str, subject: str, files: Sequence[_File], words: Words, capability: str
) -> Finding:
    main = [file for file in files if key in _MAIN and _MAIN[key].fullmatch(file.name)] or files
    best = min(main, key=lambda file: (_ORDER.index(file.how), -file.running))
    if best.how is How.NATIVE:
        return context.compatible(CHECK, subject, words, found=_native_words(best), detail=_without(files))
    if best.how is How.JIT and best.code is not None:
        return _compiled(context, key, subject, best, words)
    if best.how is How.OPEN:
        return context.unknown(
            CHECK, subject, words, found=f"{best.code.text if best.code else ''} in {best.path}",
            detail="whether this code runs on it, neither the file nor a source tells",
        )  # fmt: skip
    words["found"] = f"{_codes(context, main)} in {best.path}"
    if key in _BRINGS_MORE:
        return context.unknown(
            CHECK, subject, words, severity=Severity.INFO,
            detail=f"{title_of(key)} also holds code in forms of its own, or compiles it; its release decides",
        )  # fmt: skip
    return context.incompatible(
        CHECK, subject, words, components=(key, "gpu"),
        detail="no kernel of it can be launched there: no kernel image is available for execution on the device",
        remedy=f"Use a build of {title_of(key)} that was compiled for sm_{architecture_of(capability)}.",
    )  # fmt: skip


def _native_words(file: _File) -> str:
    code = file.code.text if file.code else "machine code"
    part = "" if file.running == file.pieces else f", {file.running} of {file.pieces} fat binaries"
    return f"{code} in {file.name}{part}"


def _without(files: Sequence[_File]) -> str:
    empty = [file.name for file in files if file.how is How.NONE]
    return (
        f"nothing for it in {join(empty[:3])}{f' and {len(empty) - 3} more' if len(empty) > 3 else ''}" if empty else ""
    )


def _compiled(context: Context, key: str, subject: str, file: _File, words: Words) -> Finding:
    """Judge PTX by the driver: it compiles what its own CUDA release and older ones wrote."""
    ptx = file.code.ptx if file.code else ""
    row = context.row("ptx", ptx)
    words["found"] = f"only PTX, {file.code.text if file.code else ''} in {file.path}"
    if row is None:
        return context.unknown(
            CHECK, subject, words, detail=f"the matrix of {context.matrix.identity.date} has no row for PTX {ptx}",
            remedy=NO_ROW_REMEDY,
        )  # fmt: skip
    needs = f"PTX {ptx} needs the driver of CUDA {row.value('cuda')} ({row.value('min_driver')})"
    words |= {"source": row.source("min_driver"), "facts": (*words["facts"], "driver", "driver_cuda")}
    compiles = _driver_compiles(context, row)
    if compiles is False:
        have = context.value("driver") or context.value("driver_cuda")
        return context.incompatible(
            CHECK, subject, words, components=("driver", key), detail=f"{needs}, and this is {have}",
            remedy=f"Update the driver to branch {str(row.value('min_driver')).lstrip('>=')} or newer, or use a build "
            f"of {title_of(key)} with machine code for this GPU.",
        )  # fmt: skip
    detail = f"{needs}; it is compiled at first use, which takes time" if compiles else f"{needs}, which is not known"
    return context.compatible(CHECK, subject, words, severity=Severity.WARNING, detail=detail)


def _driver_compiles(context: Context, row: Row) -> bool | None:
    own, want = context.dotted("driver_cuda"), spans.dotted(row.value("cuda"))
    if own is not None and want is not None and len(own.parts) > 1:
        return (own.major, own.minor) >= (want.major, want.minor)
    given = context.value("driver")
    return spans.within(given, str(row.value("min_driver"))) if given else None


def _others(context: Context, key: str, subject: str, files: Sequence[_File], words: Words, capability: str) -> Finding:
    """Tell of files that belong to no component: whether anybody uses them is not known."""
    empty = [file for file in files if file.how is How.NONE]
    if not empty:
        return context.compatible(CHECK, subject, words, found=f"some in each of {len(files)} files")
    return context.compatible(
        CHECK, subject, words, severity=Severity.WARNING, found=f"nothing for it in {_paths(empty)}",
        detail=f"{len(files)} files that belong to no known component carry GPU code{' ' + key if key else ''}",
        remedy=f"Compile what of it is used for sm_{architecture_of(capability)}.",
    )  # fmt: skip


def _paths(files: Sequence[_File]) -> str:
    return join(file.path for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")


def _codes(context: Context, files: Sequence[_File]) -> str:
    """Return all architectures in these files, machine code first."""
    paths = {file.path for file in files}
    told = (one["sets"] for one in context.fact(KEY).details["files"] if one["path"] in paths)
    codes = {code for sets in told for text in sets for code in map(parse_code, text.split()) if code}
    listed = sorted(codes, key=lambda code: (code.kind is not Kind.SASS, code.number, code.suffix))
    return ", ".join(dict.fromkeys(code.text for code in listed))
