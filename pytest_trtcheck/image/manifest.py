"""Which layers make an image, and what its config says: OCI layouts and the archives of docker and podman.

Source: OCI image specification (image-layout.md, manifest.md, image-index.md, config.md); moby's image/tarexport for
``manifest.json``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.errors import ImageError
from pytest_trtcheck.image.limits import MAX_LAYERS
from pytest_trtcheck.image.store import Store, digest_of, document
from pytest_trtcheck.probe.root import shown

if TYPE_CHECKING:
    from pytest_trtcheck.image.layers import Indexed

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_REF_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_MAX_INDEXES = 8
_MAX_LISTED = 10


@dataclass(frozen=True)
class Manifest:
    """One image: its parts and its name."""

    kind: str
    """``OCI layout`` or ``docker archive``."""
    config: Mapping[str, Any]
    digest: str
    """Of the config: what docker and podman call the image's id. It holds the digests of the unpacked layers."""
    layers: Sequence[Callable[[], Indexed]]
    layers_at_once: int = 1
    references: tuple[str, ...] = ()
    manifest_digest: str = ""
    """What a registry calls the image's digest; empty where the archive holds no manifest."""
    details: Mapping[str, Any] = field(default_factory=dict)


def diff_ids_of(manifest: Manifest) -> list[str]:
    """Return the digests of the unpacked layers, by the config; ImageError when it tells of other layers."""
    rootfs = manifest.config.get("rootfs")
    listed = _list(rootfs.get("diff_ids")) if isinstance(rootfs, Mapping) else []
    if listed and len(listed) != len(manifest.layers):
        problem = f"its config tells of {len(listed)} layers, its manifest of {len(manifest.layers)}"
        raise ImageError(f"image {manifest.digest}", f"{problem}: the image is damaged")
    return [str(one) for one in listed]


@dataclass(frozen=True)
class _Candidate:
    descriptor: Mapping[str, Any]
    references: tuple[str, ...]

    @property
    def label(self) -> str:
        return ", ".join(self.references) or str(self.descriptor.get("digest", ""))


def read_manifest(store: Store, wanted: str) -> Manifest | None:
    """Return the image of a store, by reference, platform or digest where there are several; None for no image.

    An archive that is both, as ``docker save`` writes since version 25, is read as docker does.
    """
    if store.source("manifest.json") is not None:
        return _of_docker(store, wanted)
    if store.source("index.json") is not None:
        return _of_oci(store, wanted)
    if store.source("repositories") is not None:
        raise ImageError(store.name, "a docker archive from before 2016, without manifest.json; save it anew")
    return None


def _of_docker(store: Store, wanted: str) -> Manifest:
    entries = [entry for entry in _list(document(store, "manifest.json")) if isinstance(entry, Mapping)]
    where = f"{store.name}: manifest.json"
    fitting = [entry for entry in entries if not wanted or _is_wanted(entry, wanted)]
    if len(fitting) != 1:
        names = [", ".join(map(str, _list(entry.get("RepoTags")))) or str(entry.get("Config")) for entry in entries]
        raise _not_one(store, wanted, names)
    entry = fitting[0]
    path, layers = entry.get("Config"), entry.get("Layers")
    if not isinstance(path, str) or not isinstance(layers, list) or not all(isinstance(name, str) for name in layers):
        raise ImageError(where, "expected Config and Layers of an image, found something else")
    stated = re.search(r"([0-9a-f]{64})(?:\.json)?$", path)
    config = document(store, path, f"sha256:{stated[1]}" if stated else "")
    return Manifest(
        "docker archive",
        _mapping(config, f"{store.name}: {shown(path)}"),
        digest_of(store, path),
        [partial(_layer, store, name) for name in layers],
        store.layers_at_once,
        tuple(str(name) for name in _list(entry.get("RepoTags"))),
    )


def _is_wanted(entry: Mapping[str, Any], wanted: str) -> bool:
    config = str(entry.get("Config", ""))
    return wanted in _list(entry.get("RepoTags")) or wanted.removeprefix("sha256:") in config


def _of_oci(store: Store, wanted: str) -> Manifest:
    candidates = _candidates(store, document(store, "index.json"), (), 0)
    fitting = [one for one in candidates if not wanted or _fits(one, wanted)]
    if len({one.descriptor.get("digest") for one in fitting}) != 1:
        raise _not_one(store, wanted, [one.label for one in candidates])
    chosen = fitting[0]
    digest = str(chosen.descriptor.get("digest"))
    where = f"{store.name}: manifest {digest}"
    manifest = _mapping(document(store, _blob(digest, where), digest), where)
    config_digest = str(_mapping(manifest.get("config"), where).get("digest"))
    layers = [str(_mapping(layer, where).get("digest")) for layer in _list(manifest.get("layers"))]
    return Manifest(
        "OCI layout",
        _mapping(document(store, _blob(config_digest, where), config_digest), where),
        config_digest,
        [partial(_layer, store, _blob(layer, where)) for layer in layers],
        store.layers_at_once,
        tuple(dict.fromkeys(reference for one in fitting for reference in one.references)),
        digest,
    )


def _candidates(store: Store, index: Any, above: tuple[str, ...], depth: int) -> list[_Candidate]:
    """Return the images of an index, nested ones too; what is no image, as an attestation, is left out."""
    found: list[_Candidate] = []
    where = f"{store.name}: index.json"
    for entry in _list(_mapping(index, where).get("manifests"))[:MAX_LAYERS]:
        descriptor = _mapping(entry, where)
        notes = descriptor.get("annotations")
        notes = notes if isinstance(notes, Mapping) else {}
        references = (*above, *(str(notes[name]) for name in _REF_NAMES if notes.get(name)))
        platform = descriptor.get("platform")
        if isinstance(platform, Mapping) and platform.get("os"):
            if platform.get("os") == "unknown" or "vnd.docker.reference.type" in notes:
                continue
            references = (*references, f"{platform.get('os')}/{platform.get('architecture')}")
        if "index" in str(descriptor.get("mediaType")) or "manifest.list" in str(descriptor.get("mediaType")):
            digest = str(descriptor.get("digest"))
            if depth == _MAX_INDEXES:
                raise ImageError(where, f"indexes within indexes, more than {_MAX_INDEXES} deep")
            inner = document(store, _blob(digest, where), digest)
            found += _candidates(store, inner, references, depth + 1)
        else:
            found.append(_Candidate(descriptor, references))
    return found


def _fits(candidate: _Candidate, wanted: str) -> bool:
    return wanted in candidate.references or str(candidate.descriptor.get("digest", "")) == wanted


def _not_one(store: Store, wanted: str, names: Sequence[str]) -> ImageError:
    listed = "; ".join(shown(name) for name in names[:_MAX_LISTED]) or "none"
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    problem = f"no image is {shown(wanted)}" if wanted else f"expected one image, found {len(names)}"
    step = "; name one as PATH@REFERENCE" if names else ""
    return ImageError(store.name, f"{problem}; there are: {listed}{more}{step}")


def _layer(store: Store, path: str) -> Indexed:
    found = store.layer(path)
    if found is None:
        raise ImageError(f"{store.name}: {shown(path)}", "a layer that is not in the archive; save the whole image")
    return found


def _blob(digest: str, where: str) -> str:
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ImageError(where, f"expected a digest sha256:…, found {shown(digest[:80])!r}")
    return f"blobs/sha256/{match[1]}"


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ImageError(where, "expected a JSON object, found something else")
    return value


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
