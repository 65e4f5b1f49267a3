"""Sets of versions that were released together, one for each row of the matrix that names such a set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.versions import DottedVersion, PackageVersion

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row

WHEELS = "wheels"
IMAGE = "image"

# Requirements of a TensorRT-LLM release on packages that the vocabulary knows.
_PINNED = ("transformers", "cuda_python", "mpi4py", "numpy")
_PINNED_UNDER = {"flashinfer": "pin_flashinfer_python", **{key: f"pin_{key}" for key in _PINNED}}

_VLLM_PINS = {"transformers": "pin_transformers", "numpy": "pin_numpy", "flashinfer": "pin_flashinfer_python"}


@dataclass(frozen=True)
class KnownSet:
    """Versions that belong together, how to get them, and the rows that say so."""

    title: str
    route: str
    """``wheels`` or ``image``; an image replaces all software, wheels what they name."""
    positions: Mapping[str, int]
    """Place of each of its rows among those of the product, in order of release."""
    values: Mapping[str, str]
    """Facts that it sets, by key of the vocabulary."""
    serves: frozenset[str]
    """What it brings: tensorrt_llm, triton, tensorrt, torch, vllm."""
    rows: tuple[str, ...]
    heads: tuple[str, ...] = ()
    """Packages that are installed by name; the others come with them."""
    image: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)
    """Requirements on further packages, PEP 440; a package that meets its own stays."""
    pythons: tuple[str, ...] = ()
    sms: tuple[str, ...] = ()
    """Compute capabilities that it supports, where the row lists them."""
    is_prerelease: bool = False


def known_sets(matrix: Matrix) -> Iterator[KnownSet]:
    """Yield every set that the matrix knows, in a fixed order."""
    yield from _tensorrt_llm(matrix)
    yield from _triton(matrix)
    yield from _ngc_pytorch(matrix)
    yield from _torch(matrix)
    yield from _vllm(matrix)


def release_order(matrix: Matrix, product: str) -> list[str]:
    """Return the ids of a product's rows, oldest release first."""
    return [row.id for row in _ordered(matrix, product)]


def _ordered(matrix: Matrix, product: str) -> list[Row]:
    """Return the rows of a product in order of release; PEP 440 orders dotted versions and months as well."""
    return sorted(matrix.rows(product), key=lambda row: PackageVersion.parse(row.version))


def _values(**values: Any) -> dict[str, str]:
    return {key: str(value) for key, value in values.items() if value}


def _tensorrt_llm(matrix: Matrix) -> Iterator[KnownSet]:
    """Yield each release by its wheel and by its image. A row without CUDA and torch names no set."""
    for position, row in enumerate(_ordered(matrix, "tensorrt_llm")):
        if not row.value("cuda") or not row.value("torch"):
            continue
        tensorrt = row.value("tensorrt") if row.value("uses_tensorrt") is not False else None
        common = _values(tensorrt_llm=row.version, tensorrt=tensorrt, cuda_runtime=row.value("cuda"))
        serves = frozenset({"tensorrt_llm", "torch", *(["tensorrt"] if tensorrt else [])})
        pins = {key: row.value(cell) for key, cell in _PINNED_UNDER.items() if row.value(cell)}
        torch_pin = row.value("pin_torch")
        shared: dict[str, Any] = {
            "positions": {"tensorrt_llm": position}, "serves": serves, "rows": (row.id,),
            "sms": row.value("sm_supported") or (),
            "is_prerelease": PackageVersion.parse(row.version).pep440.is_prerelease,
        }  # fmt: skip
        yield KnownSet(
            f"TensorRT-LLM {row.version} from its wheel", WHEELS,
            values=common | _values(torch=row.value("torch")),
            heads=("tensorrt_llm",), pins=pins | ({"torch": torch_pin} if torch_pin else {}),
            pythons=row.value("python") or (), **shared,
        )  # fmt: skip
        image = next((image for image in row.value("images") or () if "/release:" in image), "")
        if image:
            torch = row.value("torch_ngc") or row.value("torch")
            values = common | _values(torch=torch, container=image)
            yield KnownSet(f"image {image}", IMAGE, values=values, image=image, **shared)


