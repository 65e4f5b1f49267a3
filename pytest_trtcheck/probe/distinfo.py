"""Installed Python distributions, by a scan of ``.dist-info`` and ``.egg-info`` folders."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.components import COMPONENTS
from pytest_trtcheck.model.facts import Distribution
from pytest_trtcheck.probe.root import Entry, Kind, MissingError, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# The headers of METADATA come first; the largest of the stack measured (vllm) take 12 kB.
HEADER_BYTES = 256 << 10
SMALL_FILE_BYTES = 64 << 10

_STACK_NAMES = frozenset(name for component in COMPONENTS for name in component.distributions)
_STACK_PREFIXES = ("nvidia-", "tensorrt", "cuda-", "cupy", "triton")
_NGC_LABEL = re.compile(r"\+.*\bnv\d{2}\.\d{1,2}|\+nv")
_FOLDER_NAME = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._]*)-(?P<version>v?[0-9][A-Za-z0-9.!+_]*)(?:-py[0-9.]+)?")
_DEBIAN_FOLDER = "/usr/lib/python3/dist-packages"


@dataclass(frozen=True)
class InstalledPython:
    """What the given ``sys.path`` folders hold."""

    distributions: tuple[Distribution, ...]
    """The one of each name that an import meets first, sorted by name."""
    hidden: tuple[Distribution, ...] = ()
    """Further copies of the same names, in the order of the search."""
    folders: tuple[str, ...] = ()
    """The folders scanned, in order."""
    problems: tuple[str, ...] = ()
    """Folders that could not be scanned, in words."""

    def named(self, name: str) -> tuple[Distribution, ...]:
        """Return every copy of that normalised name, the one that wins first."""
        return tuple(dist for dist in (*self.distributions, *self.hidden) if dist.name == name)


def normalise(name: str) -> str:
    """Return the name in the spelling of the package index: lower case, single dashes."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_stack_name(name: str) -> bool:
    """Say whether the metadata of that normalised name is read in full."""
    return name in _STACK_NAMES or name.startswith(_STACK_PREFIXES)


def read_distributions(root: Root, sys_path: Sequence[str]) -> InstalledPython:
    """Return the distributions of the given folders, the first of each name winning as in an import.

    Only names of the stack are read in full. Of the others name and version come from the folder's name
    and the origin stays ``unknown``; their files are opened only when that name is broken.
    """
    winners: dict[str, Distribution] = {}
    hidden: list[Distribution] = []
    folders: list[str] = []
    problems: list[str] = []
    seen: set[str] = set()
    for folder in _real_folders(root, sys_path, problems):
        folders.append(folder)
        try:
            entries = root.listdir(folder)
        except ReadError as error:
            problems.append(str(error))
            continue
        for dist in _scan(root, folder, entries):
            if dist.path not in seen and winners.setdefault(dist.name, dist) is not dist:
                hidden.append(dist)
            seen.add(dist.path)
    for dist in hidden:
        first = winners[dist.name]
        where = dist.path.rpartition("/")[0]
        same = " (the same folder: a leftover of an upgrade)" if first.path.startswith(where + "/") else ""
        note = f"another copy, {dist.version or 'version unknown'}, is hidden in {where}{same}"
        winners[dist.name] = replace(first, note="; ".join(filter(None, (first.note, note))))
    return InstalledPython(
        tuple(winners[name] for name in sorted(winners)), tuple(hidden), tuple(folders), tuple(problems)
    )


def _real_folders(root: Root, sys_path: Iterable[str], problems: list[str]) -> list[str]:
    """Return the folders of ``sys_path`` with links resolved, each once; zip files are passed over."""
    folders: dict[str, None] = {}
    for path in sys_path:
        if not path.startswith("/"):
            continue
        try:
            real = root.resolve(path)
        except MissingError:
            continue
        except ReadError as error:
            problems.append(str(error))
            continue
        if root.is_dir(real):
            folders[real] = None
    return list(folders)


def _scan(root: Root, folder: str, entries: Sequence[Entry]) -> list[Distribution]:
    """Return the distributions of one folder, whole ones before those whose metadata is broken."""
    found = []
    for entry in entries:
        path = f"{folder.rstrip('/')}/{entry.name}"
        if entry.name.endswith(".dist-info"):
            found.append(_read(root, path, entry.name[: -len(".dist-info")], "METADATA"))
        elif entry.name.endswith(".egg-info"):
            metadata = "" if entry.kind is Kind.FILE else "PKG-INFO"
            found.append(_read(root, path, entry.name[: -len(".egg-info")], metadata))
        elif entry.name.endswith(".egg-link"):
            found += _linked(root, path)
    return sorted(found, key=lambda dist: (dist.name, bool(dist.note)))


