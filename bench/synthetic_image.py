"""A made-up image with the proportions of NVIDIA's serving images, cheap to make in any size.

Libraries are ELF heads with filler behind them, metadata is as pip and dpkg leave it. In a plain archive the filler
is a hole, which costs no disk; ``cat`` reads holes faster than blocks, so a comparison with it is the harder for that.
In a packed one it is machine code of this Python's own extension modules, repeated every 4 MiB: beyond what gzip and
zstd look back on, so that it packs as code does.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bench.layer_sinks import CODE_BYTES, SINKS, PlainSink, Sink
from tests.fakeroot import LIB, SITE, cache_bytes, elf_bytes, stanza
from tests.images import plan_bytes

FILES_PER_GIGABYTE = 8_000
"""TensorRT-LLM's release image has about 120,000 files in 15 GB."""
_BLOCK = 512
_CUDA = "/usr/local/cuda-12.9/targets/x86_64-linux/lib"

# Share of the image's bytes, path, SONAME. Proportions as in nvcr.io/nvidia/tensorrt-llm/release.
_LIBRARIES = (
    (0.075, f"{_CUDA}/libcublasLt.so.12.9.1.4", "libcublasLt.so.12"),
    (0.010, f"{_CUDA}/libcublas.so.12.9.1.4", "libcublas.so.12"),
    (0.001, f"{_CUDA}/libcudart.so.12.9.79", "libcudart.so.12"),
    (0.010, f"{_CUDA}/libnvrtc.so.12.9.86", "libnvrtc.so.12"),
    (0.030, f"{_CUDA}/libcusparse.so.12.5.10.65", "libcusparse.so.12"),
    (0.060, f"{LIB}/libcudnn_engines_precompiled.so.9.10.2", "libcudnn_engines_precompiled.so.9"),
    (0.001, f"{LIB}/libcudnn.so.9.10.2", "libcudnn.so.9"),
    (0.030, f"{LIB}/libnccl.so.2.27.5", "libnccl.so.2"),
    (0.090, f"{SITE}/torch/lib/libtorch_cuda.so", "libtorch_cuda.so"),
    (0.045, f"{SITE}/torch/lib/libtorch_cpu.so", "libtorch_cpu.so"),
    (0.060, f"{SITE}/tensorrt_libs/libnvinfer.so.10", "libnvinfer.so.10"),
    (0.120, f"{SITE}/tensorrt_libs/libnvinfer_builder_resource.so.10.14.1", "libnvinfer_builder_resource.so.10.14.1"),
    (0.200, f"{SITE}/tensorrt_llm/libs/libtensorrt_llm.so", "libtensorrt_llm.so"),
)
_ENGINE_SHARE = 0.2
_DISTRIBUTIONS = ("torch 2.9.0", "tensorrt-cu12 10.14.1.48", "tensorrt-cu12-libs 10.14.1.48", "tensorrt-llm 1.2.1",
                  "numpy 2.1.3", "transformers 4.57.1")  # fmt: skip
_MADE_UP = 300


def docker_archive(path: Path, gigabytes: float) -> Path:
    """Write what ``docker save`` does: plain layers in one archive."""
    diff_ids, names = [], []
    with path.open("wb") as file:
        for number, layer in enumerate(layers(gigabytes)):
            at = file.tell()
            file.seek(_BLOCK, 1)
            sink = PlainSink(file)
            layer(sink)
            end = file.tell()
            names.append(f"{number:064x}/layer.tar")
            file.seek(at)
            file.write(_header(names[-1], end - at - _BLOCK))
            file.seek(end)
            diff_ids.append(f"sha256:{sink.digest.hexdigest()}")
        config = _config(diff_ids)
        name = f"{hashlib.sha256(config).hexdigest()}.json"
        manifest = [{"Config": name, "RepoTags": ["made-up:1"], "Layers": names}]
        for entry, data in ((name, config), ("manifest.json", json.dumps(manifest).encode())):
            file.write(_header(entry, len(data)) + data + bytes(-len(data) % _BLOCK))
        file.write(bytes(2 * _BLOCK))
    return path


