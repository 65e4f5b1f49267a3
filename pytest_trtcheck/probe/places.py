"""The folders in which libraries of the stack are looked for, each with how the loader or Python gets there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

from pytest_trtcheck.probe.ldso import DEFAULT_FOLDERS, LoaderSearch
from pytest_trtcheck.probe.root import Kind, MissingError, ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CUDA_PARENT = "/usr/local"
_TRITON = "/opt/tritonserver"
_UNSEARCHED = (
    "/usr/local/tensorrt/lib",
    "/usr/local/tensorrt/targets/x86_64-linux-gnu/lib",
    "/usr/local/tensorrt/targets/aarch64-linux-gnu/lib",
    "/opt/tensorrt/lib",
    "/usr/lib/wsl/lib",
)


class Reach(IntEnum):
    """How a Python process gets to a folder; a lower one wins."""

    LIBRARY_PATH = 0
    WHEEL = 1
    CONDA = 2
    CACHE = 3
    DEFAULT = 4
    UNSEARCHED = 5
    SPECIAL = 6


WHY: dict[Reach, str] = {
    Reach.LIBRARY_PATH: "LD_LIBRARY_PATH is searched first",
    Reach.WHEEL: "Python packages load the copy of their wheels before the system's",
    Reach.CONDA: "a conda Python loads from its own prefix before the system",
    Reach.CACHE: "the loader's cache or conf names it before the default folders",
    Reach.DEFAULT: "it lies in a default folder of the loader",
    Reach.UNSEARCHED: "no copy lies where the loader searches by itself, and this install folder comes first",
    Reach.SPECIAL: "no other copy was found; only a special program searches this folder",
}


@dataclass(frozen=True)
class Place:
    """One folder to look in."""

    folder: str
    found_by: str
    reach: Reach
    is_default: bool = False
    """True for a default folder of the loader, also when something better leads there."""


def library_places(
    root: Root, loader: LoaderSearch, env: Mapping[str, str], site_folders: Sequence[str], problems: list[str]
) -> tuple[Place, ...]:
    """Return the folders to look in, real paths, the best reach of each first; absent ones are left out.

    Folders that are there and cannot be reached are told in ``problems``.
    """
    places: dict[str, Place] = {}
    for place in sorted(_named(root, loader, env, site_folders, problems), key=lambda place: place.reach):
        try:
            real = root.resolve(place.folder)
        except MissingError:
            continue
        except ReadError as error:
            problems.append(str(error))
            continue
        if not root.is_dir(real):
            continue
        known = places.setdefault(real, replace(place, folder=real))
        if place.reach is Reach.DEFAULT:
            places[real] = replace(known, is_default=True)
    return tuple(places.values())


def _named(
    root: Root, loader: LoaderSearch, env: Mapping[str, str], site_folders: Sequence[str], problems: list[str]
) -> list[Place]:
    reaches = {
        "LD_LIBRARY_PATH": Reach.LIBRARY_PATH,
        "ld.so.cache": Reach.CACHE,
        # With a readable cache the loader ignores the conf.
        "ld.so.conf": Reach.CACHE if loader.cached is None else Reach.UNSEARCHED,
        "default folder": Reach.DEFAULT,
    }
    places = [Place(folder.path, folder.found_by, reaches[folder.found_by]) for folder in loader.folders]
    # A folder of the cache may be a default folder too; both reasons are needed for files the cache lacks.
    places += [Place(folder, "default folder", Reach.DEFAULT) for folder in DEFAULT_FOLDERS]
    for site in site_folders:
        places += [Place(*found, Reach.WHEEL) for found in _wheel_folders(root, site, problems)]
    if env.get("CONDA_PREFIX", "").startswith("/"):
        places.append(Place(f"{env['CONDA_PREFIX'].rstrip('/')}/lib", "CONDA_PREFIX", Reach.CONDA))
    places += [Place(folder, "install folder", Reach.UNSEARCHED) for folder in _UNSEARCHED]
    for toolkit in cuda_folders(root, problems):
        targets = _folders_in(root, f"{toolkit}/targets", problems)
        folders = (f"{toolkit}/lib64", *(f"{target}/lib" for target in targets), f"{toolkit}/compat")
        places += [Place(folder, f"{CUDA_PARENT}/cuda*", Reach.UNSEARCHED) for folder in folders]
    backends = _folders_in(root, f"{_TRITON}/backends", problems)
    places += [Place(folder, _TRITON, Reach.SPECIAL) for folder in (f"{_TRITON}/lib", *backends)]
    return places


def cuda_folders(root: Root, problems: list[str]) -> list[str]:
    """Return ``/usr/local/cuda`` and its numbered neighbours, links not resolved, the unnumbered one first."""
    names = _folders_in(root, CUDA_PARENT, problems)
    return [name for name in names if name.rpartition("/")[2].startswith("cuda")]


def _wheel_folders(root: Root, site: str, problems: list[str]) -> Iterable[tuple[str, str]]:
    # Sorted names put nvidia/cu13 before nvidia/cublas, so the newest CUDA comes first where both are installed.
    for folder in _folders_in(root, f"{site}/nvidia", problems):
        yield f"{folder}/lib", "site-packages/nvidia"
    for folder in _folders_in(root, site, problems):
        name = folder.rpartition("/")[2]
        if name.startswith("tensorrt") and not name.endswith(("-info", ".libs")):
            yield folder, f"site-packages/{name}"
            yield f"{folder}/libs", f"site-packages/{name}/libs"
    yield f"{site}/torch/lib", "site-packages/torch/lib"


def _folders_in(root: Root, folder: str, problems: list[str]) -> list[str]:
    try:
        entries = root.listdir(folder)
    except MissingError:
        return []
    except ReadError as error:
        problems.append(str(error))
        return []
    return [f"{folder}/{entry.name}" for entry in entries if entry.kind in {Kind.FOLDER, Kind.LINK}]
