"""Small fake roots for probe tests: ELF files, wheels, a dpkg database, the loader's cache, links."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.files import probe_files
from pytest_trtcheck.probe.root import Root

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_trtcheck.model.facts import Distribution, Fact

SITE = "/usr/local/lib/python3.12/dist-packages"
LIB = "/usr/lib/x86_64-linux-gnu"

_EM_X86_64, _ET_DYN = 62, 3
_PT_LOAD, _PT_DYNAMIC = 1, 2
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_SHT_STRTAB, _SHT_DYNAMIC, _SHT_GNU_VERDEF = 3, 6, 0x6FFFFFFD


class _Strings:
    """A string table under construction."""

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: str) -> int:
        offset = len(self.data)
        self.data += text.encode("utf-8", "surrogateescape") + b"\0"
        return offset


def elf_bytes(
    *,
    soname: str | None = None,
    needed: Sequence[str] = (),
    rpath: str | None = None,
    runpath: str | None = None,
    version_nodes: Sequence[str] = (),
) -> bytes:
    """Return a 64-bit little-endian shared object: headers, dynamic table, version nodes, section table last."""
    names = _Strings()
    tags = [(_DT_NEEDED, names.add(name)) for name in needed]
    for tag, text in ((_DT_SONAME, soname), (_DT_RPATH, rpath), (_DT_RUNPATH, runpath)):
        if text is not None:
            tags.append((tag, names.add(text)))
    version_names = [names.add(name) for name in version_nodes]
    strings_at = 64 + 2 * 56
    dynamic_at = strings_at + len(names.data)
    tags += [(_DT_STRTAB, strings_at), (_DT_STRSZ, len(names.data)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    versions_at = dynamic_at + len(dynamic)
    versions = b"".join(
        # One Verdef with one Verdaux each; the last one has no next.
        struct.pack("<HHHHIII", 1, 0, i + 1, 1, 0, 20, 28 if i + 1 < len(version_names) else 0)
        + struct.pack("<II", name, 0)
        for i, name in enumerate(version_names)
    )
    sections, section_names = _sections(strings_at, names.data, dynamic_at, dynamic, versions_at, versions)
    names_at = versions_at + len(versions)
    sections_at = names_at + len(section_names)
    end = sections_at + len(sections)
    header = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header += struct.pack(
        "<HHIQQQIHHHHHH", _ET_DYN, _EM_X86_64, 1, 0, 64, sections_at, 0, 64, 56, 2, 64, len(sections) // 64, 1
    )
    segments = struct.pack("<IIQQQQQQ", _PT_LOAD, 5, 0, 0, 0, end, end, 4096)
    segments += struct.pack(
        "<IIQQQQQQ", _PT_DYNAMIC, 6, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 8
    )
    return header + segments + names.data + dynamic + versions + section_names + sections


def _sections(
    strings_at: int, strings: bytes, dynamic_at: int, dynamic: bytes, versions_at: int, versions: bytes
) -> tuple[bytes, bytes]:
    """Return the section table and its names: null, names, strings, dynamic and, if there are any, versions."""
    names = _Strings()
    names_at = versions_at + len(versions)
    labels = [names.add(label) for label in (".shstrtab", ".dynstr", ".dynamic", ".gnu.version_d")]
    rows = [
        (labels[0], _SHT_STRTAB, names_at, len(names.data), 0, 0),
        (labels[1], _SHT_STRTAB, strings_at, len(strings), 0, 0),
        (labels[2], _SHT_DYNAMIC, dynamic_at, len(dynamic), 2, 0),
    ]
    if versions:
        rows.append((labels[3], _SHT_GNU_VERDEF, versions_at, len(versions), 2, len(versions) // 28))
    table = bytes(64) + b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, at, at, size, link, info, 1, 0)
        for name, kind, at, size, link, info in rows
    )
    return table, names.data


def elf32_bytes() -> bytes:
    """Return the header of a 32-bit shared object, alone."""
    header = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    return header + struct.pack("<HHIIIIIHHHHHH", _ET_DYN, 3, 1, 0, 0, 0, 0, 52, 0, 0, 0, 0, 0)


def cache_bytes(paths: Sequence[str], *, old_first: bool = False, flags: int = 0x0303) -> bytes:
    """Return an ld.so.cache of the given library paths, in glibc's new format or the old one with the new after it."""
    entries_size = 48 + 24 * len(paths)
    strings, entries = b"", b""
    for path in paths:
        name_at = entries_size + len(strings)
        strings += path.rpartition("/")[2].encode() + b"\0"
        path_at = entries_size + len(strings)
        strings += path.encode("utf-8", "surrogateescape") + b"\0"
        entries += struct.pack("<iIIIQ", flags, name_at, path_at, 0, 0)
    header = b"glibc-ld.so.cache1.1" + struct.pack("<II", len(paths), len(strings)) + bytes(20)
    new = header + entries + strings
    if not old_first:
        return new
    old = b"ld.so-1.7.0\0" + struct.pack("<I", 1) + struct.pack("<iII", flags, 0, 0)
    return old + bytes(-len(old) % 8) + new