def oci_layout(path: Path, gigabytes: float, make: Callable[[BinaryIO], Sink]) -> Path:
    """Write an OCI layout with packed layers."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)
    diff_ids, descriptors = [], []
    for layer in layers(gigabytes):
        with (blobs / "new").open("wb") as file:
            sink = make(file)
            layer(sink)
            sink.close()
        diff_ids.append(f"sha256:{sink.digest.hexdigest()}")
        with (blobs / "new").open("rb") as file:
            digest = hashlib.sha256()
            while piece := file.read(CODE_BYTES):
                digest.update(piece)
            descriptors.append({"digest": f"sha256:{digest.hexdigest()}", "size": file.tell()})
        (blobs / "new").rename(blobs / digest.hexdigest())
    manifest = json.dumps({"config": _blob(blobs, _config(diff_ids)), "layers": descriptors}).encode()
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "index.json").write_text(json.dumps({"manifests": [_blob(blobs, manifest)]}))
    return path


def _blob(folder: Path, data: bytes) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    (folder / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def _config(diff_ids: list[str]) -> bytes:
    env = ["PATH=/usr/local/bin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/local/cuda/lib64"]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Env": env}, "rootfs": rootfs}).encode()


def layers(gigabytes: float) -> list[Callable[[Sink], None]]:
    """Return what writes each layer: system, CUDA, Python, engines, and a last one that hides and covers."""
    return [partial(_closed, layer, gigabytes) for layer in (_system, _cuda, _python, _engines, _last)]


def _closed(layer: Callable[[Sink, float], None], gigabytes: float, sink: Sink) -> None:
    layer(sink, gigabytes)
    sink.write(bytes(2 * _BLOCK))


def _system(sink: Sink, gigabytes: float) -> None:
    for path, data in _system_files():
        _file(sink, path, data)
    for path, target in (("/bin", "usr/bin"), ("/lib", "usr/lib"), ("/usr/bin/python3", "python3.12")):
        _link(sink, path, target)
    _many(sink, "/usr/share/doc", int(gigabytes * FILES_PER_GIGABYTE * 0.1))


def _cuda(sink: Sink, gigabytes: float) -> None:
    _file(sink, "/usr/local/cuda-12.9/version.json", b'{"cuda": {"version": "12.9.1"}}')
    _link(sink, "/usr/local/cuda", "cuda-12.9")
    _link(sink, "/usr/local/cuda-12.9/lib64", "targets/x86_64-linux/lib")
    for share, path, soname in _LIBRARIES:
        if not path.startswith(SITE):
            _library(sink, int(share * gigabytes * 1e9), path, soname)


def _python(sink: Sink, gigabytes: float) -> None:
    for path, data in python_files():
        _file(sink, path, data)
    for share, path, soname in _LIBRARIES:
        if path.startswith(SITE):
            _library(sink, int(share * gigabytes * 1e9), path, soname)
    for package in ("torch", "transformers", "tensorrt_llm", "triton", "nemo"):
        _many(sink, f"{SITE}/{package}", int(gigabytes * FILES_PER_GIGABYTE * 0.18))


def _engines(sink: Sink, gigabytes: float) -> None:
    _file(sink, "/models/llm/config.json", b'{"version": "1.2.1"}')
    for rank in range(2):
        size = int(_ENGINE_SHARE * gigabytes * 1e9 / 2)
        _file(sink, f"/models/llm/rank{rank}.engine", plan_bytes(10, 14, 1, 48), size)


def _last(sink: Sink, _gigabytes: float) -> None:
    _file(sink, "/usr/share/doc/.wh.package0", b"")
    _file(sink, "/entry.sh", b"#!/bin/sh\n")


def _system_files() -> Iterator[tuple[str, bytes]]:
    names = ["libcudnn9-cuda-12", "libnccl2", *(f"made-up{number}" for number in range(_MADE_UP))]
    yield "/etc/os-release", b'PRETTY_NAME="Ubuntu 24.04.1 LTS"\nID=ubuntu\nVERSION_ID="24.04"\n'
    yield "/etc/ld.so.conf", b"/usr/local/cuda/lib64\n"
    yield "/etc/ld.so.cache", cache_bytes([path for _, path, _ in _LIBRARIES if path.startswith(LIB)])
    yield "/var/lib/dpkg/status", "".join(stanza(name, "1.0-1") for name in names).encode()
    for name in names:
        yield f"/var/lib/dpkg/info/{name}.list", f"/usr/share/doc/{name}\n".encode()
    yield "/usr/bin/python3.12", elf_bytes()


def python_files() -> Iterator[tuple[str, bytes]]:
    """Yield the metadata of 300 distributions by path."""
    made_up = (f"made-up-{number} 1.{number}" for number in range(_MADE_UP))
    for name, version in (text.split() for text in (*_DISTRIBUTIONS, *made_up)):
        info = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
        yield f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n".encode().ljust(6000)
        yield f"{info}/WHEEL", b"Wheel-Version: 1.0\nTag: cp312-cp312-manylinux_2_28_x86_64\n"
        yield f"{info}/RECORD", b"".join(b"%s/file%d.py,sha256=x,1000\n" % (name.encode(), at) for at in range(300))
    yield f"{SITE}/torch/version.py", b"__version__ = '2.9.0'\ncuda = '12.9'\n"


def _library(sink: Sink, size: int, path: str, soname: str) -> None:
    _file(sink, path, elf_bytes(soname=soname, needed=("libc.so.6",)), size)
    if not path.endswith(f"/{soname}"):
        _link(sink, f"{path.rpartition('/')[0]}/{soname}", path.rpartition("/")[2])


def _many(sink: Sink, folder: str, count: int) -> None:
    """Write source files of 0 to 20 kB, as there are thousands of in an image."""
    text = b"import torch\n\n\ndef forward(self, hidden_states):\n    return self.norm(hidden_states)\n" * 240
    for number in range(count):
        _file(sink, f"{folder}/package{number // 50}/module{number}.py", text[: number * 7919 % 20_000])


def _file(sink: Sink, path: str, data: bytes, size: int = 0) -> None:
    size = max(size, len(data))
    sink.write(_header(path.lstrip("/"), size) + data)
    if size > len(data):
        sink.fill(size - len(data))
    sink.write(bytes(-size % _BLOCK))


def _link(sink: Sink, path: str, target: str) -> None:
    info = tarfile.TarInfo(path.lstrip("/"))
    info.type, info.linkname = tarfile.SYMTYPE, target
    sink.write(info.tobuf(tarfile.GNU_FORMAT))


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def main() -> None:
    """Make one: ``python -m bench.synthetic_image plain|gzip|zstd PATH GIGABYTES``."""
    kind, path, gigabytes = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    if kind == "plain":
        docker_archive(path, gigabytes)
    else:
        oci_layout(path, gigabytes, SINKS[kind])


if __name__ == "__main__":
    main()
