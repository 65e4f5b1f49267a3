"""How people write the names of GPUs: ``4090``, ``8x H100``, ``RTX3090Ti``, ``A6000``."""

from __future__ import annotations

import re
from functools import lru_cache

_COUNT = re.compile(r"^\s*\(?\d{1,2}\s*(?:[x\u00d7*]|pcs|pieces of)\s*\)?\s*(?=[a-z0-9]{2})", re.IGNORECASE)
_GLUED = re.compile(r"\b(RTX|GTX|GT|Quadro|Tesla|GeForce)[-_]?(?=[A-Z]?\d{2,4})", re.IGNORECASE)
_SUFFIX = re.compile(r"\b(\d{3,4})(Ti|SUPER|D|Ada)\b", re.IGNORECASE)
# A bare number is a GeForce board: GTX to the 16 series, RTX from the 20 series on.
_BARE = re.compile(r"^(?:NVIDIA |GeForce )*([1-5]0|9|16)([5-9]0)\b", re.IGNORECASE)
# These letters and numbers are RTX boards without saying so.
_WORKSTATION = re.compile(r"^(?:NVIDIA |Quadro )*(?=A[1245]\d00\b|A6000\b|PRO \d000\b)", re.IGNORECASE)
_JETSON = re.compile(r"^(?:NVIDIA )?(?=(?:AGX |Orin |Xavier NX))", re.IGNORECASE)


@lru_cache(maxsize=5000)
def board(text: str) -> str:
    """Return the name as the makers write it; a name that NVML gives stays as it is."""
    name = _SUFFIX.sub(r"\1 \2", _GLUED.sub(r"\1 ", _COUNT.sub("", text.strip())))
    bare = _BARE.match(name)
    if bare:
        series = "GTX" if bare[1] in {"9", "10", "16"} else "RTX"
        name = f"{series} {name[bare.start(1) :]}"
    name = _WORKSTATION.sub("RTX ", name, count=1)
    return _JETSON.sub("Jetson ", name, count=1)