class FakeRoot:
    """Builds a file tree in a folder, and gives a ``Root`` of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Root:
        """A fresh view of the tree."""
        return Root(self.path)

    def host(self, path: str) -> Path:
        """Return where a path of the tree lies on this machine."""
        return self.path / path.lstrip("/")

    def folder(self, path: str) -> None:
        self.host(path).mkdir(parents=True, exist_ok=True)

    def file(self, path: str, content: bytes | str = b"") -> None:
        self.folder(path.rpartition("/")[0])
        self.host(path).write_bytes(content.encode() if isinstance(content, str) else content)

    def link(self, path: str, target: str) -> None:
        self.folder(path.rpartition("/")[0])
        self.host(path).symlink_to(target)

    def library(self, path: str, soname: str | None = None, *, needed: Sequence[str] = ()) -> None:
        """Write a shared library; its SONAME is its name up to the first number unless given."""
        name = path.rpartition("/")[2]
        self.file(path, elf_bytes(soname=soname or ".".join(name.split(".")[:3]), needed=needed))

    def dist(
        self,
        name: str,
        version: str,
        *,
        site: str = SITE,
        requires: Sequence[str] = (),
        files: Mapping[str, bytes | str] | None = None,
    ) -> str:
        """Write a wheel's dist-info as pip leaves it; ``files`` replaces or adds files. Return its path."""
        path = f"{site}/{name.replace('-', '_')}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {line}" for line in requires]
        contents: dict[str, bytes | str] = {
            "METADATA": "\n".join(lines) + "\n\nA long description.\nName: wrong\n",
            "INSTALLER": "pip\n",
            "WHEEL": "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux_2_28_x86_64\n",
            "RECORD": "",
        }
        for file_name, content in {**contents, **(files or {})}.items():
            self.file(f"{path}/{file_name}", content)
        return path

    def dpkg(self, status: str | bytes, **lists: Sequence[str]) -> None:
        """Write a dpkg status file and the file lists of packages; ``__`` in a keyword stands for ``-``."""
        self.file("/var/lib/dpkg/status", status)
        for package, paths in lists.items():
            self.file(f"/var/lib/dpkg/info/{package.replace('__', '-')}.list", "\n".join(paths) + "\n")

    def probe(
        self, *, env: Mapping[str, str] | None = None, sys_path: Sequence[str] = (SITE,), root: Root | None = None
    ) -> dict[str, Fact]:
        """Return the facts of all file probes."""
        return self.probe_all(env=env, sys_path=sys_path, root=root)[0]

    def probe_all(
        self, *, env: Mapping[str, str] | None = None, sys_path: Sequence[str] = (SITE,), root: Root | None = None
    ) -> tuple[dict[str, Fact], tuple[Distribution, ...], dict[str, float]]:
        return probe_files(root or self.root, env=env or {}, sys_path=sys_path)


def stanza(package: str, version: str, status: str = "install ok installed", architecture: str = "amd64") -> str:
    """Return one package of a dpkg status file."""
    return (
        f"Package: {package}\nStatus: {status}\nArchitecture: {architecture}\nVersion: {version}\n"
        f"Description: something\n  more of it: with a colon\n\n"
    )


def root_with(base: Path, files: Mapping[str, str]) -> Root:
    """Return a root with these files."""
    fake = FakeRoot(base)
    for path, text in files.items():
        fake.file(path, text)
    return fake.root
