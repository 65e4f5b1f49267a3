"""Installed Debian packages, read from dpkg's own files. Nothing is run, so this works on any root."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_trtcheck.model.versions import DpkgVersion
from pytest_trtcheck.probe.root import Kind, MissingError, ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = "/var/lib/dpkg"
STATUS_LIMIT_BYTES = 64 << 20
LIST_LIMIT_BYTES = 16 << 20

_BAD_LINE = re.compile(rb"^(?![ \t\n]|[!-9;-~]+:|\Z).*", re.MULTILINE)
_FIELDS = (b"Package", b"Version", b"Status", b"Architecture")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_GONE = {"not-installed", "config-files"}


class DpkgError(ReadError):
    """A package database that is there and cannot be trusted."""


@dataclass(frozen=True)
class Package:
    """One package that dpkg knows and that has files on disk, or may have."""

    name: str
    version: str
    architecture: str
    state: str
    """``installed``, or how far it got: ``half-installed``, ``unpacked``, ``half-configured`` …"""
    held: bool = False

    @property
    def is_installed(self) -> bool:
        """True when dpkg finished with it; ``held`` packages count too."""
        return self.state == "installed"

    @property
    def upstream(self) -> str:
        """The version without epoch and revision, as the library itself counts."""
        version = DpkgVersion.try_parse(self.version)
        return version.upstream if version else self.version


def read_packages(root: Root) -> tuple[Package, ...]:
    """Return the packages of ``status`` and ``status.d``, without removed ones that left only settings.

    MissingError when there is no dpkg here; DpkgError, naming the line, for a database that is damaged: a
    package missing from such a file is not known to be absent.
    """
    packages: list[Package] = []
    paths = _status_d_files(root)
    if root.exists(f"{FOLDER}/status") or not paths:
        paths = [f"{FOLDER}/status", *paths]
    for path in paths:
        packages += parse_status(root.read_bytes(path, STATUS_LIMIT_BYTES), path)
    return tuple(packages)


def parse_status(data: bytes, path: str = f"{FOLDER}/status") -> list[Package]:
    """Return the packages of one status file; DpkgError names the first line that cannot be one."""
    bad = _BAD_LINE.search(data)
    if bad:
        quoted = shown(bad[0][:60].decode("utf-8", "surrogateescape"))
        raise _error(data, path, bad.start(), f'expected "Field: value", found "{quoted}"')
    if data and not data.endswith(b"\n"):
        raise _error(data, path, len(data), "cut short, the last line has no end")
    packages = []
    offset = 0
    for stanza in data.split(b"\n\n"):
        if stanza.strip(b"\n"):
            try:
                package = _package(stanza)
            except ValueError as error:
                raise _error(data, path, offset, str(error)) from None
            if package.state not in _GONE:
                packages.append(package)
        offset += len(stanza) + 2
    return packages


def _package(stanza: bytes) -> Package:
    name, version, status, architecture = (_field(stanza, field) for field in _FIELDS)
    if not _NAME.fullmatch(name):
        raise ValueError(f'Package: expected a package name, found "{shown(name[:60])}"')
    # Files in status.d (distroless images) have no Status: they are there, so they are installed.
    words = (status or "install ok installed").split()
    if len(words) != 3:
        raise ValueError(f"Status of {name}: expected three words, found {len(words)}")
    if not version and words[2] == "installed":
        raise ValueError(f"{name} is installed but has no Version")
    return Package(
        name=name,
        version=shown(version),
        architecture=shown(architecture),
        state=shown(words[2]),
        held=words[0] == "hold",
    )


def _field(stanza: bytes, name: bytes) -> str:
    start = stanza.find(b"\n" + name + b":") + 1
    if not start and not stanza.startswith(name + b":"):
        return ""
    value = stanza[start + len(name) + 1 :].partition(b"\n")[0]
    return value.strip().decode("utf-8", "replace")


def owner_of(root: Root, packages: Iterable[Package], paths: Iterable[str]) -> Package | None:
    """Return the one of ``packages`` whose file list holds one of ``paths``; unreadable lists are skipped.

    On merged-usr systems a list may say ``/lib/…`` for a file in ``/usr/lib/…``: both spellings match.
    """
    wanted = {spelling for path in paths for spelling in spellings(path)}
    for package in packages:
        if not wanted.isdisjoint(package_files(root, package)):
            return package
    return None


def spellings(path: str) -> tuple[str, ...]:
    """Return how packages of merged-usr systems may name a file: with ``/usr`` and without."""
    bare = path.removeprefix("/usr")
    return (path, bare, f"/usr{bare}")


def package_files(root: Root, package: Package) -> list[str]:
    """Return the paths a package put on disk; empty when its list is missing or unreadable."""
    for name in (f"{package.name}:{package.architecture}", package.name):
        try:
            data = root.read_bytes(f"{FOLDER}/info/{name}.list", LIST_LIMIT_BYTES)
        except ReadError:
            continue
        return data.decode("utf-8", "surrogateescape").split("\n")
    return []


def _status_d_files(root: Root) -> list[str]:
    folder = f"{FOLDER}/status.d"
    try:
        entries = root.listdir(folder)
    except MissingError:
        return []
    return [f"{folder}/{e.name}" for e in entries if e.kind is Kind.FILE and not e.name.endswith(".md5sums")]


def _error(data: bytes, path: str, offset: int, what: str) -> DpkgError:
    line = data.count(b"\n", 0, offset) + 1
    return DpkgError(path, f"line {line}: {what}; repair it with dpkg, or rebuild the image")
