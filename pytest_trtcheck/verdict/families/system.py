"""glibc, libstdc++, platform, JetPack, MPI, and what WSL and MIG ask for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity, Source
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.base import join
from pytest_trtcheck.verdict.families.containers import base_of_image
from pytest_trtcheck.verdict.imply import jetpack_row
from pytest_trtcheck.verdict.neighbours import agreed
from pytest_trtcheck.verdict.route import is_built_here, is_from_index

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# The older names are left out: wheels of this field carry manylinux1 and need far more.
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_|manylinux(2014)_")
_GLIBCXX = re.compile(r"(?:GLIBCXX_)?3\.4\.(\d+)|(?:libstdc\+\+\.so\.)?6\.0\.(\d+)")
_OS_RELEASE = re.compile(r"([a-z]+)[ _-]?(\d{2})\.?(\d{2})?")
# The oldest kernel with GPU paravirtualisation for WSL 2.
_WSL_KERNEL = "4.19.121"
# Releases before the maintainer's statement in NVIDIA/nccl#1716 of May 2025; of later ones nothing is known.
_NCCL_WITHOUT_MIG = "<2.27"


def system(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the operating system and its libraries."""
    yield from _glibc(context)
    yield from _libstdcxx(context)
    yield from _platform(context)
    yield from _windows_wheels(context)
    yield from _package_os(context)
    yield from _jetpack(context)
    yield from _mpi(context)
    yield from _conditions(context)


def glibc_of_tag(text: str) -> str:
    """Return the glibc that a platform tag asks for; empty when it names none."""
    match = _MANYLINUX.search(text)
    if match is None:
        return ""
    return f"{match[1]}.{match[2]}" if match[1] else "2.17"


def _glibc(context: Context) -> Iterator[Finding]:
    have = context.value("glibc")
    if have is None or is_built_here(context):
        return
    for key, source, minimum in _floors(context):
        words: Words = {
            "facts": ("glibc", "os", key),
            "expected": f"glibc {minimum} for {title_of(key)} {context.value(key) or ''}",
            "found": f"glibc {have}",
        }  # fmt: skip
        if source is not None:
            words["source"] = source[0].source(source[1])
        good = spans.within(have, minimum)
        if good:
            yield context.compatible("TRC-SYS-001", key, words)
        elif good is False:
            yield context.incompatible("TRC-SYS-001", key, words, components=("glibc", key))


def _floors(context: Context) -> Iterator[tuple[str, tuple[Row, str] | None, str]]:
    """Yield component, row and cell, and the glibc that its wheel asks for."""
    for key in ("vllm", "flash_attn"):
        text = context.value(key)
        version = context.package(key)
        row = context.row(key, version.public) if version else None
        tag = agreed(context.matrix, key, text, "wheel_platform") if text and key == "vllm" else None
        if row is not None and row.value("min_glibc"):
            yield key, (row, "min_glibc"), str(row.value("min_glibc"))
        elif tag is not None and glibc_of_tag(str(tag[1])):
            yield key, (tag[0], "wheel_platform"), f">={glibc_of_tag(str(tag[1]))}"
    torch = context.package("torch")
    row = context.match("torch", torch.public) if torch else None
    platforms: tuple[str, ...] = (row.value("wheel_platforms") or ()) if row else ()
    if row is not None and len(platforms) == 1 and glibc_of_tag(platforms[0]):
        yield "torch", (row, "wheel_platforms"), f">={glibc_of_tag(platforms[0])}"
    named = [text for text in context.values("wheel_tag") if glibc_of_tag(text)]
    if named:
        yield "wheel_tag", None, f">={glibc_of_tag(named[0])}"


