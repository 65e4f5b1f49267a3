"""Pieces that several sections of the page are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_trtcheck.report.html.element import Html, element, join
from pytest_trtcheck.report.text import find_urls, one_line, truncate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_LISTED = 200
"""Entries of one list or table; all checks are listed whatever their number."""
MAX_BLOCK_BYTES = 16 * 1024
MAX_BLOCK_LINES = 200

SIGNS = {
    "compatible": "✓", "incompatible": "✕", "unknown": "?", "warning": "!",
    "passed": "✓", "failed": "✕", "error": "✕", "waived": "≈", "conflict": "≠", "not_run": "\N{EN DASH}",
    "accepted": "✓", "rejected": "✕", "inconclusive": "?",
    "works": "✓", "fails": "✕", "refused": "⊘", "not run": "?", "not supported here": "·",
}  # fmt: skip
"""One for each state, so that no colour has to be told from another."""
TONES = {
    "compatible": "ok", "incompatible": "bad", "unknown": "open", "warning": "warn",
    "passed": "ok", "failed": "bad", "error": "bad", "waived": "warn", "conflict": "bad", "not_run": "none",
    "accepted": "ok", "rejected": "bad", "inconclusive": "open",
    "works": "ok", "fails": "bad", "refused": "warn", "not run": "open", "not supported here": "none",
}  # fmt: skip


def section(identity: str, title: str, *children: Html, note: str = "") -> Html:
    """Return a section under a heading; the identity is the page's own, never of the report."""
    head = element("h2", title, *([element("small", note)] if note else []))
    return element("section", head, *children, id=identity)


def state(name: str) -> Html:
    """Return a state as sign and word; empty for none."""
    if not name:
        return Html("")
    sign = element("span", SIGNS.get(name, "•"), class_="sign", aria_hidden="true")
    return element("span", sign, one_line(name.replace("_", " "), 60), class_=f"state {TONES.get(name, 'none')}")


def code(text: str, limit: int = 200) -> Html:
    """Return a text on one line as code; empty for an empty text."""
    line = one_line(text, limit)
    return element("code", line) if line else Html("")


def block(text: str) -> Html:
    """Return a text of many lines, its middle left out where it is long."""
    return element("pre", truncate(text, MAX_BLOCK_BYTES, MAX_BLOCK_LINES).strip("\n"), tabindex=0)


def linked(text: str, limit: int = 500) -> Html:
    """Return a text on one line, web addresses in it as links."""
    line = one_line(text, limit)
    parts: list[str] = []
    end = 0
    for start, url in find_urls(line):
        parts += [line[end:start], element("a", url, href=url, rel="noopener noreferrer")]
        end = start + len(url)
    return join([*parts, line[end:]])


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str = "") -> Html:
    """Return a table that scrolls sideways by itself where it is too wide; cells are markup or texts."""
    head = element("thead", element("tr", *(element("th", title, scope="col") for title in header)))
    body = element("tbody", *(element("tr", *(element("td", cell) for cell in row)) for row in rows))
    return scrolling(element("table", head, body, class_=class_ or None))


def scrolling(content: Html) -> Html:
    """Return content that may be wider than the page; it can be scrolled with the keyboard."""
    return element("div", content, class_="scroll", tabindex=0, role="group")


def pairs(entries: Iterable[tuple[str, str]]) -> Html:
    """Return names and values; those without a value are left out."""
    return element("dl", *(join([element("dt", name), element("dd", value)]) for name, value in entries if value))


def bullets(lines: Sequence[str]) -> Html:
    """Return a list of texts, the first of them where there are too many."""
    items = [element("li", one_line(line)) for line in lines[:MAX_LISTED]]
    return join([element("ul", *items), more(len(lines))])


def more(count: int, shown: int = MAX_LISTED) -> Html:
    """Return the words for what a list leaves out; empty when that is nothing."""
    return element("p", f"… and {count - shown} more in report.json.", class_="note") if count > shown else Html("")


def details(summary: str, *children: Html, is_open: bool = False) -> Html:
    """Return content that folds away."""
    return element("details", element("summary", summary), *children, open=is_open)


def seconds(value: float) -> str:
    """Return a duration as people read it."""
    if value < 0.0005:
        return "0 ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"
