"""Images made by plain Python, in every form in which tools save them. Real tools are asked in their own tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakeroot import LIB, SITE, FakeRoot, stanza

REFERENCE = "registry.example/llm/server:25.10"


def entry(name: str, content: bytes | str = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return one entry of a layer; ``type``, ``linkname`` and the like go to its header."""
    data = content.encode() if isinstance(content, str) else content
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def folder(name: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.DIRTYPE)


def link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def tar(*entries: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive of these entries."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form, errors="surrogateescape") as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data) if data else None)
    return file.getvalue()


def tar_of(tree: FakeRoot) -> bytes:
    """Return a layer with all files of a tree."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", errors="surrogateescape") as archive:
        archive.add(tree.path, arcname=".")
    return file.getvalue()


def zstd(data: bytes) -> bytes:
    import zstandard

    packed: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return packed


PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": zstd,
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Built:
    """An image in memory: layers unpacked, and what its config says."""

    layers: Sequence[bytes]
    env: Sequence[str] = ("PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/cuda/lib64")
    references: Sequence[str] = (REFERENCE,)
    packed: str = "plain"
    """How layers are stored."""
    labels: Mapping[str, str] = field(default_factory=dict)
    entrypoint: Sequence[str] = ("/entry.sh",)

    @property
    def config(self) -> bytes:
        return json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-11-20T00:00:00Z",
                "config": {"Env": list(self.env), "Entrypoint": list(self.entrypoint), "Labels": dict(self.labels)},
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}" for layer in self.layers]},
            }
        ).encode()

    def stored(self) -> list[bytes]:
        return [PACKERS[self.packed](layer) for layer in self.layers]

    def docker_legacy(self, path: Path, outer: str = "plain") -> Path:
        """Write what docker saved before version 25: a folder per layer, shared ones linked."""
        config = self.config
        entries = [entry(f"{digest(config)}.json", config)]
        names: list[str] = []
        seen: dict[str, str] = {}
        for number, layer in enumerate(self.stored()):
            name = f"{number:064x}/layer.tar"
            entries.append(folder(f"{number:064x}"))
            same = seen.get(digest(layer))
            entries.append(link(name, f"../{same}") if same else entry(name, layer))
            seen.setdefault(digest(layer), name)
            names.append(name)
        manifest = [{"Config": f"{digest(config)}.json", "RepoTags": list(self.references), "Layers": names}]
        entries.append(entry("manifest.json", json.dumps(manifest)))
        path.write_bytes(PACKERS[outer](tar(*entries)))
        return path

    def blobs(self) -> dict[str, bytes]:
        """Return the files of an OCI layout."""
        config, layers = self.config, self.stored()
        media = {"plain": "tar", "gzip": "tar+gzip", "zstd": "tar+zstd"}[self.packed]
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
                "layers": [_descriptor(f"application/vnd.oci.image.layer.v1.{media}", layer) for layer in layers],
            }
        ).encode()
        names = {"org.opencontainers.image.ref.name": self.references[0]} if self.references else {}
        one = {**_descriptor("application/vnd.oci.image.manifest.v1+json", manifest), "annotations": names}
        index = json.dumps({"schemaVersion": 2, "manifests": [one]}).encode()
        files = {f"blobs/sha256/{digest(blob)}": blob for blob in (config, manifest, *layers)}
        return {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index, **files}

    def oci_folder(self, path: Path) -> Path:
        for name, data in self.blobs().items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
        return path

    def oci_archive(self, path: Path, outer: str = "plain") -> Path:
        path.write_bytes(PACKERS[outer](tar(*(entry(name, data) for name, data in self.blobs().items()))))
        return path

    def docker_blobs(self, path: Path, outer: str = "plain") -> Path:
        """Write what docker saves since version 25: an OCI layout with a manifest.json beside it."""
        files = self.blobs()
        manifest = [
            {
                "Config": f"blobs/sha256/{digest(self.config)}",
                "RepoTags": list(self.references),
                "Layers": [f"blobs/sha256/{digest(layer)}" for layer in self.stored()],
            }
        ]
        files["manifest.json"] = json.dumps(manifest).encode()
        path.write_bytes(PACKERS[outer](tar(*(entry(name, data) for name, data in files.items()))))
        return path


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest(data)}", "size": len(data)}


def serving_tree(path: Path) -> FakeRoot:
    """Return a root as serving images have it: system, CUDA libraries, wheels, an engine, links of all kinds."""
    tree = FakeRoot(path)
    tree.file("/etc/os-release", 'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n')
    tree.file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
    tree.file("/etc/ld.so.conf.d/cuda.conf", "/usr/local/cuda/lib64\n")
    tree.link("/lib", "usr/lib")
    tree.link("/bin", "usr/bin")
    tree.library(f"{LIB}/libcudnn.so.9.10.2")
    tree.link(f"{LIB}/libcudnn.so.9", "libcudnn.so.9.10.2")
    tree.library(f"{LIB}/libnccl.so.2.27.5")
    tree.link(f"{LIB}/libnccl.so.2", "libnccl.so.2.27.5")
    tree.library("/usr/local/cuda-12.9/lib64/libcudart.so.12.9.79")
    tree.link("/usr/local/cuda-12.9/lib64/libcudart.so.12", "libcudart.so.12.9.79")
    tree.file("/usr/local/cuda-12.9/version.json", '{"cuda": {"version": "12.9.1"}}')
    tree.link("/usr/local/cuda", "/usr/local/cuda-12.9")
    tree.file("/usr/bin/python3.12", b"\x7fELF" + bytes(14) + b"\x3e\x00")
    tree.link("/usr/bin/python3", "python3.12")
    tree.dist("torch", "2.9.0", requires=["numpy>=1.26"])
    tree.file(f"{SITE}/torch/version.py", "__version__ = '2.9.0'\ncuda = '12.9'\n")
    tree.file(f"{SITE}/torch/share/cmake/Torch/TorchConfig.cmake", 'set(X "-D_GLIBCXX_USE_CXX11_ABI=1")\n')
    tree.dist("numpy", "2.1.3")
    tree.dist("requests", "2.32.3")
    tree.dist("tensorrt-cu12", "10.14.1.48")
    tree.library(f"{SITE}/tensorrt_libs/libnvinfer.so.10", needed=["libcudart.so.12"])
    tree.dpkg(
        stanza("libcudnn9-cuda-12", "9.10.2.21-1") + stanza("libnccl2", "2.27.5-1+cuda12.9"),
        libcudnn9__cuda__12=[f"{LIB}/libcudnn.so.9.10.2"],
        libnccl2=[f"{LIB}/libnccl.so.2.27.5"],
    )
    tree.file("/models/llama/1/model.plan", plan_bytes(10, 14, 1, 48))
    tree.file("/models/llm/rank0.engine", plan_bytes(10, 14, 1, 48))
    config = {
        "version": "1.2.1",
        "pretrained_config": {"architecture": "LlamaForCausalLM", "dtype": "bfloat16", "mapping": {"tp_size": 1}},
        "build_config": {"max_batch_size": 8, "max_seq_len": 4096},
    }
    tree.file("/models/llm/config.json", json.dumps(config))
    return tree


def plan_bytes(*version: int) -> bytes:
    """Return the beginning of a plan as far as its layout is known, then zeros."""
    return b"ftrt" + bytes(20) + bytes(version) + bytes(100)