def _libstdcxx(context: Context) -> Iterator[Finding]:
    """Files of an image ask for the libstdc++ of its own gcc; an older one, as conda brings, lacks nodes."""
    text = context.value("libstdcxx")
    ubuntu = base_of_image(context)[0]
    distribution = context.match("os", f"Ubuntu {ubuntu}") if ubuntu else None
    wanted = str((distribution.value("glibcxx") if distribution else None) or "")
    have = _glibcxx(context, text)
    if distribution is None or not wanted or not have:
        return
    words: Words = {
        "facts": ("libstdcxx", "triton_container"), "source": distribution.source("glibcxx"),
        "expected": f"GLIBCXX_{wanted}, which programs of the image ask for (Ubuntu {ubuntu})",
        "found": f"GLIBCXX_{have} (libstdc++ {text})",
        "remedy": "conda install -c conda-forge 'libstdcxx-ng>=13', or build the stub in that environment.",
    }  # fmt: skip
    if spans.within(have, f">={wanted}"):
        yield context.compatible("TRC-SYS-002", "libstdcxx", words)
    else:
        yield context.incompatible("TRC-SYS-002", "libstdcxx", words, components=("libstdcxx", "triton_container"))


def _glibcxx(context: Context, text: str | None) -> str:
    """Return the newest GLIBCXX node of a libstdc++ given by node, file version or gcc major."""
    match = _GLIBCXX.search(text or "")
    if match:
        return f"3.4.{match[1] or match[2]}"
    row = context.row("libstdcxx", spans.major_of(text))
    return str(row.value("glibcxx")) if row else ""


def _platform(context: Context) -> Iterator[Finding]:
    """Hold operating system and processor against the platforms that a release has wheels for."""
    system, arch = (context.value("os") or "").lower(), (context.value("arch") or "").lower()
    if not context.has("tensorrt_llm") or not (system or arch):
        return
    version = context.package("tensorrt_llm")
    row = context.match("tensorrt_llm", version.public) if version else None
    rows = [row] if row else [] if version else list(context.matrix.rows("tensorrt_llm"))
    known = [row for row in rows if row.value("platforms")]
    if not known or context.has("jetpack"):
        return
    platforms = {name for row in known for name in row.value("platforms")}
    words: Words = {
        "facts": ("os", "arch", "tensorrt_llm"), "source": known[0].source("platforms"),
        "expected": f"one of {', '.join(sorted(platforms))} for TensorRT-LLM {version or 'of any release'}",
        "found": " ".join(filter(None, (context.value("os"), context.value("arch")))),
    }  # fmt: skip
    if system.startswith(("macos", "mac os", "darwin")) or (
        system.startswith("windows") and "windows" not in platforms
    ):
        yield context.incompatible("TRC-SYS-003", "tensorrt_llm", words, components=("os", "tensorrt_llm"))
    elif arch in {"aarch64", "arm64"} and not platforms & {"linux", "linux_aarch64"} and not is_built_here(context):
        yield context.incompatible("TRC-SYS-003", "tensorrt_llm", words, components=("arch", "tensorrt_llm"))


def _windows_wheels(context: Context) -> Iterator[Finding]:
    text = context.value("tensorrt")
    row = context.match("tensorrt", text) if text else None
    platforms = row.value("wheel_platforms") if row else None
    is_windows = (context.value("os") or "").lower().startswith("windows")
    if row is not None and platforms and is_windows and is_from_index(context) and "windows" not in platforms:
        yield context.incompatible(
            "TRC-SYS-003", "tensorrt", facts=("os", "tensorrt", "install"), source=row.source("wheel_platforms"),
            components=("os", "tensorrt"), expected=f"{join(platforms)}, for wheels of TensorRT {text}",
            found=context.value("os") or "", remedy="Install TensorRT from its zip archive, or TensorRT 10 or newer.",
        )  # fmt: skip


def _package_os(context: Context) -> Iterator[Finding]:
    package, system = context.value("tensorrt_package_os"), context.value("os")
    a, b = (_OS_RELEASE.search((text or "").lower().replace("linux", "")) for text in (package, system))
    if not a or not b:
        return
    words: Words = {
        "facts": ("tensorrt_package_os", "os", "tensorrt"), "expected": f"TensorRT's package for {system}",
        "found": f"the package for {package}",
    }  # fmt: skip
    if a.groups() == b.groups() or (a[1] == b[1] and a[2] == b[2] and None in (a[3], b[3])):
        yield context.compatible("TRC-SYS-005", "tensorrt", words)
    else:
        yield context.incompatible(
            "TRC-SYS-005", "tensorrt", words, components=("tensorrt_package_os", "tensorrt", "os")
        )


