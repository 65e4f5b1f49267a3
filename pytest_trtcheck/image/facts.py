"""All facts of an image: what the live probes read, through the image's root, and what only images have."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_trtcheck.image.binaries import binary_facts
from pytest_trtcheck.image.engines import engine_facts
from pytest_trtcheck.image.pythons import find_pythons, python_facts
from pytest_trtcheck.image.survey import Survey, survey
from pytest_trtcheck.image.target import Target, target_facts
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.probe.container import masked
from pytest_trtcheck.probe.files import probe_files
from pytest_trtcheck.probe.machine import probe_machine
from pytest_trtcheck.probe.root import ReadError, Root, shown

if TYPE_CHECKING:
    from pytest_trtcheck.image.opened import Image
    from pytest_trtcheck.rules.load import Matrix

_ETC_ENVIRONMENT = "/etc/environment"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_MAX_LABELS = 100
_NOT_THERE = "an image runs no kernel and has no driver"


def probe_image(image: Image, target: Target, matrix: Matrix) -> Stack:
    """Return the facts of an image for a target; nothing of the image is run, and no process is started."""
    started = time.monotonic()
    found = survey(image.root)
    seconds = {"survey": time.monotonic() - started}
    env = environment(image)
    pythons = find_pythons(image.root, found.sites, env)
    files, distributions, file_seconds = probe_files(image.root, env=env, sys_path=pythons.sys_path)
    machine, machine_seconds = probe_machine(image.root, env=env, site_packages=pythons.sys_path, is_host=False)
    facts = {
        **files,
        **machine,
        **python_facts(pythons),
        **engine_facts(image.root, found.plans),
        **target_facts(target, matrix),
        **binary_facts(image.root, found, env, pythons, target, seconds),
        "image": _image_fact(image, found),
    }
    for key in ("kernel", "wsl_kernel", "libcuda"):
        facts[key] = Fact(key, State.NOT_PROBED, reason=_NOT_THERE)
    if image.references:
        facts["container"] = Fact("container", State.FOUND, image.references[0], image.given, "reference of the image")
    if not facts["arch"].is_found and isinstance(image.config.get("architecture"), str):
        name = str(image.config["architecture"])
        facts["arch"] = Fact("arch", State.FOUND, _MACHINES.get(name, shown(name)), image.given, "config of the image")
    return Stack(
        kind="image",
        name=image.name,
        facts=facts,
        distributions=distributions,
        probe_seconds={**seconds, **file_seconds, **machine_seconds},
    )


def environment(image: Image) -> dict[str, str]:
    """Return the variables of a process in the image: those of its config, else those of ``/etc/environment``."""
    return {**_etc_environment(image.root), **image.env}


def _etc_environment(root: Root) -> dict[str, str]:
    try:
        lines = root.read_text(_ETC_ENVIRONMENT).splitlines()
    except ReadError:
        return {}
    pairs = (line.strip().removeprefix("export ").partition("=") for line in lines if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _image_fact(image: Image, found: Survey) -> Fact:
    config = image.config
    inner = config.get("config")
    inner = inner if isinstance(inner, Mapping) else {}
    details: dict[str, Any] = {
        "kind": image.kind,
        "references": [shown(name) for name in image.references],
        "manifest_digest": image.manifest_digest,
        "layers": image.layers,
        "layers_checked": f"{image.checked_layers} of {image.layers} against the config" if image.layers else "",
        "files": found.files,
        "created": _text(config.get("created")),
        "os": _text(config.get("os")),
        "architecture": _text(config.get("architecture")),
        "entrypoint": _texts(inner.get("Entrypoint")),
        "cmd": _texts(inner.get("Cmd")),
        "user": _text(inner.get("User")),
        "working_dir": _text(inner.get("WorkingDir")),
        "labels": _labels(inner.get("Labels")),
        "problems": [*image.notes, *found.problems],
    }
    how = "SHA-256 of its config" if image.digest else "a folder has no digest"
    return Fact("image", State.FOUND, image.digest or None, shown(image.given), how,
                details={name: value for name, value in details.items() if value})  # fmt: skip


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {shown(str(key)[:200]): masked(str(key), str(text)) for key, text in list(value.items())[:_MAX_LABELS]}


def _text(value: object) -> str:
    return shown(value[:500]) if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [masked("", str(text)) for text in value[:50]] if isinstance(value, list) else []
