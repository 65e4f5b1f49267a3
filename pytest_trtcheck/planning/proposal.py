"""One known set laid over a stack: what would change, and the stack that would result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pytest_trtcheck.described.vocabulary import UNSPECIFIED, VOCABULARY
from pytest_trtcheck.model.components import title_of
from pytest_trtcheck.model.facts import Fact, Stack, State
from pytest_trtcheck.model.versions import DottedVersion, PackageVersion
from pytest_trtcheck.planning.sets import IMAGE, only_version

if TYPE_CHECKING:
    from pytest_trtcheck.planning.sets import KnownSet

GPU_KEYS = ("gpu", "sm", "gpu_count", "mig", "pci_id", "runtime_sm")
DRIVER_KEYS = ("driver", "driver_cuda")
# What stays whatever software is installed, and what the user wants to do with it.
_STAYS = (*GPU_KEYS, *DRIVER_KEYS, "arch", "wsl_kernel", "jetpack", "nvidia_container_toolkit")
_INTENT = ("precision", "feature", "model", "backend")
# Around wheels; an image brings its own.
_AROUND_WHEELS = (
    "os", "glibc", "libstdcxx", "python", "cuda_toolkit", "transformers", "flashinfer", "flash_attn", "numpy", "pynvml",
    "cuda_python", "mpi4py", "openmpi", "libmpi_soname", "pybind11", "onnxruntime", "vllm", "torch_tensorrt",
    "transformers_required_by_vllm",
)  # fmt: skip
IMAGE_KEYS = ("container", "triton_container")
_OPERATORS = "<>=!~"
_ENGINE_KEYS = ("engine_built_with_tensorrt", "engine_built_with_tensorrt_llm", "engine_built_on_sm")
_SERIALIZATION = ("engine_serialization", "runtime_serialization")
_DISTRIBUTIONS = {
    "tensorrt_llm": "tensorrt_llm", "tensorrt": "tensorrt", "torch": "torch", "transformers": "transformers",
    "vllm": "vllm", "flashinfer": "flashinfer-python", "numpy": "numpy", "cuda_python": "cuda-python",
    "mpi4py": "mpi4py",
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One thing to change."""

    key: str
    before: str
    """Empty when it was not there."""
    after: str


@dataclass(frozen=True)
class Draft:
    """A set laid over a stack, not yet judged."""

    known: KnownSet
    stack: Stack
    changes: tuple[Change, ...]
    commands: tuple[str, ...]
    outside: tuple[str, ...] = ()
    """The commands among them that no container can run for itself."""

    def with_value(self, key: str, value: str, drops: tuple[str, ...], command: str) -> Draft:
        """Return the draft with one more change, to what lies outside a container."""
        facts = {name: fact for name, fact in self.stack.facts.items() if name not in drops}
        facts[key] = _fact(key, value)
        return replace(
            self,
            stack=_stack(facts),
            changes=(*self.changes, Change(key, _before(self.stack, key), value)),
            commands=(command, *self.commands),
            outside=(*self.outside, command),
        )


@dataclass
class _Sheet:
    """Facts of the resulting stack and the changes on the way to it."""

    stack: Stack
    facts: dict[str, Fact] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)

    def keep(self, *keys: str) -> None:
        for key in keys:
            fact = self.stack.get(key)
            if fact.is_found:
                self.facts[key] = fact

    def put(self, key: str, value: str) -> None:
        self.facts[key] = _fact(key, value)

    def change(self, key: str, value: str) -> None:
        """Note a change; a requirement leaves the version open, and so the fact out."""
        if value[0] in _OPERATORS:
            self.facts.pop(key, None)
        else:
            self.put(key, value)
        self.changes.append(Change(key, _before(self.stack, key), value))

    def value(self, key: str) -> str | None:
        return self.facts[key].value if key in self.facts else None


def _fact(key: str, value: str) -> Fact:
    return Fact(key, State.FOUND, value, "the plan", "proposed")


def _stack(facts: Mapping[str, Fact]) -> Stack:
    return Stack("described", "proposed", facts)


def _before(stack: Stack, key: str) -> str:
    fact = stack.get(key)
    return (fact.value or UNSPECIFIED) if fact.is_found else ""


def draft(stack: Stack, known: KnownSet) -> Draft:
    """Return what a set would make of a stack. What the set replaces without naming its version is left out."""
    sheet = _Sheet(stack)
    sheet.keep(*_STAYS, *_INTENT)
    if known.route == IMAGE:
        _lay_image(sheet, known)
    else:
        _lay_wheels(sheet, known)
    _engine(sheet)
    commands = tuple(_commands(sheet, known))
    return Draft(known, _stack(sheet.facts), tuple(sheet.changes), commands)


