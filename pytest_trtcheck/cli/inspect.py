"""``inspect IMAGE``: what an image contains, without a verdict; nothing of it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck.cli.options import add_format, add_matrix, matrix_of, print_json

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_trtcheck.cli import Subparsers
    from pytest_trtcheck.model.facts import Fact, Stack


def add_parser(commands: Subparsers) -> argparse.ArgumentParser:
    """Declare the command."""
    parser = commands.add_parser(
        "inspect",
        help="List what an image contains",
        description="Read an image and print what was found, without a verdict; nothing of it is run. Exit status: 0, "
        "or 4 when it cannot be read.",
    )
    parser.add_argument(
        "image", metavar="IMAGE",
        help="Archive of docker or podman, OCI layout, root folder, /proc/PID/root; IMAGE@REFERENCE for one of several",
    )  # fmt: skip
    add_format(parser)
    add_matrix(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Print the facts of the image."""
    from pytest_trtcheck.image.facts import probe_image
    from pytest_trtcheck.image.opened import open_image
    from pytest_trtcheck.image.target import Target

    with open_image(options.image) as image:
        stack = probe_image(image, Target(), matrix_of(options))
    if options.format == "json":
        print_json(_as_json(stack))
    else:
        print("\n".join(_lines(stack)))
    return 0


def _as_json(stack: Stack) -> dict[str, Any]:
    from pytest_trtcheck.model.codec import encode

    return {
        "name": stack.name,
        "facts": encode(stack.facts),
        "distributions": encode(stack.distributions),
        "probe_seconds": dict(stack.probe_seconds),
    }


def _lines(stack: Stack) -> Iterator[str]:
    from pytest_trtcheck.model.components import title_of
    from pytest_trtcheck.model.facts import State

    yield stack.name
    image = stack.get("image")
    for name, value in image.details.items():
        if name not in {"problems", "references"}:
            yield f"  {name.replace('_', ' ')}: {_flat(value)}"
    found = [fact for fact in stack.facts.values() if fact.is_found and fact.key not in {"image", "container_env"}]
    width = max((len(title_of(fact.key)) for fact in found), default=0)
    for fact in found:
        yield f"{title_of(fact.key):<{width}}  {fact.value or 'present, version unknown'}  {fact.where}".rstrip()
        yield from (f"{'':<{width}}  also {copy.version or copy.soname} {copy.path}" for copy in _others(fact))
    yield from (f"python {_flat(prefix)}" for prefix in stack.get("python_prefixes").details.get("prefixes", ()))
    yield from (f"engine {_flat(plan)}" for plan in stack.get("engines").details.get("plans", ()))
    yield from (f"engine folder {_flat(one)}" for one in stack.get("engines").details.get("tensorrt_llm", ()))
    yield from _loading(stack.get("loading"))
    yield from _gpu_code(stack.get("gpu_code"))
    unread = [fact for fact in stack.facts.values() if fact.state is State.UNREADABLE]
    yield from (f"could not be read: {title_of(fact.key)}: {fact.reason}" for fact in unread)
    problems = (text for fact in stack.facts.values() for text in fact.details.get("problems", ()))
    yield from (f"could not be read: {text}" for text in dict.fromkeys(problems))


def _loading(fact: Fact) -> Iterator[str]:
    for module in fact.details.get("modules", ()):
        if module["loads"]:
            continue
        lost = [f"{one['library']} not found" for one in module.get("missing", ())]
        lost += [f"{one['node']} not in {one['library']}" for one in module.get("nodes", ())]
        lost += [f"{one['name']} not defined" for one in module.get("undefined", ())]
        yield f"would not load: {module['path']}: {', '.join(lost) or 'built for Python ' + str(module.get('python'))}"


def _gpu_code(fact: Fact) -> Iterator[str]:
    """Yield a line for each component: all architectures, whatever files they are in."""
    by_component: dict[str, set[str]] = {}
    for file in fact.details.get("files", ()):
        codes = by_component.setdefault(file["component"] or "others", set())
        codes.update(code for text in file["sets"] for code in text.split())
    for key, codes in by_component.items():
        yield f"GPU code of {key}: {' '.join(sorted(codes, key=_by_number))}"


def _by_number(code: str) -> tuple[bool, int, str]:
    kind, _, rest = code.partition("_")
    digits = rest.partition(":")[0].rstrip("af?")
    return kind != "sm", int(digits) if digits.isdigit() else 0, rest


def _others(fact: Fact) -> list[Any]:
    return [copy for place, copy in enumerate(fact.copies) if place != fact.chosen and copy.soname]


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
