"""Open an image, whatever it lies in: folder, layout, archive, or a running container's root."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image import tar
from pytest_trtcheck.image.layers import index, layered_root, unpacked
from pytest_trtcheck.image.limits import Budget
from pytest_trtcheck.image.manifest import Manifest, diff_ids_of, read_manifest
from pytest_trtcheck.image.source import FileSource
from pytest_trtcheck.image.store import FolderStore, TarStore, document
from pytest_trtcheck.probe.root import ReadError, Root, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pytest_trtcheck.image.source import Source

_RUNNING = re.compile(r"/proc/(\d+|self)/root/?")
_SIGNS_OF_A_ROOT = ("/etc", "/usr", "/bin", "/lib", "/opt")
_TRANSPORTS = ("docker-archive:", "oci:", "oci-archive:", "docker://", "containers-storage:", "docker-daemon:")
ENVIRON_LIMIT_BYTES = 1 << 20


@dataclass
class Image:
    """An image that can be read."""

    given: str
    """As the user named it."""
    kind: str
    """``root folder``, ``running container``, ``runtime bundle``, ``root archive``, ``docker archive`` or
    ``OCI layout``."""
    root: Root
    config: Mapping[str, Any] = field(default_factory=dict)
    """The image's config as it stands; of a running container only its ``Env`` is known."""
    digest: str = ""
    manifest_digest: str = ""
    references: tuple[str, ...] = ()
    layers: int = 0
    checked_layers: int = 0
    """Layers whose content was held against the config's digests."""
    notes: list[str] = field(default_factory=list)
    """What was passed over, in words."""
    _close: list[Callable[[], None]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What reports call it: its reference where it has one, else what the user gave, with its digest."""
        name = self.references[0] if self.references else self.given
        return shown(f"{name} ({self.digest})" if self.digest else name)

    @property
    def env(self) -> dict[str, str]:
        """The variables that the image, or the running process, sets."""
        inner = self.config.get("config")
        listed = inner.get("Env") if isinstance(inner, Mapping) else None
        pairs = (text.partition("=") for text in listed or () if isinstance(text, str))
        return {name: value for name, equals, value in pairs if equals}

    def close(self) -> None:
        """Close the files that it is read from."""
        for close in self._close:
            close()

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def open_image(given: str) -> Image:
    """Open ``PATH`` or ``PATH@REFERENCE``; ImageError, one line, for what cannot be read as an image."""
    path, wanted = _split(given)
    if Path(path).is_dir():
        return _folder(given, path, wanted)
    source = FileSource.of(path)
    try:
        image = _archive(given, source, wanted)
    except BaseException:
        source.close()
        raise
    image._close.append(source.close)  # noqa: SLF001 - its own module
    return image


def _split(given: str) -> tuple[str, str]:
    """Return path and reference; a path may hold an @ itself."""
    try:
        if Path(given).exists():
            return given, ""
        for at in (place for place, char in enumerate(given) if char == "@"):
            if Path(given[:at]).exists():
                return given[:at], given[at + 1 :]
    except (OSError, ValueError) as error:
        raise ImageError(shown(given), getattr(error, "strerror", None) or str(error)) from None
    if given.startswith(_TRANSPORTS):
        step = "name the archive or folder alone; save an image to one with docker save, podman save or skopeo copy"
        raise ImageError(shown(given), step)
    raise ImageError(shown(given), "no such file or folder; save the image with docker save or podman save first")


def _folder(given: str, path: str, wanted: str) -> Image:
    root = Root(path)
    if root.is_file("/oci-layout") or root.is_file("/index.json"):
        store = FolderStore(root, shown(path))
        try:
            manifest = read_manifest(store, wanted)
            assert manifest is not None
            image = _of_manifest(given, manifest)
        except BaseException:
            _close_all(store)
            raise
        image._close.append(lambda: _close_all(store))  # noqa: SLF001 - its own module
        return image
    if wanted:
        raise ImageError(shown(path), f"a folder that is no OCI layout holds no image {shown(wanted)}")
    if _RUNNING.fullmatch(path):
        return _running(given, path, root)
    if root.is_dir("/rootfs") and root.is_file("/config.json"):
        return _bundle(given, path, root)
    if not any(root.exists(sign) for sign in _SIGNS_OF_A_ROOT):
        raise ImageError(shown(path), "expected an OCI layout or the root of a file system, found another folder")
    return Image(given, "root folder", root)


def _close_all(store: FolderStore) -> None:
    for source in store.opened:
        source.close()


def _running(given: str, path: str, root: Root) -> Image:
    """Take a container's root from /proc, with the variables that its process was started with."""
    image = Image(given, "running container", root)
    if not any(root.exists(sign) for sign in _SIGNS_OF_A_ROOT):
        raise ImageError(shown(path), "its files cannot be read; run as the container's user or as root")
    process = Root(path.rstrip("/").removesuffix("/root"))
    try:
        text = process.read_start("/environ", ENVIRON_LIMIT_BYTES).decode("utf-8", "replace")
        image.config = {"config": {"Env": text.split("\0")}}
    except ReadError as error:
        image.notes.append(f"the variables of its process could not be read: {error.reason}")
    return image


def _bundle(given: str, path: str, root: Root) -> Image:
    """Take what ``umoci unpack`` and ``runc`` call a bundle: ``rootfs`` and the runtime's ``config.json``."""
    config = document(FolderStore(root, shown(path)), "config.json")
    process = config.get("process") if isinstance(config, Mapping) else None
    env = process.get("env") if isinstance(process, Mapping) else None
    return Image(given, "runtime bundle", Root(f"{path.rstrip('/')}/rootfs"), {"config": {"Env": env}})


def _archive(given: str, source: FileSource, wanted: str) -> Image:
    outer: Source = unpacked(source)
    if not tar.is_tar(outer.read_at(0, 512)):
        raise ImageError(source.name, "expected an archive of an image, plain or packed with gzip or zstd")
    store = TarStore(outer, is_packed=outer is not source)
    manifest = read_manifest(store, wanted)
    if manifest is not None:
        image = _of_manifest(given, manifest)
        image.notes[:0] = store.notes
        return image
    if not any(path.split("/")[0] in {"etc", "usr", "bin", "opt"} for path in store.paths):
        raise ImageError(source.name, "no image: neither manifest.json nor index.json nor a root file system is in it")
    laid = layered_root([lambda: index(source, Budget())])
    return Image(given, "root archive", laid.root, layers=1, notes=laid.notes)


def _of_manifest(given: str, manifest: Manifest) -> Image:
    laid = layered_root(manifest.layers, diff_ids_of(manifest), at_once=manifest.layers_at_once)
    return Image(
        given,
        manifest.kind,
        laid.root,
        manifest.config,
        manifest.digest,
        manifest.manifest_digest,
        manifest.references,
        len(manifest.layers),
        laid.checked,
        laid.notes,
    )
