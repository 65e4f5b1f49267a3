"""Import one module in a child, touch its native part lightly, leave; a record after each step.

Arguments: descriptor, module, name of the touch. The parent tells from the records that are missing where the
child died. Nothing here initialises CUDA in PyTorch: that would cost seconds and GPU memory.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.probe.child_report import mapped_files, report

if TYPE_CHECKING:
    from types import ModuleType

_MAX_CHAIN = 6
_MAX_TEXT = 16 * 1024
_MAX_SYMBOLS = 8

_kept: list[Any] = []
"""Objects that live until the interpreter exits, as they do in a user's script: some crash only then."""


def main(fd: int, module_name: str, touch: str) -> None:
    """Import, touch, report."""
    started = time.monotonic()
    try:
        module = importlib.import_module(module_name)
    except BaseException as error:  # noqa: BLE001 - a module may end in SystemExit or worse; all of it is the finding
        report(fd, {"phase": "import", "ok": False} | _failure(error, module_name) | _since(started))
        return
    report(fd, {"phase": "import", "ok": True, "note": _note(module)} | _since(started) | _mapped())
    if not touch:
        return
    try:
        note = _TOUCHES[touch](module)
    except BaseException as error:  # noqa: BLE001 - as above
        report(fd, {"phase": "touch", "ok": False} | _failure(error, module_name) | _mapped())
        return
    report(fd, {"phase": "touch", "ok": True, "note": note} | _mapped())


def _since(started: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - started, 4)}


def _mapped() -> dict[str, list[str]]:
    return {"mapped": mapped_files(".so")}


def _note(module: ModuleType) -> str:
    if getattr(module, "__file__", None) is None and hasattr(module, "__path__"):
        return f"imported as a namespace package: no __init__.py in {', '.join(list(module.__path__)[:3])}"
    return ""


def _touch_tensorrt(module: Any) -> str:
    logger = module.Logger(module.Logger.WARNING)
    _kept.extend((logger, module.Runtime(logger)))
    return ""


def _touch_torch(module: Any) -> str:
    total = float((module.zeros(1) + 1).sum())
    if total != 1.0:
        raise ArithmeticError(f"torch.zeros(1) + 1: expected 1.0, found {total}")
    return f"torch.version.cuda is {module.version.cuda}"


def _touch_onnxruntime(module: Any) -> str:
    return f"providers: {', '.join(module.get_available_providers())}"


_TOUCHES = {"tensorrt": _touch_tensorrt, "torch": _touch_torch, "onnxruntime": _touch_onnxruntime}


def _failure(error: BaseException, module_name: str) -> dict[str, Any]:
    chain = _chain(error)
    errors = [(type(link).__name__, _text(link)) for link in chain]
    # For an extension module CPython puts the file that it handed to the loader into ImportError.path.
    paths = [path for path in (getattr(link, "path", None) for link in chain) if isinstance(path, str)]
    mangled = re.findall(r"_Z\w{1,2000}", "\n".join(text for _, text in errors))[:_MAX_SYMBOLS]
    return {
        "errors": errors,
        "paths": paths,
        "folders": _package_folders(module_name),
        "demangled": _demangled(set(mangled)) if mangled else {},
    }


def _chain(error: BaseException) -> list[BaseException]:
    """Return the exception and those behind it, outermost first."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain and len(chain) < _MAX_CHAIN:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MAX_TEXT]
    except Exception as broken:  # noqa: BLE001 - __str__ of a foreign exception may do anything
        return f"(its text cannot be read: {type(broken).__name__})"


def _package_folders(module_name: str) -> list[str]:
    try:
        spec = importlib.util.find_spec(module_name.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return []
    return list(spec.submodule_search_locations or ()) if spec else []


def _demangled(symbols: set[str]) -> dict[str, str]:
    """Demangle through the C++ library; empty when there is none to load."""
    try:
        demangle = ctypes.CDLL("libstdc++.so.6")["__cxa_demangle"]
    except (OSError, AttributeError):
        return {}
    demangle.restype = ctypes.c_void_p
    found = {}
    for symbol in symbols:
        status = ctypes.c_int(-1)
        pointer = demangle(symbol.encode(), None, None, ctypes.byref(status))
        if pointer and status.value == 0:
            found[symbol] = ctypes.string_at(pointer).decode("utf-8", "replace")
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
