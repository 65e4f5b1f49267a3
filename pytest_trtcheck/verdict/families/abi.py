"""Extensions of torch against the torch they run on: another release or the other C++11 ABI is an undefined symbol."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.finding import Severity
from pytest_trtcheck.verdict import spans
from pytest_trtcheck.verdict.neighbours import agreed
from pytest_trtcheck.verdict.route import is_built_here

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_trtcheck.model.finding import Finding
    from pytest_trtcheck.rules.rows import Row
    from pytest_trtcheck.verdict.base import Context, Unasked, Words

# flash_attn 2.5.5+cu118torch2.2cxx11abiTRUE, flashinfer 0.1.6+cu121torch2.4
_LABEL = re.compile(r"\+(?:cu(\d{2,3}))?(?:torch|pt)(\d\.?\d{1,2})(?:cxx11abi(true|false))?", re.IGNORECASE)


def abi(context: Context) -> Iterator[Finding | Unasked]:
    """Judge every extension of torch that is there."""
    for key in ("flash_attn", "flashinfer"):
        if context.value(key) and context.has("torch"):
            yield from _labelled(context, key)
    yield from _vllm(context)
    yield from _torch_tensorrt(context)
    yield from _triton_language(context)
    yield from _tensorrt_llm_abi(context)


def _labelled(context: Context, key: str) -> Iterator[Finding]:
    text, torch = context.value(key), context.value("torch")
    match = _LABEL.search(text or "")
    if match is None:
        if key == "flash_attn" and spans.is_ngc_torch(torch):
            yield from _prebuilt_for_ngc(context)
        elif key == "flash_attn":
            yield from _prebuilt(context)
        return
    cuda, wanted, cxx11 = match.groups()
    wanted = wanted if "." in wanted else f"{wanted[0]}.{wanted[1:]}"
    words: Words = {
        "facts": (key, "torch", "torch_cuda", "torch_cxx11_abi"),
        "expected": f"torch {wanted}{f', CUDA {cuda[:2]}' if cuda else ''}"
        f"{f', C++11 ABI {_on(cxx11)}' if cxx11 else ''}, as the wheel's label says",
        "found": f"torch {torch}, CUDA {context.value('torch_cuda') or 'not known'}, "
        f"C++11 ABI {context.value('torch_cxx11_abi') or 'not known'}",
    }
    wrong = []
    if spans.same_minor(torch, wanted) is False:
        wrong.append("another torch release")
    if cxx11 and context.value("torch_cxx11_abi") and _on(cxx11) != context.value("torch_cxx11_abi"):
        wrong.append("the other C++11 ABI")
    torch_cuda = context.value("torch_cuda")
    if cuda and torch_cuda and cuda[:2] != spans.major_of(torch_cuda):
        wrong.append("another CUDA major")
    if spans.is_ngc_torch(torch):
        wrong.append("a release build, and this is NGC's pre-release build")
    if wrong:
        yield context.incompatible(
            "TRC-ABI-001", key, words, components=(key, "torch"), detail=f"the wheel was made for {' and '.join(wrong)}"
        )
    else:
        yield context.compatible("TRC-ABI-001", key, words)


def _on(text: str | None) -> str:
    return "on" if (text or "").lower() == "true" else "off"


def _prebuilt_for_ngc(context: Context) -> Iterator[Finding]:
    """FlashAttention's installer fetches the wheel of the same torch minor, which was made for another build of it."""
    text, torch = context.value("flash_attn"), context.package("torch")
    known = agreed(context.matrix, "flash_attn", text or "", "torch_minors")
    if known is None or torch is None:
        return
    row, minors = known[0], tuple(map(str, cast("tuple[str, ...]", known[1])))
    minor = torch.base.major_minor
    words: Words = {
        "facts": ("flash_attn", "torch"), "source": row.source("torch_minors"),
        "expected": f"FlashAttention {text} built against this torch",
        "found": f"torch {torch}, NGC's own build; prebuilt wheels exist for torch {', '.join(minors)}",
    }  # fmt: skip
    if minor in minors and not is_built_here(context):
        yield context.incompatible(
            "TRC-ABI-001", "flash_attn", words, components=("flash_attn", "torch"),
            detail=f"pip takes the wheel for torch {minor}, which is not binary compatible with NGC's pre-release",
            remedy=f"FLASH_ATTENTION_FORCE_BUILD=TRUE pip install --no-build-isolation flash-attn=={text}",
        )  # fmt: skip
    else:
        yield context.compatible("TRC-ABI-001", "flash_attn", words, severity=Severity.WARNING,
                                 detail="no wheel fits, so it is compiled against this torch")  # fmt: skip