def _linked(root: Root, path: str) -> list[Distribution]:
    """Return what an ``.egg-link`` of a development install leads to."""
    try:
        source = root.read_text(path, SMALL_FILE_BYTES).partition("\n")[0].strip()
        entries = root.listdir(source) if source.startswith("/") else ()
    except ReadError:
        return []
    return [
        replace(dist, origin="editable")
        for dist in _scan(root, source, [entry for entry in entries if entry.name.endswith(".egg-info")])
    ]


def _read(root: Root, path: str, stem: str, metadata: str) -> Distribution:
    match = _FOLDER_NAME.fullmatch(stem)
    name, version = (normalise(match["name"]), match["version"]) if match else ("", "")
    if match and not is_stack_name(name):
        return Distribution(name, version, path, origin="unknown")
    if stem.startswith("~"):
        note = "left behind by an interrupted pip, the ~ hides it from imports; delete the folder"
        name, _, version = shown(stem).partition("-")
        return Distribution(name.replace("_", "-").lower(), version, shown(path), origin="unknown", note=note)
    return _read_metadata(root, path, f"{path}/{metadata}".rstrip("/"), name, version, shown(stem))


def _read_metadata(root: Root, path: str, metadata_path: str, name: str, version: str, stem: str) -> Distribution:
    notes: list[str] = []
    fields = _headers(root, metadata_path, notes)
    real_name = normalise(shown(_only(fields, "name"))) or name or normalise(stem)
    real_version = shown(_only(fields, "version"))
    if fields and not real_version:
        notes.append("METADATA has no Version")
    if name and fields and (real_name, real_version or version) != (name, version):
        notes.append(f"METADATA says {real_name} {real_version}, the folder's name {name} {version}")
    small = {key: _small(root, f"{path}/{key}", notes) for key in ("INSTALLER", "WHEEL", "direct_url.json")}
    return Distribution(
        name=real_name,
        version=real_version or version,
        path=shown(path),
        origin=_origin(path, real_version or version, small, notes),
        installer=shown((small["INSTALLER"] or "").strip()),
        requires=tuple(shown(line) for line in fields.get("requires-dist", ())),
        requires_python=shown(_only(fields, "requires-python")),
        tags=tuple(shown(tag) for tag in parse_headers(small["WHEEL"] or "").get("tag", ())),
        note="; ".join(notes),
    )


def _headers(root: Root, path: str, notes: list[str]) -> dict[str, list[str]]:
    what = path.rpartition("/")[2]
    try:
        data = root.read_start(path, HEADER_BYTES)
    except ReadError as error:
        notes.append(f"{what}: {error.reason}")
        return {}
    if not data.strip():
        notes.append(f"{what} is empty")
        return {}
    try:
        text = data.partition(b"\n\n")[0].decode("utf-8")
    except UnicodeDecodeError as error:
        notes.append(f"{what} is not UTF-8 (byte {error.start})")
        text = data.decode("utf-8", "replace")
    fields = parse_headers(text)
    if not fields:
        notes.append(f"{what} holds no headers")
    return fields


def parse_headers(text: str) -> dict[str, list[str]]:
    """Return the header fields up to the first empty line, by lower-case name; folded lines are joined."""
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    for line in text.splitlines():
        if not line.strip():
            break
        if line[0] in " \t":
            if values:
                values[-1] += f" {line.strip()}"
            continue
        key, colon, value = line.partition(":")
        values = fields.setdefault(key.strip().lower(), []) if colon else []
        if colon:
            values.append(value.strip())
    return fields


def _only(fields: dict[str, list[str]], key: str) -> str:
    return fields.get(key, [""])[0]


def _small(root: Root, path: str, notes: list[str]) -> str | None:
    """Return the text of a small file, empty when there is none, None when it is there and cannot be read."""
    try:
        return root.read_text(path, SMALL_FILE_BYTES)
    except MissingError:
        return ""
    except ReadError as error:
        notes.append(f"{path.rpartition('/')[2]}: {error.reason}")
        return None


def _origin(path: str, version: str, small: dict[str, str | None], notes: list[str]) -> str:
    """Say how it came here. NVIDIA's containers install their builds from local files: that is asked first."""
    if _NGC_LABEL.search(version):
        return "NGC build"
    installer, direct_url = (small["INSTALLER"] or "").strip(), small["direct_url.json"]
    if direct_url is None:
        return "unknown"
    if direct_url.strip():
        return _direct_origin(direct_url, notes)
    if installer == "conda":
        return "conda"
    if path.endswith(".egg-info"):
        return "unknown" if path.startswith(_DEBIAN_FOLDER) else "source"
    return "index wheel" if installer and small["WHEEL"] else "unknown"


def _direct_origin(text: str, notes: list[str]) -> str:
    try:
        document: Any = json.loads(text)
        if document.get("dir_info", {}).get("editable"):
            return "editable"
        return "direct URL" if str(document["url"]).endswith(".whl") else "source"
    except (ValueError, AttributeError, KeyError, RecursionError):
        notes.append("direct_url.json is broken")
        return "unknown"