def _jetpack(context: Context) -> Iterator[Finding]:
    """On Jetson, TensorRT and cuDNN come with JetPack and cannot be replaced by another release."""
    text = context.value("jetpack")
    row = jetpack_row(context.matrix, text)
    if row is None:
        return
    for key in ("tensorrt", "cudnn"):
        own, have = row.value(key), context.value(key)
        if not own or not have or not context.given(key):
            continue
        words: Words = {
            "facts": ("jetpack", key), "source": row.source(key),
            "expected": f"{title_of(key)} {own} of JetPack {text}", "found": f"{title_of(key)} {have}",
        }  # fmt: skip
        same = spans.same_minor(have, str(own))
        if same:
            yield context.compatible("TRC-SYS-004", key, words)
        elif same is False:
            yield context.incompatible("TRC-SYS-004", key, words, components=("jetpack", key))


def _mpi(context: Context) -> Iterator[Finding]:
    """Open MPI from 3.0 on is libmpi.so.40; .12 is MPICH or Open MPI 1.10, .20 is Open MPI 2."""
    soname, openmpi = context.value("libmpi_soname"), context.dotted("openmpi")
    number = soname.rpartition(".so.")[2] if soname else ""
    if not number.isdigit():
        return
    wanted = "" if openmpi is None else "40" if openmpi.major >= 3 else "20" if openmpi.major == 2 else "12"
    if not wanted and context.has("tensorrt_llm"):
        wanted = "40"
    if not wanted:
        return
    words: Words = {
        "facts": ("libmpi_soname", "openmpi", "mpi4py", "tensorrt_llm"), "expected": f"libmpi.so.{wanted}",
        "found": str(soname), "remedy": "Reinstall mpi4py against this MPI: pip install --no-binary=mpi4py mpi4py.",
    }  # fmt: skip
    if number == wanted:
        yield context.compatible("TRC-MPI-001", "mpi", words)
    else:
        at_fault = ("mpi4py", "openmpi", "libmpi_soname", "mpi")
        yield context.incompatible("TRC-MPI-001", "mpi", words, components=at_fault)


def _conditions(context: Context) -> Iterator[Finding]:
    kernel = spans.dotted(context.value("wsl_kernel"))
    if kernel is not None:
        wsl: Words = {
            "facts": ("wsl_kernel",),
            "expected": f"WSL kernel {_WSL_KERNEL} or newer",
            "found": str(kernel),
        }
        if spans.within(str(kernel), f">={_WSL_KERNEL}") is False:
            yield context.incompatible("TRC-SYS-006", "wsl", wsl, components=("wsl_kernel",))
        else:
            yield context.compatible(
                "TRC-SYS-006", "wsl", wsl, severity=Severity.WARNING,
                detail="the driver is that of Windows; no Linux driver may be installed inside WSL",
            )  # fmt: skip
    mig = context.value("mig")
    several = spans.major_of(context.value("gpu_count")) not in {"", "0", "1"}
    parallel = context.has("nccl") or any("parallel" in text.lower() for text in context.values("feature"))
    joined = mig and mig != "disabled" and several and parallel
    words: Words = {
        "facts": ("mig", "gpu_count", "nccl", "feature"),
        "source": Source("NVIDIA/nccl#1716, answer of 2025-05-23", "2026-11-20"),
        "expected": "one process on one MIG instance",
        "found": f"MIG {mig}, {context.value('gpu_count')} with NCCL",
    }
    if joined and spans.within(context.value("nccl"), _NCCL_WITHOUT_MIG):
        yield context.incompatible(
            "TRC-SYS-007", "mig", words, components=("mig", "nccl", "gpu"), detail="NCCL joins no MIG instances"
        )
    elif joined:
        yield context.unknown(
            "TRC-SYS-007",
            "mig",
            words,
            detail="NCCL joined no MIG instances up to May 2025; for this release it is not known",
        )
    elif mig and mig != "disabled" and several:
        yield context.compatible(
            "TRC-SYS-007", "mig", facts=("mig", "gpu_count"), severity=Severity.WARNING,
            expected="one process on one MIG instance", found=f"MIG {mig}",
            detail="NCCL and CUDA see one instance per process, so tensor parallelism over instances does not work",
        )  # fmt: skip