def _prebuilt(context: Context) -> Iterator[Finding]:
    text, torch = context.value("flash_attn"), context.package("torch")
    known = agreed(context.matrix, "flash_attn", text or "", "torch_minors")
    if known is None or torch is None:
        return
    row, minors = known[0], tuple(map(str, cast("tuple[str, ...]", known[1])))
    words: Words = {
        "facts": ("flash_attn", "torch"), "source": row.source("torch_minors"),
        "expected": f"torch {', '.join(minors)} for a prebuilt wheel of {text}", "found": f"torch {torch}",
    }  # fmt: skip
    if torch.base.major_minor in minors or is_built_here(context):
        yield context.compatible("TRC-ABI-001", "flash_attn", words)
    elif context.is_described:
        yield context.unknown(
            "TRC-ABI-001", "flash_attn", words,
            detail="no prebuilt wheel is for this torch: it works when it was compiled against this very torch, and "
            "not when it comes from a cache or was there before torch; importing flash_attn tells",
        )  # fmt: skip
    else:
        yield context.compatible(
            "TRC-ABI-001", "flash_attn", words, severity=Severity.WARNING,
            detail="no prebuilt wheel fits: it works when compiled against this very torch",
        )  # fmt: skip


def _vllm(context: Context) -> Iterator[Finding]:
    text, torch = context.value("vllm"), context.value("torch")
    if text is None and torch and context.has("vllm"):
        yield from _any_vllm(context, torch)
    known = agreed(context.matrix, "vllm", text, "pin_torch") if text and torch else None
    if known is None or is_built_here(context):
        return
    row, pin = known[0], str(known[1])
    words: Words = {
        "facts": ("torch", "vllm"), "source": row.source("pin_torch"),
        "expected": f"torch {pin} for vLLM {text}", "found": f"torch {torch}",
        "remedy": f"pip install vllm=={text} 'torch{pin}', in an environment of its own",
    }  # fmt: skip
    if spans.is_ngc_torch(torch):
        yield context.incompatible(
            "TRC-ABI-002", "vllm", words, components=("vllm", "torch"),
            detail="the wheel is linked with the release build, and this is NGC's pre-release build",
        )  # fmt: skip
        return
    same = spans.same_minor(torch, pin.lstrip("=~<>"))
    if same:
        exact = spans.meets(torch, pin) is not False
        yield context.compatible("TRC-ABI-002", "vllm", words, severity=Severity.INFO if exact else Severity.WARNING)
    elif same is False:
        yield context.incompatible("TRC-ABI-002", "vllm", words, components=("torch", "vllm"))


def _any_vllm(context: Context, torch: str) -> Iterator[Finding]:
    """Judge a vLLM of unknown version: certain is only a torch older than any release takes, from source too."""
    pins = [(number, row) for row in context.matrix.rows("vllm")
            if (number := spans.dotted(str(row.value("pin_torch") or "").lstrip("=~<>")))]  # fmt: skip
    lowest, row = min(pins, key=lambda pair: pair[0])
    if spans.within(torch, f"<{lowest.major}") is not True:
        return
    yield context.incompatible(
        "TRC-ABI-002", "vllm", facts=("torch", "vllm"), source=row.source("pin_torch"), components=("torch", "vllm"),
        expected=f"torch {lowest.major} or newer for any release of vLLM", found=f"torch {torch}",
    )  # fmt: skip


def _torch_tensorrt(context: Context) -> Iterator[Finding]:
    text = context.value("torch_tensorrt")
    version = context.package("torch_tensorrt")
    if text is None or version is None:
        return
    row = context.row("torch_tensorrt", version.public)
    torch = context.value("torch")
    if torch:
        # Its minor release number is torch's, from 2.0 on.
        pin = str(row.value("pin_torch")) if row else f"=={version.base.major_minor}.*"
        words: Words = {
            "facts": ("torch_tensorrt", "torch"), "expected": f"torch {pin}", "found": f"torch {torch}"
        }  # fmt: skip
        # A release row says more for 1.x, whose numbers are its own.
        same = spans.same_minor(torch, version.public if version.base.major >= 2 else pin.lstrip("=~<>"))
        if same is False and (row is not None or version.base.major >= 2):
            yield context.incompatible("TRC-ABI-003", "torch", words, components=("torch_tensorrt", "torch"))
        elif same:
            yield context.compatible("TRC-ABI-003", "torch", words)
    if row is None:
        return
    yield from _its_tensorrt(context, row, version.local or "")


