"""The container: its runtime, its limits, and the variables of the NVIDIA stack that it was started with."""

from __future__ import annotations

import os
import re
import resource
from typing import TYPE_CHECKING

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.root import ReadError, Root

if TYPE_CHECKING:
    from collections.abc import Mapping

MASK = "(masked)"
_MAX_VALUE = 500
_KUBERNETES_SECRET = "/var/run/secrets/kubernetes.io"  # noqa: S105 - a folder whose existence is the sign
_SECRET = re.compile(r"KEY|TOKEN|PASSW|SECRET|CREDENTIAL|AUTH", re.IGNORECASE)
_URL_SECRET = re.compile(r"(?<=://)[^/@\s]{1,200}@")
_OURS = re.compile(
    r"(?:NVIDIA|CUDA|CUDNN|CUBLAS|NCCL|NVSHMEM|TENSORRT|TRT|TRTLLM|TLLM|PYTORCH|TORCH|TRITON|OMPI|OPAL|UCX|HPCX|"
    r"OPENMPI|MPI)_\w+|(?:TRT|CUDNN|CUBLAS|NCCL|CUDA)VER|LD_LIBRARY_PATH|LD_PRELOAD|NGC_\w+"
)
_TAG = re.compile(r"\d{2}\.\d{2}(?:\.\d{1,2})?")
_MARKERS = (
    ("/.dockerenv", "docker"),
    ("/run/.containerenv", "podman"),
    ("/.singularity.d", "apptainer"),
)
_CGROUP_NAMES = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("containerd", "containerd"),
    ("crio", "cri-o"),
    ("lxc", "lxc"),
    ("garden", "garden"),
)
_NO_LIMIT_BYTES = 1 << 60
"""cgroup v1 writes 'no limit' as the largest multiple of a page below 2**63."""


def container_facts(root: Root, env: Mapping[str, str], *, is_host: bool = True) -> dict[str, Fact]:
    """Return the facts of the container; for a root that is not this machine its limits are not probed."""
    facts = [container_fact(root, env), env_fact(env), *_tags(env)]
    if is_host:
        facts += [shm_fact(), memlock_fact(), memory_fact(root), cpus_fact(root)]
    else:
        keys = ("shm_bytes", "memlock_bytes", "cgroup_memory_bytes", "cgroup_cpus")
        reason = "a limit of a running container; this root does not run"
        facts += [Fact(key, State.NOT_PROBED, reason=reason) for key in keys]
    return {fact.key: fact for fact in facts}


def container_fact(root: Root, env: Mapping[str, str]) -> Fact:
    """Return ``container``: the runtime's name, or absent when nothing shows that this is a container."""
    if env.get("KUBERNETES_SERVICE_HOST"):
        return _runtime("kubernetes", "KUBERNETES_SERVICE_HOST", "environment")
    if root.exists(_KUBERNETES_SECRET):
        return _runtime("kubernetes", _KUBERNETES_SECRET, "file")
    for path, name in _MARKERS:
        if root.exists(path):
            return _runtime(name, path, "file")
    if env.get("container"):
        return _runtime(env["container"][:40], "container", "environment")
    try:
        text = root.read_text("/proc/1/cgroup")
    except ReadError as error:
        return Fact("container", State.ABSENT, reason=f"no sign of a container was found; {error}")
    for sign, name in _CGROUP_NAMES:
        if sign in text:
            return _runtime(name, "/proc/1/cgroup", "cgroup of process 1")
    return Fact("container", State.ABSENT, reason="no sign of a container: no marker file, variable or cgroup name")


def env_fact(env: Mapping[str, str]) -> Fact:
    """Return ``container_env``: the variables of the stack; what looks like a secret is masked."""
    ours = {name: masked(name, value) for name, value in sorted(env.items()) if _OURS.fullmatch(name)}
    visible = env.get("NVIDIA_VISIBLE_DEVICES")
    details = {
        "variables": ours,
        "hides_all_gpus": visible in {"void", "none"},
        "declared_cpu_only": env.get("NVIDIA_CPU_ONLY") == "1",
        "cuda_visible_devices": env.get("CUDA_VISIBLE_DEVICES"),
    }
    if not ours:
        return Fact("container_env", State.ABSENT, reason="no variable of the stack is set", details=details)
    return Fact("container_env", State.FOUND, None, "environment", "os.environ", details=details)


