"""Text from the outside made fit to print: no escapes, no invisible marks, no endless lines.

Versions, paths, messages and captured output come from files and processes that this tool does not control. Every
renderer passes them through here first and then applies the escaping of its own format.
"""

from __future__ import annotations

import re

MAX_LINE_CHARACTERS = 500

# CSI, OSC (ended by BEL or ST) and the two-character escapes, in their 7-bit and 8-bit forms.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-Z\\-~]"
)
_URL = re.compile(r"https?://[^\s<>\"'(){}|\\^`]{3,1000}")
_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# What XML 1.0 forbids, what a terminal obeys, and what hides or reorders its neighbours.
_UNFIT = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e0fff"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
    + "]"
)


def clean(text: str) -> str:
    r"""Return the text without escapes and control characters; tabs and line ends stay, line ends as ``\\n``.

    Marks that are invisible or turn the reading order round are shown as ``<U+202E>``: to drop them in silence would
    make two different names look alike. Lone surrogates become U+FFFD.
    """
    if text.isprintable():
        return text
    return _UNFIT.sub(_replacement, _LINE_ENDS.sub("\n", _ANSI.sub("", text)))


def _replacement(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0xA0:
        return ""
    return "\N{REPLACEMENT CHARACTER}" if 0xD800 <= code <= 0xDFFF else f"<U+{code:04X}>"


def one_line(text: str, limit: int = MAX_LINE_CHARACTERS) -> str:
    """Return the clean text on one line of at most ``limit`` characters, the notice of what is left out included."""
    # Four times the limit leaves room for escapes and runs of spaces without cleaning a megabyte for one line.
    window = text[: 4 * limit]
    beyond = len(text) - len(window)
    line = " ".join(clean(window).split())
    if len(line) <= limit and not beyond:
        return line
    kept = line[: limit - len(notice(10 * len(text))) - 1].rstrip()
    return f"{kept} {notice(len(line) - len(kept) + beyond)}"


def counted(number: int, plural: str) -> str:
    """Return a number with its noun, given as a plural that ends in s: ``1 check``, ``2 checks``."""
    return f"{number} {plural[:-1] if number == 1 else plural}"


def find_urls(line: str) -> list[tuple[int, str]]:
    """Return the web addresses in a line, each after where it begins; a sentence's punctuation is no part of one."""
    return [(match.start(), match[0].rstrip(".,;:!?")) for match in _URL.finditer(line)]


def notice(characters: int) -> str:
    """Return the words that stand for what was left out."""
    return f"… {characters} characters left out"


def truncate(text: str, max_bytes: int, max_lines: int) -> str:
    """Return the clean text within both bounds: its head, a line with the notice, its tail.

    The tail gets two thirds, because a traceback and a log end with what went wrong.
    """
    window = 2 * max_bytes
    between = max(len(text) - 2 * window, 0)
    if between:
        head, tail = clean(text[:window]), clean(text[-window:])
        total = len(head) + between + len(tail)
    else:
        head = tail = clean(text)
        total = len(head)
        if len(head.encode()) <= max_bytes and head.count("\n") < max_lines:
            return head
    head_lines = max_lines // 3
    room = max_bytes - len(notice(total).encode()) - 2
    head = "\n".join(head.split("\n")[:head_lines]).encode()[: room // 3].decode(errors="ignore")
    tail_bytes = "\n".join(tail.split("\n")[head_lines + 1 - max_lines :]).encode()
    tail = tail_bytes[room // 3 - room :].decode(errors="ignore")
    return f"{head}\n{notice(total - len(head) - len(tail))}\n{tail}"
