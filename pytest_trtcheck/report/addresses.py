"""IP addresses in a text, told from versions: ``10.13.0.35`` is a release of TensorRT and may be a host too."""

from __future__ import annotations

import ipaddress
import re

IP = "<ip>"

_V4 = r"(?:\d{1,3}\.){3}\d{1,3}"
_NUMBER = r"(?<![\w.])"
# By what stands beside it: a port, a scheme or a user before it, a word that only addresses come after.
_WITH_PORT = re.compile(rf"{_NUMBER}({_V4})(?=:\d{{2,5}}(?![\w.]))")
_IN_URL = re.compile(rf"((?:://|@))({_V4})(?![\w.])")
_AFTER_WORD = re.compile(
    rf"(\b(?:[A-Za-z]+_)?(?:hosts?|hostname|addr|address|ip|inet|peer|master|node|server|bound|listening|connect(?:ed|ing)?)"
    rf"(?:\s+(?:on|to|from|at|is))?[\s=:'\"]{{1,3}})({_V4})(?![\w.])",
    re.IGNORECASE,
)
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}:[0-9A-Fa-f:]{4,37}(?![\w:])")
_MARKS = re.compile(r"\d\.\d|:[0-9A-Fa-f]*:")


def mask_addresses(text: str) -> str:
    """Return the text with the mask in place of addresses; those of this machine to itself stay."""
    if not _MARKS.search(text):
        return text
    for pattern in (_WITH_PORT, _IN_URL, _AFTER_WORD):
        text = pattern.sub(_masked_v4, text)
    return _V6.sub(_masked_v6, text) if text.count(":") > 2 else text


def _masked_v4(match: re.Match[str]) -> str:
    address = match[match.lastindex or 0]
    try:
        tells = not (parsed := ipaddress.ip_address(address)).is_loopback and not parsed.is_unspecified
    except ValueError:
        tells = False
    return match[0][: len(match[0]) - len(address)] + IP if tells else match[0]


def _masked_v6(match: re.Match[str]) -> str:
    # Fewer groups are a time, a PCI bus or a C++ name.
    if match[0].count(":") < 4 and not re.match(r"(?:f[cdef]|2)[0-9a-f]{2,3}:", match[0], re.IGNORECASE):
        return match[0]
    try:
        ipaddress.IPv6Address(match[0])
    except ValueError:
        return match[0]
    return IP