def _lay_image(sheet: _Sheet, known: KnownSet) -> None:
    for key, value in known.values.items():
        before = sheet.stack.value(key)
        if before is not None and _same(key, before, value):
            sheet.keep(key)
        elif sheet.stack.get(key).is_found or key in IMAGE_KEYS:
            sheet.change(key, value)
        else:
            sheet.put(key, value)


def _lay_wheels(sheet: _Sheet, known: KnownSet) -> None:
    sheet.keep(*_AROUND_WHEELS)
    for key, value in known.values.items():
        before = sheet.stack.value(key)
        if before is not None and (_meets(known.pins[key], before) if key in known.pins else _same(key, before, value)):
            sheet.keep(key)
        elif key in known.heads or (key in _DISTRIBUTIONS and sheet.stack.get(key).is_found):
            sheet.change(key, value)
        else:
            # What comes with the wheels is nobody's change to make.
            sheet.put(key, value)
    for key, pin in known.pins.items():
        before = sheet.stack.value(key)
        if key not in known.values and before is not None and not _meets(pin, before):
            sheet.change(key, only_version(pin) or pin)
    python = DottedVersion.leading(sheet.stack.value("python"))
    if python and known.pythons and python.major_minor not in known.pythons:
        sheet.change("python", max(known.pythons, key=DottedVersion.parse))


def _engine(sheet: _Sheet) -> None:
    """Keep an engine that the new versions can still load; any other has to be built again."""
    built = sheet.stack.value("engine_built_with_tensorrt")
    release = sheet.stack.value("engine_built_with_tensorrt_llm")
    runtime, runtime_release = sheet.value("tensorrt"), sheet.value("tensorrt_llm")
    numbers = [sheet.stack.value(key) for key in _SERIALIZATION]
    other_runtime = not {"tensorrt", "tensorrt_llm"}.isdisjoint(change.key for change in sheet.changes)
    stale = (built and built != runtime) or (release and release != runtime_release)
    if not stale and (not any(numbers) or (numbers[0] == numbers[1] and not other_runtime)):
        sheet.keep(*_ENGINE_KEYS, *_SERIALIZATION)
        return
    if numbers[0] and not stale:
        sheet.changes.append(Change(_SERIALIZATION[0], numbers[0], "built again"))
    if built and runtime:
        sheet.change("engine_built_with_tensorrt", runtime)
    if release and runtime_release:
        sheet.change("engine_built_with_tensorrt_llm", runtime_release)


def _commands(sheet: _Sheet, known: KnownSet) -> Iterator[str]:
    changed = {change.key: change.after for change in sheet.changes}
    if "python" in changed and known.route != IMAGE:
        yield f"python{changed['python']} -m venv .venv"
    if known.image and not changed.keys().isdisjoint(IMAGE_KEYS):
        yield f"docker pull {known.image}"
    elif known.route != IMAGE:
        # A new interpreter starts with no packages.
        heads = {key: sheet.value(key) or "" for key in known.heads} if "python" in changed else {}
        packages = [_requirement(key, value) for key, value in {**heads, **changed}.items() if key in _DISTRIBUTIONS]
        if packages:
            yield f"pip install {' '.join(packages)}"
    if any(key.startswith("engine_") for key in changed):
        yield "build the engine again with these versions, on a GPU of the same compute capability"


def _requirement(key: str, value: str) -> str:
    text = f"{_DISTRIBUTIONS[key]}{value if value[0] in _OPERATORS else f'=={value}'}"
    return f"'{text}'" if set(text) & set("<>!~,") else text


def _same(key: str, have: str, want: str) -> bool:
    """Tell whether two texts name the same version, one of them being longer."""
    if have == want:
        return True
    if key == "triton_container":
        return have.rpartition(":")[2] == want
    one, other = DottedVersion.leading(have), DottedVersion.leading(want)
    if one is None or other is None or key in {"container", "torch"}:
        return key == "torch" and have.partition("+")[0] == want
    length = min(len(one.parts), len(other.parts))
    return length >= 2 and one.parts[:length] == other.parts[:length]


def _meets(pin: str, have: str) -> bool:
    from packaging.specifiers import SpecifierSet

    version = PackageVersion.try_parse(have)
    return version is not None and SpecifierSet(pin).contains(version.pep440, prereleases=True)


def in_words(change: Change) -> str:
    """Return a change as ``PyTorch: 2.4.0 -> 2.9.1``."""
    title = VOCABULARY[change.key].title if change.key in VOCABULARY else title_of(change.key)
    return f"{title}: {change.before or 'nothing'} -> {change.after}"
