"""HTML built from elements, so that escaping is not a matter of care: a plain text can only become text."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, TypeAlias

from pytest_trtcheck.report.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"meta", "input", "br", "hr"})


class Html(str):
    """Markup. Only ``element``, ``join`` and ``asset`` make it."""

    __slots__ = ()


Attribute: TypeAlias = "str | int | float | bool | None"


def element(tag: str, /, *children: str, **attributes: Attribute) -> Html:
    """Return an element; children that are no ``Html`` are cleaned and escaped, and so are all attributes.

    ``class_`` and ``for_`` lose their underscore, other underscores become hyphens. An attribute that is True stands
    without a value; one that is None or False is left out.
    """
    opening = tag + "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{opening}>")
    return Html(f"<{opening}>{''.join(map(_content, children))}</{tag}>")


def join(parts: Iterable[str]) -> Html:
    """Return the parts one after the other, plain texts escaped."""
    return Html("".join(map(_content, parts)))


def asset(name: str, text: str) -> Html:
    """Return a block of the page's own style or script, which holds nothing of the report."""
    return Html(f"<{name}>{text}</{name}>")


def _content(child: str) -> str:
    return child if isinstance(child, Html) else html.escape(clean(child), quote=False)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    # What nothing has to be done to is most of it.
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(clean(text))}"'
