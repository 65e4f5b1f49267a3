"""The Pythons of an image: each prefix with its site folders, and the one that the stack runs in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.distinfo import is_stack_name, normalise
from pytest_trtcheck.probe.mpi import find_program
from pytest_trtcheck.probe.root import ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SITE = re.compile(r"(?P<prefix>.*?)/lib(?:64|32)?/python(?P<version>3(?:\.\d{1,2})?)/(?:site|dist)-packages")
_PROGRAM = re.compile(r"(?P<prefix>.*)/bin/python(?P<version>3\.\d{1,2})")
_CONFIG_LIMIT_BYTES = 16 << 10
_DEBIAN = "/usr"


@dataclass
class Prefix:
    """One Python, or one virtual environment."""

    path: str
    version: str | None = None
    """``3.12`` or, where a virtual environment tells it, ``3.12.3``."""
    sites: list[str] = field(default_factory=list)
    """In the order in which an import searches them."""
    stack: tuple[str, ...] = ()
    """Normalised names of the stack's distributions in it."""
    is_environment: bool = False
    """True for a virtual environment that does not see the packages of its base."""


@dataclass(frozen=True)
class Pythons:
    """All Pythons of an image."""

    prefixes: tuple[Prefix, ...]
    chosen: Prefix | None
    why: str
    sys_path: tuple[str, ...]
    """What an import of the chosen one searches."""


def find_pythons(root: Root, sites: Sequence[str], env: Mapping[str, str]) -> Pythons:
    """Return the Pythons that have site folders, and choose: the one on PATH, unless another alone has the stack."""
    prefixes: dict[str, Prefix] = {}
    for site in sorted(sites):
        match = _SITE.fullmatch(site)
        if match is None:
            continue
        # Debian's own Python, in /usr, also searches /usr/local; there "site-packages" belongs to another one.
        path = _DEBIAN if site.endswith("dist-packages") else match["prefix"] or "/"
        prefix = prefixes.setdefault(path, Prefix(path))
        prefix.sites.append(site)
        if "." in match["version"]:
            prefix.version = prefix.version or match["version"]
    for prefix in prefixes.values():
        prefix.sites.sort(key=lambda site: (not site.startswith("/usr/local"), site))
    for prefix in prefixes.values():
        _read_config(root, prefix, prefixes)
        prefix.stack = tuple(sorted(_stack_names(root, prefix.sites)))
    on_path = _on_path(root, env, prefixes)
    chosen, why = _choose(prefixes, on_path)
    extra = [path for path in env.get("PYTHONPATH", "").split(":") if path.startswith("/")]
    sys_path = (*extra, *(chosen.sites if chosen else ()))
    return Pythons(tuple(prefixes.values()), chosen, why, sys_path)


def python_facts(found: Pythons) -> dict[str, Fact]:
    """Return ``python`` and ``python_prefixes``."""
    if found.chosen is None:
        reason = "no site-packages or dist-packages folder in the image"
        return {key: Fact(key, State.ABSENT, reason=reason) for key in ("python", "python_prefixes")}
    details = {"prefixes": [_described(prefix) for prefix in found.prefixes]}
    chosen = found.chosen
    return {
        "python": Fact("python", State.FOUND, chosen.version, shown(chosen.path), "name of its library folder",
                       why_chosen=found.why, details={"prefix": shown(chosen.path)}),
        "python_prefixes": Fact("python_prefixes", State.FOUND, str(len(found.prefixes)), shown(chosen.path),
                                "number of prefixes", why_chosen=found.why, details=details),
    }  # fmt: skip


def _described(prefix: Prefix) -> dict[str, object]:
    sites = [shown(site) for site in prefix.sites]
    return {"path": shown(prefix.path), "version": prefix.version, "sites": sites, "stack": list(prefix.stack)}


def _read_config(root: Root, prefix: Prefix, prefixes: Mapping[str, Prefix]) -> None:
    """Read what a virtual environment says of itself."""
    try:
        text = root.read_text(f"{prefix.path}/pyvenv.cfg", _CONFIG_LIMIT_BYTES)
    except ReadError:
        return
    pairs = (line.partition("=") for line in text.splitlines())
    values = {key.strip(): value.strip() for key, _, value in pairs}
    version = re.fullmatch(r"(3\.\d{1,2}(?:\.\d{1,3})?)\S*", values.get("version") or values.get("version_info") or "")
    prefix.version = version[1] if version else prefix.version
    prefix.is_environment = values.get("include-system-site-packages", "").lower() != "true"
    base = prefixes.get(values.get("home", "").removesuffix("/bin"))
    if not prefix.is_environment and base is not None and base is not prefix:
        prefix.sites += base.sites


def _stack_names(root: Root, sites: Sequence[str]) -> set[str]:
    names: set[str] = set()
    for site in sites:
        try:
            entries = root.listdir(site)
        except ReadError:
            continue
        found = (normalise(entry.name.partition("-")[0]) for entry in entries if entry.name.endswith(".dist-info"))
        names |= {name for name in found if is_stack_name(name)}
    return names


def _on_path(root: Root, env: Mapping[str, str], prefixes: Mapping[str, Prefix]) -> Prefix | None:
    program = find_program(root, env, ("python3", "python"))
    if program is None:
        return None
    here = program.rpartition("/bin/")[0]
    if here in prefixes and root.is_file(f"{here}/pyvenv.cfg"):
        return prefixes[here]
    try:
        match = _PROGRAM.fullmatch(root.resolve(program))
    except ReadError:
        match = None
    found = prefixes.get(match["prefix"]) if match else prefixes.get(here)
    if found is not None and match:
        found.version = found.version or match["version"]
    return found


def _choose(prefixes: Mapping[str, Prefix], on_path: Prefix | None) -> tuple[Prefix | None, str]:
    if not prefixes:
        return None, ""
    richest = max(prefixes.values(), key=lambda prefix: len(prefix.stack))
    if on_path is not None and (on_path.stack or not richest.stack):
        return on_path, "its python3 comes first on PATH"
    if on_path is not None:
        return richest, f"it has the stack; python3 on PATH, in {shown(on_path.path)}, has nothing of it"
    return richest, "it has most of the stack; no python3 is on PATH"
