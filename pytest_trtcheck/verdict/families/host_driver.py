"""Does the driver know this GPU, and is it what a message or an image asks for?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.families.driver import gpu_class

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# Jetson drivers are part of the board's Linux and are numbered apart.
_JETSON_CAPABILITIES = {"5.3", "6.2", "7.2", "8.7"}


def host_driver(context: Context) -> Iterator[Finding | Unasked]:
    """Judge the driver by itself: against the GPU, a stated CUDA and the driver an image was built for."""
    if not context.has("jetpack"):
        for capability in context.capabilities():
            yield from _knows(context, capability)
    yield from _required_cuda(context)
    yield from _container(context)


def _knows(context: Context, capability: str) -> Iterator[Finding]:
    row = context.row("sm", capability)
    supported, driver = context.value("driver_cuda"), context.value("driver")
    if row is None or capability in _JETSON_CAPABILITIES or not (supported or driver):
        return
    subject = f"sm_{capability.replace('.', '')}"
    first, last = row.value("first_cuda"), row.value("driver_range")
    words: Words = {
        "facts": ("driver", "driver_cuda", "sm", "gpu"),
        "found": f"driver {driver or 'of unknown version'}, CUDA {supported or 'unknown'}",
    }
    if last and spans.within(driver, str(last)) is False:
        yield context.incompatible(
            "TRC-DRV-005", subject, words, components=("driver", "gpu"), source=row.source("driver_range"),
            expected=f"driver {last}, the last that knows compute capability {capability}",
        )  # fmt: skip
        return
    if not first or not supported:
        return
    knows = spans.within(supported, f">={spans.dotted(str(first))}")
    words["source"] = row.source("first_cuda")
    words["expected"] = f"a driver of CUDA {first} or newer for compute capability {capability}"
    if knows:
        yield context.compatible("TRC-DRV-005", subject, words)
    elif knows is False:
        yield context.incompatible("TRC-DRV-005", subject, words, components=("driver", "gpu"))


def _required_cuda(context: Context) -> Iterator[Finding]:
    required = context.value("required_cuda")
    if required is None or (spans.dotted(required) is None and not spans.is_bound(required)):
        return
    wanted = required if spans.is_bound(required) else f">={spans.dotted(required)}"
    for key, component in (
        ("driver_cuda", "driver"), ("cuda_runtime", "cuda_runtime"), ("cuda_toolkit", "cuda_toolkit")
    ):  # fmt: skip
        have = context.value(key)
        answer = spans.within(have, wanted)
        if have is None or (answer is None and not context.given(key)):
            continue
        words: Words = {
            "facts": (key, "required_cuda"),
            "expected": f"CUDA {wanted}, as stated",
            "found": f"CUDA {have} ({key})",
        }
        if answer:
            yield context.compatible("TRC-DRV-006", component, words)
        elif answer is False:
            yield context.incompatible("TRC-DRV-006", component, words, components=(component,))
        else:
            yield context.unknown("TRC-DRV-006", component, words, detail="the version is too short to decide")


def _container(context: Context) -> Iterator[Finding]:
    """Compare with the driver that an image says it was built for, in its banner."""
    wanted, driver = context.value("container_min_driver"), context.value("driver")
    number = spans.dotted(wanted.lstrip("<>= ")) if wanted else None
    if number is None or driver is None:
        return
    answer = spans.within(driver, f">={number}")
    words: Words = {
        "facts": ("driver", "container_min_driver", "triton_container"),
        "expected": f"driver {number} or newer, as the image says",
        "found": f"driver {driver}",
    }
    check = "TRC-DRV-007"
    if answer:
        yield context.compatible(check, "driver", words)
        return
    if context.has("jetpack"):
        yield context.unknown(
            check, "driver", words,
            detail="Jetson drivers are numbered apart; only an image for this JetPack is made for this board",
            remedy="Use the Triton release for this JetPack (igpu variant or the JetPack archive).",
        )  # fmt: skip
        return
    floor = _family_floor(context, number.major)
    reaches = spans.within(driver, floor) if floor else None
    kind = gpu_class(context)
    if answer is False and reaches is False and kind not in {"datacenter", ""}:
        yield context.incompatible(
            check, "driver", words, components=("driver", "triton_container"),
            detail=f"below {floor}, the minimum of the image's CUDA family, and forward compatibility does not serve "
            f"{context.value('gpu')}",
        )  # fmt: skip
    elif context.given("container_min_driver"):
        yield context.unknown(
            check, "driver", words,
            detail="minor-version compatibility or the image's compat package may serve this driver, except for "
            "kernels compiled from PTX; run one inference, or take the image of an older month",
        )  # fmt: skip
    else:
        yield context.compatible(check, "driver", words, severity=Severity.WARNING)


def _family_floor(context: Context, branch: int) -> str:
    """Return the lowest driver of the CUDA family that a driver branch belongs to."""
    from pytest_trtcheck.verdict.imply import driver_branch

    known = driver_branch(context.matrix, branch)
    cuda = spans.dotted(known[0].lstrip(">=")) if known else None
    row = context.match("cuda_driver_family", f"{cuda.major}.x") if cuda else None
    if row is not None:
        return str(row.value("min_driver"))
    toolkit = context.match("cuda_toolkit", cuda.major_minor) if cuda else None
    return str(toolkit.value("min_driver") or "") if toolkit else ""