def _triton(matrix: Matrix) -> Iterator[KnownSet]:
    """Yield each month of the Triton server, with TensorRT-LLM and plain."""
    for position, row in enumerate(_ordered(matrix, "triton_container")):
        shared: dict[str, Any] = {"positions": {"triton_container": position}, "rows": (row.id,)}
        image, release = row.value("image"), row.value("tensorrt_llm")
        if image and release:
            values = _values(
                triton_container=image.rpartition(":")[2], triton_server=row.value("triton_server"),
                tensorrt_llm=release, tensorrt=row.value("tensorrt"), torch=row.value("torch"),
                cuda_runtime=row.value("cuda"), python=row.value("python_version"),
            )  # fmt: skip
            partner = matrix.row("tensorrt_llm", release)
            sms = (partner.value("sm_supported") if partner else None) or ()
            serves = frozenset({"triton", "tensorrt_llm", "tensorrt", "torch"})
            yield KnownSet(f"image {image}", IMAGE, values=values, serves=serves, image=image, sms=sms, **shared)
        if row.value("triton_server") and row.value("py3_cuda"):
            tag = f"{row.version}-py3"
            values = _values(
                triton_container=tag, triton_server=row.value("triton_server"), cuda_runtime=row.value("py3_cuda")
            )
            image = f"nvcr.io/nvidia/tritonserver:{tag}"
            serves = frozenset({"triton", "tensorrt"})
            yield KnownSet(f"image {image}", IMAGE, values=values, serves=serves, image=image, **shared)


def _ngc_pytorch(matrix: Matrix) -> Iterator[KnownSet]:
    for position, row in enumerate(_ordered(matrix, "ngc_pytorch")):
        if not row.value("tag") or not row.value("torch") or not row.value("cuda"):
            continue
        image = f"nvcr.io/nvidia/pytorch:{row.value('tag')}"
        names = ("torch", "tensorrt", "cudnn", "nccl")
        values = _values(
            container=image, cuda_runtime=row.value("cuda"), python=row.value("python_version"),
            **{name: row.value(name) for name in names},
        )  # fmt: skip
        yield KnownSet(
            f"image {image}", IMAGE, {"ngc_pytorch": position}, values,
            frozenset({"torch", "tensorrt"}), (row.id,), image=image, sms=row.value("torch_sm") or (),
        )  # fmt: skip


def _torch(matrix: Matrix) -> Iterator[KnownSet]:
    """Yield each torch release alone, and with each TensorRT that is built for the same CUDA major."""
    releases = enumerate(_ordered(matrix, "tensorrt"))
    partners = [(place, row) for place, row in releases if row.value("build")]
    for position, row in enumerate(_ordered(matrix, "torch")):
        cuda = DottedVersion.leading(row.value("index_cuda"))
        if cuda is None:
            continue
        values = _values(torch=row.version, torch_cuda=cuda, cudnn=row.value("cudnn"), nccl=row.value("nccl"))
        pythons = row.value("python") or ()
        yield KnownSet(
            f"PyTorch {row.version} for CUDA {cuda}", WHEELS, {"torch": position}, values,
            frozenset({"torch"}), (row.id,), ("torch",), pythons=pythons,
        )  # fmt: skip
        for place, partner in partners:
            if str(cuda.major) in (partner.value("cuda_majors") or ()):
                build = _values(tensorrt=partner.value("build"), tensorrt_package_cuda=cuda.major)
                yield KnownSet(
                    f"PyTorch {row.version} and TensorRT {partner.value('build')} for CUDA {cuda.major}", WHEELS,
                    {"torch": position, "tensorrt": place}, values | build, frozenset({"torch", "tensorrt"}),
                    (row.id, partner.id), ("torch", "tensorrt"), pythons=pythons,
                )  # fmt: skip


def _vllm(matrix: Matrix) -> Iterator[KnownSet]:
    """Yield each vLLM release whose wheel names one torch."""
    for position, row in enumerate(_ordered(matrix, "vllm")):
        torch = only_version(row.value("pin_torch") or "")
        if not torch:
            continue
        pins = {key: row.value(cell) for key, cell in _VLLM_PINS.items() if row.value(cell)}
        values = _values(vllm=row.version, torch=torch, vllm_wheel_cuda=row.value("cuda"))
        yield KnownSet(
            f"vLLM {row.version} from its wheel", WHEELS, {"vllm": position}, values,
            frozenset({"vllm", "torch"}), (row.id,), ("vllm",), pins=pins,
        )  # fmt: skip


def only_version(pin: str) -> str:
    """Return the version of a requirement that names one and no more; empty for any other."""
    return pin[2:] if pin.startswith("==") and "," not in pin and "*" not in pin else ""
