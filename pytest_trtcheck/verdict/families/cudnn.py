"""Does everybody find the cuDNN they were built with?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.versions import DottedVersion
from pytest_trtcheck.verdict.base import measured
from pytest_trtcheck.verdict.families.libraries import has_soname, wants, what_is_there
from pytest_trtcheck.verdict.remedies import for_missing_library

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked, Words


def cudnn(context: Context) -> Iterator[Finding | Unasked]:
    """Judge cuDNN by the SONAME that each component's files ask for, and by torch's own pin."""
    if context.is_described:
        # Written down, a cuDNN may be the system's, beside the one that torch's wheels bring.
        return
    asked_by_torch = wants(context.fact("torch"), "cudnn")
    for check, key in (("TRC-DNN-001", "tensorrt"), ("TRC-DNN-002", "torch")):
        for soname, path in wants(context.fact(key), "cudnn").items():
            if "." not in soname.partition(".so.")[2]:
                yield _finds(context, check, key, soname, path)
                break
    if not asked_by_torch:
        yield from _pinned_by_torch(context)


def _finds(context: Context, check: str, key: str, soname: str, path: str) -> Finding:
    found = what_is_there(context, "cudnn")
    expected = f"{soname}, which {path.rpartition('/')[2]} asks for"
    source = measured(f"NEEDED entries of {path}")
    if has_soname(context.fact("cudnn"), soname):
        return context.compatible(check, key, facts=("cudnn", key), expected=expected, found=found, source=source)
    return context.incompatible(
        check, key, components=("cudnn", key), facts=("cudnn", key), expected=expected, found=found, source=source,
        detail=f"{title_of(key)} {context.value(key) or ''} cannot load".replace("  ", " "),
        remedy=for_missing_library(context, soname, "cudnn"),
    )  # fmt: skip


def _pinned_by_torch(context: Context) -> Iterator[Finding]:
    """Compare with the cuDNN of the torch release's index build, where the files themselves do not tell."""
    torch, have = context.package("torch"), context.dotted("cudnn")
    row = context.match("torch", torch.public) if torch else None
    want = DottedVersion.leading(str(row.value("cudnn"))) if row and row.value("cudnn") else None
    if not (row and want and have) or context.value("torch_cuda") in {None, "none"}:
        return
    expected = f"cuDNN {want.major}, at least {want.major_minor}, for torch {torch}"
    words: Words = {
        "expected": expected,
        "found": f"cuDNN {have}",
        "facts": ("cudnn", "torch"),
        "source": row.source("cudnn"),
    }
    # torch refuses another major and an older minor, and takes any patch: torch/backends/cudnn/__init__.py, _init.
    if have.major == want.major and have.minor >= want.minor:
        yield context.compatible("TRC-DNN-002", "torch", words)
    else:
        yield context.incompatible(
            "TRC-DNN-002", "torch", words, components=("cudnn", "torch"),
            remedy=f"Install the cuDNN that this torch pins: pip install {row.value('cudnn_package')}=={want}",
        )  # fmt: skip