def _its_tensorrt(context: Context, row: Row, label: str) -> Iterator[Finding]:
    major, tensorrt = row.value("cuda_major"), context.value("tensorrt")
    if label.startswith("cu") and major and not label.startswith(f"cu{major}"):
        yield context.incompatible(
            "TRC-ABI-003", "cuda", facts=("torch_tensorrt", "torch_cuda"), source=row.source("cuda_major"),
            components=("torch_tensorrt", "torch_cuda"), expected=f"a build for CUDA {major}",
            found=f"Torch-TensorRT {context.value('torch_tensorrt')}",
            detail=f"every build of this release requires the TensorRT packages for CUDA {major}",
        )  # fmt: skip
    pin = row.value("pin_tensorrt")
    if not tensorrt or not pin or (context.is_described and not context.given("tensorrt")):
        return
    words: Words = {
        "facts": ("tensorrt", "torch_tensorrt"), "source": row.source("pin_tensorrt"),
        "expected": f"TensorRT {pin} for Torch-TensorRT {row.version}", "found": f"TensorRT {tensorrt}",
    }  # fmt: skip
    met = spans.within(tensorrt, str(pin))
    numbers = spans.ranged(str(pin))
    same = met or (
        numbers is not None and any(spans.same_minor(tensorrt, str(bound)) for _, bound, _ in numbers.clauses[:1])
    )
    if same:
        yield context.compatible("TRC-ABI-003", "tensorrt", words)
    elif met is False:
        yield context.incompatible("TRC-ABI-003", "tensorrt", words, components=("tensorrt", "torch_tensorrt"))


def _triton_language(context: Context) -> Iterator[Finding]:
    text, torch = context.value("triton_lang"), context.package("torch")
    # A build for CPUs asks for no Triton: one that is there came with something else.
    if text is None or torch is None or spans.is_ngc_torch(torch.text) or context.value("torch_cuda") == "none":
        return
    row = context.match("torch", torch.public)
    wanted = row.value("triton_range") if row else None
    if row is None or not wanted:
        return
    words: Words = {
        "facts": ("triton_lang", "torch"), "source": row.source("triton_range"),
        "expected": f"{title_of('triton_lang')} {wanted} for torch {torch}",
        "found": f"{title_of('triton_lang')} {text}",
    }  # fmt: skip
    number = str(wanted).split(",")[0].lstrip("=><~")
    same = spans.same_minor(text, number)
    if same:
        yield context.compatible("TRC-ABI-004", "triton_lang", words)
    elif same is False:
        yield context.incompatible("TRC-ABI-004", "triton_lang", words, components=("triton_lang", "torch"))


def _tensorrt_llm_abi(context: Context) -> Iterator[Finding]:
    """Hold torch's ABI against the wheel's; in an image both come with the image, see the checks of containers."""
    version, have = context.package("tensorrt_llm"), context.value("torch_cxx11_abi")
    row = context.match("tensorrt_llm", version.public) if version else None
    wanted = row.value("cxx11_abi_wheel") if row else None
    if row is None or wanted is None or have is None or is_built_here(context):
        return
    if context.has("triton_container") or context.has("container"):
        return
    words: Words = {
        "facts": ("torch_cxx11_abi", "torch", "tensorrt_llm"), "source": row.source("cxx11_abi_wheel"),
        "expected": f"C++11 ABI {wanted} for the wheel of TensorRT-LLM {version}",
        "found": f"torch {context.value('torch')} with C++11 ABI {have}",
    }  # fmt: skip
    if have == wanted:
        yield context.compatible("TRC-ABI-005", "tensorrt_llm", words)
    else:
        yield context.incompatible("TRC-ABI-005", "tensorrt_llm", words, components=("torch", "tensorrt_llm"))
