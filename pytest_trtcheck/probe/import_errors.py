"""Read the words of a failed import: what kind of failure, which library, which symbol, who should bring it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import ImportStatus
from pytest_trtcheck.probe.providers import (
    provider_of_library,
    provider_of_module,
    provider_of_node,
    provider_of_symbol,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAX_TEXT = 64 * 1024
_MAX_LINE = 4096
_MAX_MESSAGE = 500


@dataclass(frozen=True)
class ImportFailure:
    """What the text of an error tells; a field is empty where it does not tell."""

    status: ImportStatus
    message: str
    """The line that says it, in the words of the library or the loader."""
    library: str = ""
    """What is missing, cannot be used, or lacks the symbol or version node; the module for MISSING_MODULE."""
    symbol: str = ""
    """The undefined symbol as the loader wrote it, not demangled; or the version node."""
    needed_by: str = ""
    provider: str = ""


# The words of the dynamic loader (glibc, elf/dl-*.c). A path may hold no blank here: the loader does not quote.
_NODE = re.compile(r"([^\s:]{1,1024}): version [`']([^']{1,200})' not found(?: \(required by ([^)]{1,1024})\))?")
_MISSING = re.compile(r"([^\s:'\"]{1,1024}): cannot open shared object file")
_SYMBOL = re.compile(r"([^\s:]{1,1024}): undefined symbol: ([^\s,]{1,2000})(?:, version ([^\s,)]{1,200}))?")
_UNUSABLE = re.compile(
    r"([^\s:'\"]{1,1024}): (?:file too short|invalid ELF header|wrong ELF class|cannot enable executable stack"
    r"|ELF load command|cannot read file data|failed to map segment|cannot allocate memory in static TLS block)"
)
_NO_MODULE = re.compile(r"No module named '?([\w.]{1,200})'?")
_NO_NAME = re.compile(r"cannot import name '([^']{1,200})' from (?:partially initialized module )?'([\w.]{1,200})'")

# Words of CUDA, PyTorch, TensorRT, Triton and vLLM. TensorRT tells only the number of the CUDA error.
_DRIVER_TOO_OLD = re.compile(
    r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|InsufficientDriver"
    r"|unsupported display driver / cuda driver combination"
    r"|forward compatibility was attempted on non supported HW"
    r"|PTX was compiled with an unsupported toolchain|CUDA initialization failure with error: (?:35|803|804)\b"
)
_NO_DEVICE = re.compile(
    r"No CUDA GPUs are available|no CUDA-capable device is detected|Found no NVIDIA driver on your system"
    r"|cudaErrorNoDevice|CUDA_ERROR_NO_DEVICE|CUDA initialization failure with error: 100\b|\b0 active drivers"
    r"|Failed to infer device type"
)


def classify(text: str, exception_type: str = "") -> ImportFailure:
    """Tell what the text of one exception, or of a dying process, says.

    What is not known is a PYTHON_ERROR with its first line. A library that is there and cannot be used (cut
    short, no ELF file, executable stack refused) is a PYTHON_ERROR with that library named.
    """
    lines = [line[:_MAX_LINE] for line in text[:_MAX_TEXT].splitlines()]
    for read in (_version_node, _missing_library, _undefined_symbol, _driver, _unusable, _module, _name):
        for line in lines:
            failure = read(line)
            if failure is not None:
                return failure
    first = next((line for line in lines if line.strip()), "")
    return ImportFailure(ImportStatus.PYTHON_ERROR, one_line(f"{exception_type}: {first}".strip(": ")))


def classify_chain(errors: Iterable[tuple[str, str]]) -> ImportFailure:
    """Classify an exception and those behind it, outermost first, as pairs of type and text.

    The first that names a native cause decides: wrappers say only that an import failed, and a fallback that is
    not installed only hides why the real module did not load.
    """
    failures = [classify(text, exception_type) for exception_type, text in errors]
    if not failures:
        return ImportFailure(ImportStatus.PYTHON_ERROR, "the import failed without an exception")
    vague = (ImportStatus.PYTHON_ERROR, ImportStatus.MISSING_MODULE)
    native = (failure for failure in failures if failure.status not in vague)
    named = (failure for failure in failures if failure.library)
    return next(native, None) or next(named, failures[0])


def one_line(text: str) -> str:
    """Return the text as one printable line of bounded length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 1] + "…"


def _version_node(line: str) -> ImportFailure | None:
    match = _NODE.search(line) if "not found" in line else None
    if match is None:
        return None
    library, node, needed_by = match[1], match[2], match[3] or ""
    provider = provider_of_node(node, library)
    return ImportFailure(ImportStatus.VERSION_NODE_MISSING, one_line(match[0]), library, node, needed_by, provider)


def _missing_library(line: str) -> ImportFailure | None:
    match = _MISSING.search(line) if "cannot open shared object" in line else None
    if match is None:
        return None
    return ImportFailure(ImportStatus.MISSING_LIBRARY, one_line(line), match[1], provider=provider_of_library(match[1]))


def _undefined_symbol(line: str) -> ImportFailure | None:
    match = _SYMBOL.search(line) if "undefined symbol" in line else None
    if match is None:
        return None
    needed_by, symbol, node = match[1], match[2], match[3] or ""
    # NVIDIA's and other libraries name a version node after their SONAME: that is who should have the symbol.
    library = node if ".so" in node else ""
    provider = provider_of_symbol(symbol) or (provider_of_node(node, library) if node else "")
    return ImportFailure(ImportStatus.UNDEFINED_SYMBOL, one_line(match[0]), library, symbol, needed_by, provider)


def _driver(line: str) -> ImportFailure | None:
    if _DRIVER_TOO_OLD.search(line):
        return ImportFailure(ImportStatus.DRIVER_TOO_OLD, one_line(line), provider="driver")
    if _NO_DEVICE.search(line):
        return ImportFailure(ImportStatus.NO_DEVICE, one_line(line), provider="driver")
    return None


def _unusable(line: str) -> ImportFailure | None:
    match = _UNUSABLE.search(line)
    if match is None:
        return None
    return ImportFailure(ImportStatus.PYTHON_ERROR, one_line(line), match[1], provider=provider_of_library(match[1]))


def _module(line: str) -> ImportFailure | None:
    match = _NO_MODULE.search(line)
    if match is None:
        return None
    module = match[1]
    return ImportFailure(ImportStatus.MISSING_MODULE, one_line(line), module, provider=provider_of_module(module))


def _name(line: str) -> ImportFailure | None:
    match = _NO_NAME.search(line)
    if match is None:
        return None
    name, module = match[1], match[2]
    return ImportFailure(ImportStatus.PYTHON_ERROR, one_line(line), module, name, provider=provider_of_module(module))