def shm_fact(path: str = "/dev/shm") -> Fact:  # noqa: S108 - the size of this very file system is the fact
    """Return ``shm_bytes``: the size of shared memory; NCCL and PyTorch's data loaders live from it."""
    try:
        found = os.statvfs(path)
    except OSError as error:
        return Fact("shm_bytes", State.UNREADABLE, reason=f"{path}: {error.strerror}")
    details = {"free_bytes": found.f_bavail * found.f_frsize}
    return Fact("shm_bytes", State.FOUND, str(found.f_blocks * found.f_frsize), path, "statvfs", details=details)


def memlock_fact() -> Fact:
    """Return ``memlock_bytes``: how much memory this process may pin; ``unlimited`` when there is no limit."""
    soft, hard = (_limit_text(limit) for limit in resource.getrlimit(resource.RLIMIT_MEMLOCK))
    return Fact("memlock_bytes", State.FOUND, soft, "RLIMIT_MEMLOCK", "getrlimit", details={"hard": hard})


def memory_fact(root: Root) -> Fact:
    """Return ``cgroup_memory_bytes``: the memory limit of this cgroup, v2 or v1; absent when there is none."""
    key = "cgroup_memory_bytes"
    paths = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    path, text, reason = _first_text(root, paths)
    if path is None:
        return _no_cgroup(key, reason)
    if text == "max" or (text.isdecimal() and int(text) >= _NO_LIMIT_BYTES):
        return Fact(key, State.ABSENT, reason=f"{path}: no limit")
    if not text.isdecimal():
        return Fact(key, State.UNREADABLE, reason=f"{path}: expected a number or 'max', found {text[:40]!r}")
    return Fact(key, State.FOUND, text, path, "cgroup")


def cpus_fact(root: Root) -> Fact:
    """Return ``cgroup_cpus``: how many CPUs' time this cgroup may use, v2 or v1; absent when not limited."""
    key = "cgroup_cpus"
    v1 = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    path, text, reason = _first_text(root, ("/sys/fs/cgroup/cpu.max", v1))
    if path is None:
        return _no_cgroup(key, reason)
    if path == v1:
        text += " " + _first_text(root, ("/sys/fs/cgroup/cpu/cpu.cfs_period_us",))[1]
    quota, _, period = text.partition(" ")
    if quota in {"max", "-1"}:
        return Fact(key, State.ABSENT, reason=f"{path}: no limit")
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return Fact(key, State.UNREADABLE, reason=f"{path}: expected quota and period, found {text[:40]!r}")
    return Fact(key, State.FOUND, f"{int(quota) / int(period):g}", path, "quota / period of the cgroup")


def _runtime(name: str, where: str, how: str) -> Fact:
    return Fact("container", State.FOUND, name, where, how)


def _tags(env: Mapping[str, str]) -> list[Fact]:
    """Return ``triton_container`` and ``ngc_pytorch``: the monthly tag that NVIDIA's images carry as a variable."""
    facts = []
    for key, name in (
        ("triton_container", "NVIDIA_TRITON_SERVER_VERSION"),
        ("ngc_pytorch", "NVIDIA_PYTORCH_VERSION"),
    ):
        value = env.get(name, "")
        if _TAG.fullmatch(value):
            facts.append(Fact(key, State.FOUND, value, name, "environment"))
        elif value:
            reason = f"{name}: expected a month like 25.08, found {value[:40]!r}"
            facts.append(Fact(key, State.UNREADABLE, reason=reason))
        else:
            facts.append(Fact(key, State.ABSENT, reason=f"{name} is not set"))
    return facts


def masked(name: str, value: str) -> str:
    """Return the value of a variable as reports show it: short, printable, without what may be a secret."""
    if _SECRET.search(name):
        return MASK
    clean = "".join(char if char.isprintable() else "�" for char in value)
    return _URL_SECRET.sub(f"{MASK}@", clean)[:_MAX_VALUE]


def _limit_text(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


def _first_text(root: Root, paths: tuple[str, ...]) -> tuple[str | None, str, str]:
    """Return path and text of the first that can be read, and why none can."""
    reason = ""
    for path in paths:
        if root.exists(path):
            try:
                return path, root.read_text(path, 4096).strip(), ""
            except ReadError as error:
                reason = reason or str(error)
    return None, "", reason


def _no_cgroup(key: str, reason: str) -> Fact:
    if reason:
        return Fact(key, State.UNREADABLE, reason=reason)
    return Fact(key, State.ABSENT, reason="this cgroup has no such file: no limit of its own")
